"""What the API answers about its own parts."""

from __future__ import annotations

from typing import Literal

from console.web.answers.shape import Answer


class Advice(Answer):
    """A way out, and what to paste where it says."""

    text: str
    paste: str


class Signal(Answer):
    """One source or sink."""

    area: str
    name: str
    text: str
    presence: Literal["present", "off", "missing", "stale", "failing"]
    advice: list[Advice]
    counters: dict[str, float]
    ok: bool


class AllSignals(Answer):
    """Every source and sink."""

    items: list[Signal]


class Alive(Answer):
    """The loop turns."""

    ok: bool


class Ready(Alive):
    """Whether every part works; those that do not, with the reason."""

    failing: dict[str, str]
