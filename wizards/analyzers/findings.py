"""The form of everything that checks find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mesh_runtime.api.objects import ObjectKey


class Level(StrEnum):
    """An error stops the change; a warning and an info only speak."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found. Codes are Kiali's (KIA…) where it knows the same, else ours (MSC…)."""

    level: Level
    code: str
    message: str
    object: ObjectKey | None = None
    path: str = ""
