"""What people see of a Secret: that a value is there, and whether it changed, never the value."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from mesh_runtime.api.objects import ConfigObject

_SECRET: Final = "Secret"  # noqa: S105 - a kind's name
_REDACTED: Final = re.compile(r"\[redacted sha256:[0-9a-f]{8}\]")


def redaction(value: str) -> str:
    """Return what stands for a secret value: the same for the same value, and for what stands for one itself."""
    if is_redacted(value):
        return value
    return f"[redacted sha256:{hashlib.sha256(value.encode()).hexdigest()[:8]}]"


def is_redacted(value: str) -> bool:
    """Tell whether something stands for a secret value."""
    return bool(_REDACTED.fullmatch(value))


def shown(item: ConfigObject) -> Mapping[str, Any]:
    """Return an object's manifest as it may leave the store: without the values of a Secret."""
    if item.key.kind != _SECRET or not item.manifest.get("data"):
        return item.manifest
    data = item.manifest["data"].items()
    return {**item.manifest, "data": {name: value and redaction(value) for name, value in data}}
