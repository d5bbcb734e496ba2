"""Which mesh's config API can express which intent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from wizards.intents import Intent, Split


@dataclass(frozen=True, slots=True)
class Native:
    """The mesh has exactly this."""


@dataclass(frozen=True, slots=True)
class Partial:
    """The mesh has less; ``lost`` says what does not survive."""

    lost: str


@dataclass(frozen=True, slots=True)
class No:
    """The mesh has no way to say it."""

    reason: str


Support = Native | Partial | No

BUNDLED = "meshscope"
ISTIO = "istio"

TABLE: Mapping[tuple[str, type[Intent]], Support] = MappingProxyType(
    {
        (BUNDLED, Split): Native(),
        (ISTIO, Split): Native(),
    }
)


def support(mesh: str, intent: type[Intent]) -> Support:
    """Say how well a mesh can express a kind of intent."""
    return TABLE.get((mesh, intent), No(f"there is no writer for {intent.label} in {mesh}"))
