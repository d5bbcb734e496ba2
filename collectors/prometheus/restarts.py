"""Telling from counters alone that a process has started again. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

MANY, FEW = 10.0, 10.0
"""A counter grows by no more than so many times what is usual for it, and so much besides."""


class Counted(Protocol):
    """What a process counts."""

    total: float
    """What it has counted while it was watched."""
    value: float
    """Of the newest sample."""
    at_ms: int
    """Its instant."""


class Process(Protocol):
    """One way on which a process is scraped."""

    @property
    def first_ms(self) -> int:
        """The instant of its first sample."""
        ...

    def counts(self) -> Iterable[Counted]:
        """All counters that are read on this way."""
        ...


class Step(NamedTuple):
    """How a counter went on from one sample to the next."""

    process: Process
    of: Counted
    from_ms: int
    at_ms: int
    before: float
    """Its value at first; above zero."""
    after: float
    fell: bool
    """It begins anew, and so is counted already."""


Written = tuple[Process, Counted, int, int, float, float, bool]
"""A :class:`Step` as it is written down: nearly none of them is ever looked at."""


class Restart(NamedTuple):
    """A process began anew after ``since_ms``, and not after ``at_ms``."""

    since_ms: int
    at_ms: int

    def within(self, from_ms: int, at_ms: int) -> bool:
        """Whether it surely lies between two samples."""
        return from_ms <= self.since_ms and self.at_ms <= at_ms


def count_restarts(written: Iterable[Written]) -> None:
    """Where most counters of a process fell at once it has started again: count the others from zero, too.

    Those that did not fall by then have passed their old value, or were not written for a while, since a process that
    has just started writes only what it has counted since.
    """
    processes: defaultdict[Process, list[Step]] = defaultdict(list)
    for step in map(Step._make, written):
        processes[step.process].append(step)
    for process, own in processes.items():
        if restarts := [one for one in _supposed(own) if _is_likely(one, own)]:
            _begin_anew(process, own, restarts)


def _supposed(steps: Iterable[Step]) -> Iterable[Restart]:
    """Name the fewest restarts that explain all falls."""
    falls = sorted((step for step in steps if step.fell), key=lambda step: step.at_ms)
    while falls:
        at_ms = falls[0].at_ms
        yield Restart(max(step.from_ms for step in falls if step.from_ms < at_ms), at_ms)
        falls = [step for step in falls if step.from_ms >= at_ms]


def _is_likely(restart: Restart, steps: Iterable[Step]) -> bool:
    """Whether most of what was written at its first scrape had fallen; what is written later may have grown again.

    Where any counter surely went on, it was not the process that began anew: a proxy that gets a new listener forgets
    what its old one counted.
    """
    over = [step for step in steps if restart.within(step.from_ms, step.at_ms)]
    fell = [step.fell for step in over if step.at_ms == restart.at_ms]
    return 2 * sum(fell) > len(fell) > 1 and not any(_went_on(step) for step in over)


def _went_on(step: Step) -> bool:
    """Whether a counter grew as usual, from a value far above what it could have reached anew."""
    watched_ms = step.at_ms - min(step.process.first_ms, step.from_ms)
    usual = MANY * step.of.total * (step.at_ms - step.from_ms) / watched_ms + FEW
    return not step.fell and step.after - step.before <= usual < step.after


def _begin_anew(process: Process, steps: Iterable[Step], restarts: Sequence[Restart]) -> None:
    for step in steps:
        if not step.fell and any(one.within(step.from_ms, step.at_ms) for one in restarts):
            step.of.total += step.before
    last_ms = restarts[-1].since_ms
    for count in process.counts():
        if count.at_ms <= last_ms:
            count.value = 0.0
