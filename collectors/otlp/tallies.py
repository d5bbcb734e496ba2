"""Cumulative counts per edge, as a proxy would keep them. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate

from collectors.otlp.edges import Counted
from graph.model import Counters, EdgeKey, Histogram, Observation, Outcome, Reporter

BOUNDS_MS = (
    0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0,
    500.0, 750.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0, 5000.0, 7500.0, 10_000.0, 20_000.0, 30_000.0, 60_000.0, math.inf,
)  # fmt: skip

IDLE_MS = 3_600_000
"""An edge without a call for this long is let go; should it come back it begins anew."""


class Tallies:
    """What spans have told, summed up per edge since *epoch*."""

    def __init__(self, *, epoch: int, instance: str, origin: str, most: int) -> None:
        self.refused = 0
        """Calls that were not counted because *most* edges were there already."""
        self._epoch = epoch
        self._instance = instance
        self._origin = origin
        self._most = most
        self._edges: dict[EdgeKey, _Tally] = {}

    def __len__(self) -> int:
        """How many edges are counted."""
        return len(self._edges)

    def count(self, call: Counted, now_ms: int) -> None:
        """Count one call."""
        tally = self._edges.get(call.edge)
        if tally is None:
            if len(self._edges) >= self._most:
                self.refused += 1
                return
            tally = self._edges[call.edge] = _Tally()
        tally.add(call.outcome, call.duration_ns / 1e6, now_ms)

    def observations(self, now_ms: int) -> list[Observation]:
        """Read all counters; an edge without new calls is heard of, too, and so is idle rather than stale."""
        self._edges = {edge: tally for edge, tally in self._edges.items() if now_ms - tally.last_ms <= IDLE_MS}
        return [
            Observation(
                edge=edge,
                reporter=Reporter.TRACE,
                instance=self._instance,
                epoch=self._epoch,
                at_ms=now_ms,
                counters=tally.counters(),
                origin=self._origin,
            )
            for edge, tally in self._edges.items()
        ]


class _Tally:
    __slots__ = ("_buckets", "_counters", "_requests", "_total", "last_ms")

    def __init__(self) -> None:
        self.last_ms = 0
        self._requests: dict[Outcome, float] = {}
        self._buckets = [0.0] * len(BOUNDS_MS)
        self._total = 0.0
        self._counters: Counters | None = None

    def add(self, outcome: Outcome, duration_ms: float, now_ms: int) -> None:
        self.last_ms = now_ms
        self._requests[outcome] = self._requests.get(outcome, 0.0) + 1
        self._buckets[bisect_left(BOUNDS_MS, duration_ms)] += 1
        self._total += duration_ms
        self._counters = None

    def counters(self) -> Counters:
        if self._counters is None:
            latency = Histogram(BOUNDS_MS, tuple(accumulate(self._buckets)), self._total)
            self._counters = Counters(requests=dict(self._requests), latency_ms=latency)
        return self._counters
