"""What changes, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import unified_diff

from mesh_runtime.api import dump
from mesh_runtime.api.objects import ConfigObject, ObjectKey


def unified(old: ConfigObject | None, new: ConfigObject | None) -> str:
    """Compare two versions of an object as canonical YAML; ``""`` where they are the same."""
    item = new or old
    name = str(item.key) if item else ""
    before, after = (dump([side]).splitlines(keepends=True) if side else [] for side in (old, new))
    return "".join(
        unified_diff(before, after, f"{name} (now)" if old else "/dev/null", f"{name} (new)" if new else "/dev/null")
    )


def diff_objects(
    now: Mapping[ObjectKey, ConfigObject], put: Iterable[ConfigObject], delete: Iterable[ObjectKey] = ()
) -> str:
    """Compare what is with what a change would make of it, object by object."""
    return "".join(
        [unified(now.get(item.key), item) for item in put] + [unified(now[key], None) for key in delete if key in now]
    )
