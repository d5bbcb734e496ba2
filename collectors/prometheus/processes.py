"""What raw samples tell of processes: their counters, each by every way in which it is scraped. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from collectors.counting import Plan
from collectors.dialects import Identity, Measure
from collectors.prometheus.restarts import Written
from graph.model import Counters

MISSED_INTERVALS = 3
"""A series absent from so many scrapes, whose neighbours arrive, is missing."""

FOLLOW_INTERVALS = 2.5
"""A replica silent for so many intervals is no longer followed."""

DEFAULT_INTERVAL_MS = 15_000


class Unit:
    """A process that counts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.first_ms = 0
        """The instant of its first sample."""
        self.epoch = 0
        """When it began, by our own clock, where it is counted from then on."""
        self.new = True
        """Whether nobody has asked yet when it began."""
        self.seen_ms = 0
        self.targets: dict[tuple[str, ...], Target] = {}
        self.whose: dict[Identity, Whose] = {}

    @property
    def interval_ms(self) -> float:
        """How often it is scraped, as measured."""
        return max((target.interval_ms for target in self.targets.values()), default=0.0) or DEFAULT_INTERVAL_MS

    def counts(self) -> Iterator[Count]:
        """All that it counts."""
        return (count for whose in self.whose.values() for count in whose.counts)


class Target:
    """One way on which a process is scraped: by one job of one replica of Prometheus."""

    def __init__(self, unit: Unit, address: str) -> None:
        self.unit = unit
        self.address = address
        self.seen_ms = 0
        """0: never, until the present answer."""
        self.interval_ms = 0.0
        self.measured_s = 0.0

    @property
    def first_ms(self) -> int:
        """The instant of its first sample."""
        return self.unit.first_ms

    def counts(self) -> Iterator[Count]:
        """What is read on this way, as long as no other one is followed."""
        return (count for count in self.unit.counts() if count.followed and count.followed.target is self)

    def measure(self, at_s: float, gap_s: float) -> None:
        """Learn the interval by the newest two samples, and little of it where scrapes were missed in between."""
        gap = 1000.0 * gap_s
        usual = 0.8 * self.interval_ms + 0.2 * min(gap, MISSED_INTERVALS * self.interval_ms)
        self.interval_ms = usual or gap
        self.measured_s = at_s

    def hear(self, at_ms: int) -> None:
        """Take note of its newest sample."""
        self.seen_ms = max(self.seen_ms, at_ms)
        self.unit.seen_ms = max(self.unit.seen_ms, at_ms)


class Whose:
    """All that one process counts for one identity."""

    __slots__ = ("_before", "_counted", "_plan", "counts", "identity", "measures", "unit")

    def __init__(self, identity: Identity, unit: Unit) -> None:
        self.identity = identity
        self.unit = unit
        self.counts: list[Count] = []
        self.measures: dict[Measure, list[Count]] = {}
        """What counts the same is added up."""
        self._plan = Plan(0, ())
        self._counted: list[list[Count]] = []
        """By the measures of the plan."""
        self._before: Counters | None = None

    def counters(self) -> Counters:
        """Put together what has been counted."""
        if len(self._plan.measures) != len(self.measures):
            self._plan = Plan(0, self.measures)
            self._counted = [self.measures[measure] for measure in self._plan.measures]
        totals = [same[0].total if len(same) == 1 else sum(count.total for count in same) for same in self._counted]
        self._before = self._plan.counters(totals, self._before)
        return self._before

    @property
    def seen_ms(self) -> int:
        """The instant of the newest sample."""
        return max(count.at_ms for count in self.counts)


class Count:
    """One counter of one process, however many ways it is scraped on."""

    __slots__ = ("at_ms", "ended", "followed", "labels", "targets", "total", "unknown", "value", "whose")

    def __init__(self, whose: Whose, labels: frozenset[tuple[str, str]]) -> None:
        self.whose = whose
        self.labels = labels
        """All but those of its scrape."""
        self.targets: set[Target] = set()
        self.total = 0.0
        self.value = 0.0
        """Of the newest sample."""
        self.at_ms = -1
        self.unknown = 0.0
        """What it had counted when it was first seen."""
        self.followed: Series | None = None
        self.ended = False
        """Its source says that it is no longer there."""

    def begin(self, series: Series, at_ms: int, value: float) -> None:
        """Count from this value on; a counter that is known by another way goes on."""
        if self.followed is None:
            self.followed, self.at_ms, self.value, self.unknown = series, at_ms, value, value

    def follow(self, series: Series) -> bool:
        """Say whether this way counts: one does, until it is silent."""
        if self.followed is not series and self.followed is not None:
            silence = series.seen_ms - self.followed.seen_ms
            if silence <= FOLLOW_INTERVALS * self.whose.unit.interval_ms:
                return False
            self.followed = series
        return True

    def add(self, samples: Sequence[tuple[int, float]], target: Target, steps: list[Written]) -> bool:
        """Count on; write down each step, and say whether the counter fell in one."""
        value, at_ms, fell = self.value, self.at_ms, False
        for sample_ms, sample in samples:
            if sample_ms <= at_ms:
                continue
            if sample < value:
                fell = True
                self.total += sample
                steps.append((target, self, at_ms, sample_ms, value, sample, True))
            else:
                self.total += sample - value
                if value:
                    steps.append((target, self, at_ms, sample_ms, value, sample, False))
            value, at_ms = sample, sample_ms
        self.value, self.at_ms, self.ended = value, at_ms, False
        return fell


class Series:
    """One series of the server."""

    __slots__ = ("count", "seen_ms", "seen_s", "target")

    def __init__(self, count: Count, target: Target) -> None:
        self.count = count
        self.target = target
        self.seen_ms = -1
        self.seen_s = -1.0
        """As the server writes it, which is compared before anything is computed."""

    def later(self, values: Sequence[tuple[float, float]]) -> list[tuple[int, float]]:
        """The samples that are new, and counts."""
        if len(values) > 1 and values[-1][0] > self.target.measured_s:
            self.target.measure(values[-1][0], values[-1][0] - values[-2][0])
        seen_s = self.seen_s
        later = [(round(at_s * 1000), value) for at_s, value in values if at_s > seen_s and 0.0 <= value < math.inf]
        self.seen_s = values[-1][0]
        return later
