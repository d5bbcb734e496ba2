"""Manifests that were read back with their secrets redacted, and are written again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from mesh_runtime.api.manifest import parse
from mesh_runtime.api.objects import ConfigError, ConfigObject, Problem
from mesh_runtime.api.problems import path
from mesh_runtime.api.redaction import is_redacted, redaction


def kept_key(path: Path) -> bytes:
    """Return the key under which secrets are redacted; the first time it is made, and readable by its owner only."""
    if not path.exists():
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        fresh.replace(path)
    return path.read_bytes()


def restored(item: ConfigObject, stored: ConfigObject | None) -> ConfigObject:
    """Return an object with the stored values in place of what stands for them.

    Raises :class:`~mesh_runtime.api.objects.ConfigError` where that is not what is stored.
    """
    data = item.manifest.get("data", {})
    kept = [name for name, value in data.items() if is_redacted(value)] if item.key.kind == "Secret" else []
    if not kept:
        return item
    known = stored.manifest.get("data", {}) if stored else {}
    wrong = tuple(_mismatches(item, kept, known))
    if wrong:
        raise ConfigError(*wrong)
    return parse({**item.manifest, "data": {**data, **{name: known[name] for name in kept}}})


def _mismatches(item: ConfigObject, kept: list[str], known: dict[str, str]) -> Iterator[Problem]:
    for name in kept:
        if name not in known:
            message = "is redacted, and nothing is stored here"
        elif redaction(known[name]) != item.manifest["data"][name]:
            message = f"is redacted, and not what is stored now, which is {redaction(known[name])}"
        else:
            continue
        yield Problem(str(item.key), path(("data", name)), message, "write the value itself")
