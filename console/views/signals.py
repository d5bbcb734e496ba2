"""Signals: every source and sink, those with something to do first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.signals.signal import Advice, Area, Presence, Signal
from console.views import format as fmt

TONES: Mapping[Presence, str] = {
    Presence.FAILING: "error",
    Presence.STALE: "warn",
    Presence.MISSING: "warn",
    Presence.PRESENT: "ok",
    Presence.OFF: "idle",
}
"""Worst first."""
WORDS: Mapping[Presence, str] = {
    Presence.FAILING: "Failing",
    Presence.STALE: "Stale",
    Presence.MISSING: "Incomplete",
    Presence.PRESENT: "Present",
    Presence.OFF: "Not used",
}
ORDER = tuple(TONES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One source or sink."""

    name: str
    word: str
    tone: str
    text: str
    further: tuple[str, ...]
    """What else there is to say of it."""
    advice: tuple[Advice, ...]
    urgent: bool
    """The advice mends something."""
    counters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All of them, by area."""

    counts: tuple[tuple[str, str, int], ...]
    """Tone, word and number of each state that there is."""
    areas: tuple[tuple[str, tuple[Row, ...]], ...]


def page(found: Sequence[Signal]) -> Page:
    """Group by area; in each the worst first."""
    numbers = Counter(one.presence for one in found)
    return Page(
        counts=tuple((TONES[one], WORDS[one].lower(), numbers[one]) for one in ORDER if numbers[one]),
        areas=tuple((area.value, rows) for area in Area if (rows := _rows(found, area))),
    )


def _rows(found: Sequence[Signal], area: Area) -> tuple[Row, ...]:
    own = [one for one in found if one.area is area]
    return tuple(_row(one) for one in sorted(own, key=lambda one: ORDER.index(one.presence)))


def _row(signal: Signal) -> Row:
    first, *further = signal.text.split("; ")
    return Row(
        name=signal.name,
        word=WORDS[signal.presence],
        tone=TONES[signal.presence],
        text=first,
        further=tuple(further),
        advice=signal.advice,
        urgent=not signal.ok,
        counters=tuple((name.replace("_", " "), _counted(name, value)) for name, value in signal.counters.items()),
    )


def _counted(name: str, value: float) -> str:
    if name.endswith("_ms") and value > 1e12:
        return fmt.moment(int(value))
    return fmt.count(value) if value == int(value) else f"{value:g}"
