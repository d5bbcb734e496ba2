"""What people see of a Secret: that a value is there, and whether it changed, never the value."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from mesh_runtime.api.objects import ConfigObject

_SECRET: Final = "Secret"  # noqa: S105 - a kind's name
_REDACTED: Final = re.compile(r"\[redacted hmac:[0-9a-f]{16}\]")
_DIGITS: Final = 16


class _Key:
    """What only this server knows: without it a password that is guessed could be confirmed by what stands for it."""

    value = secrets.token_bytes(32)


def use_key(key: bytes) -> None:
    """Have the same stand for a value as before this process was started. Of several stores in it the last one counts."""
    _Key.value = key


def redaction(value: str) -> str:
    """Return what stands for a secret value: the same for the same value, and for what stands for one itself."""
    if is_redacted(value):
        return value
    return f"[redacted hmac:{hmac.digest(_Key.value, value.encode(), 'sha256').hex()[:_DIGITS]}]"


def is_redacted(value: str) -> bool:
    """Tell whether something stands for a secret value."""
    return bool(_REDACTED.fullmatch(value))


def shown(item: ConfigObject) -> Mapping[str, Any]:
    """Return an object's manifest as it may leave the store: without the values of a Secret."""
    if item.key.kind != _SECRET or not item.manifest.get("data"):
        return item.manifest
    data = item.manifest["data"].items()
    return {**item.manifest, "data": {name: value and redaction(value) for name, value in data}}
