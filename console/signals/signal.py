"""What is said of one source or sink: how it is doing, and the way out where something is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Area(StrEnum):
    """What it is about, in the order in which a reader looks."""

    METRICS = "Metrics"
    SPANS = "Spans and traces"
    LOGS = "Logs and live requests"
    MESH = "The mesh"
    CONSOLE = "This console"
    MACHINE = "This machine"


class Presence(StrEnum):
    """How it is doing."""

    PRESENT = "present"
    OFF = "off"
    """Nobody asked for it; the advice says how to."""
    MISSING = "missing"
    """Something of it is not there, and numbers or names are the poorer for it."""
    STALE = "stale"
    FAILING = "failing"

    @property
    def verdict(self) -> str:
        """In a doctor's word: ``ok``, ``not used``, ``warn`` or ``fail``."""
        return VERDICTS[self]


VERDICTS: Mapping[Presence, str] = {
    Presence.PRESENT: "ok",
    Presence.OFF: "not used",
    Presence.MISSING: "warn",
    Presence.STALE: "warn",
    Presence.FAILING: "fail",
}
"""Best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A way out."""

    text: str
    paste: str = ""
    """YAML, TOML or a command, ready to be pasted where the text says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One source or sink of the product, or one thing that it stands on."""

    area: Area
    name: str
    text: str
    """What it does now, or why it does not."""
    presence: Presence = Presence.PRESENT
    advice: tuple[Advice, ...] = ()
    counters: Mapping[str, float] = field(default_factory=dict)
    ok: bool = field(init=False)
    """Whether there is nothing to do."""

    def __post_init__(self) -> None:
        """Judge."""
        object.__setattr__(self, "ok", self.presence in {Presence.PRESENT, Presence.OFF})


def present(fine: bool) -> Presence:
    """Present, or failing."""
    return Presence.PRESENT if fine else Presence.FAILING


def numbers(fields: Mapping[str, Any]) -> dict[str, float]:
    """Keep of a state what can be counted."""
    return {name: float(value) for name, value in fields.items() if isinstance(value, int | float)}
