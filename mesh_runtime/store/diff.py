"""What changes, for people."""

from __future__ import annotations

from difflib import unified_diff

from mesh_runtime.api import dump
from mesh_runtime.api.objects import ConfigObject


def unified(old: ConfigObject | None, new: ConfigObject | None) -> str:
    """Compare two versions of an object as canonical YAML; ``""`` where they are the same."""
    item = new or old
    name = str(item.key) if item else ""
    before, after = (dump([side]).splitlines(keepends=True) if side else [] for side in (old, new))
    return "".join(
        unified_diff(before, after, f"{name} (now)" if old else "/dev/null", f"{name} (new)" if new else "/dev/null")
    )
