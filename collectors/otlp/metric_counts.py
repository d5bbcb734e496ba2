"""What the points of request metrics add up to, edge by edge. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate

from collectors.otlp.distribution import Explicit
from collectors.otlp.metric_points import DELTA, HistogramPoint
from collectors.otlp.tallies import BOUNDS_MS
from graph.model import Counters, EdgeKey, Histogram, Observation, Outcome, Reporter


@dataclass(slots=True)
class Stream:
    """The last reading of one attribute set of one metric of one process."""

    last: HistogramPoint | None = None
    heard_ms: int = 0

    def read(self, reading: HistogramPoint, temporality: int, began_ns: int, now_ms: int) -> HistogramPoint | None:
        """Return what a reading adds; ``None``: nothing, it is old, or counts what was before we listened."""
        last, self.heard_ms = self.last, now_ms
        if last is not None and reading.at_ns <= last.at_ns and reading.start_ns <= last.start_ns:
            return None
        self.last = reading
        if temporality == DELTA:
            return reading
        if last is not None and reading.start_ns == last.start_ns and reading.requests >= last.requests:
            spread = reading.spread.since(last.spread)
            if spread is not None:
                requests, total = reading.requests - last.requests, max(0.0, reading.total - last.total)
                return HistogramPoint(last.at_ns, reading.at_ns, requests, total, spread)
        if last is None and reading.start_ns < began_ns:
            return None
        return reading


@dataclass(slots=True)
class Tally:
    """What one process has counted on one edge since we listen."""

    origin: str
    at_ms: int = 0
    heard: bool = False
    requests: dict[Outcome, float] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    buckets: list[float] = field(default_factory=list)
    total: float = 0.0

    def add(self, outcome: Outcome, added: HistogramPoint | None, unit_ms: float, now_ms: int) -> None:
        """Count what a reading adds; its durations are in units of *unit_ms*. ``None``: it only shows signs of life."""
        self.at_ms, self.heard = now_ms, True
        if added is None:
            return
        self.requests[outcome] = self.requests.get(outcome, 0.0) + added.requests
        spread = added.spread
        if not self.bounds:
            plain = isinstance(spread, Explicit) and bool(spread.bounds)
            self.bounds = (*(one * unit_ms for one in spread.bounds), math.inf) if plain else BOUNDS_MS  # type: ignore[union-attr]
            self.buckets = [0.0] * len(self.bounds)
        for value, count in spread.samples():
            self.buckets[bisect_left(self.bounds, value * unit_ms)] += count
        self.total += added.total * unit_ms

    def observation(self, edge: EdgeKey, instance: str, epoch: int) -> Observation:
        """Read it as a proxy's counters."""
        latency = Histogram(self.bounds, tuple(accumulate(self.buckets)), self.total) if self.bounds else None
        return Observation(
            edge=edge,
            reporter=Reporter.APPLICATION,
            instance=instance,
            epoch=epoch,
            at_ms=self.at_ms,
            counters=Counters(requests=dict(self.requests), latency_ms=latency),
            origin=self.origin,
        )
