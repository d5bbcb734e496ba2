"""Aggregated increases to counts: what is asked for where samples are too many, or too long ago. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from collectors.counting import counters, observation
from collectors.dialects import Dialect, Identity, Measure
from collectors.prometheus import native
from collectors.prometheus.samples import Doubts
from graph.model import Observation

Sums = dict[Identity, dict[Measure, float]]


def read_increases(
    dialect: Dialect, metric: str, vector: Iterable[Mapping[str, Any]], *, cluster: str, cluster_label: str, into: Sums
) -> None:
    """Add the answer to one metric's query up, by identity and measure."""
    for one in vector:
        labels = one["metric"]
        of = labels.get(cluster_label) or cluster
        if "histogram" in one:
            meant = native.measured(dialect, metric, labels, of, one["histogram"][1])
        else:
            meaning = dialect.read(metric, labels, of)
            meant = iter([(meaning, float(one["value"][1]))] if meaning else [])
        for (identity, measure), value in meant:
            if 0 <= value < math.inf:
                sums = into.setdefault(identity, {})
                sums[measure] = sums.get(measure, 0.0) + value


def observed(
    sums: Mapping[Identity, Mapping[Measure, float]], *, instance: str, epoch: int, at_ms: int, origin: str
) -> list[Observation]:
    """Make one observation per identity."""
    return [
        observation(identity, counters(values.items()), instance=instance, epoch=epoch, at_ms=at_ms, origin=origin)
        for identity, values in sums.items()
    ]


class Accumulation:
    """Adds up increases of overlapping ranges: each tick takes the average rate of its range for the time since the last one."""

    def __init__(self, instance: str, origin: str) -> None:
        self.at_ms = 0
        """Until when has been counted; 0: nothing yet."""
        self._instance = instance
        self._origin = origin
        self._epoch = 0
        self._totals: Sums = {}
        self._seen_ms: dict[Identity, int] = {}
        self._range_ms = 0

    def add(self, sums: Sums, *, range_ms: int, at_ms: int) -> list[Observation]:
        """Count on until ``at_ms``; the first time nothing is counted, only who there is."""
        self._epoch = self._epoch or at_ms
        share = min(1.0, (at_ms - self.at_ms) / range_ms) if self.at_ms else 0.0
        self.at_ms, self._range_ms = at_ms, range_ms
        for identity, values in sums.items():
            totals = self._totals.setdefault(identity, {})
            self._seen_ms[identity] = at_ms
            for measure, value in values.items():
                totals[measure] = totals.get(measure, 0.0) + share * value
        heard = {identity: self._totals[identity] for identity in sums}
        return observed(heard, instance=self._instance, epoch=self._epoch, at_ms=at_ms, origin=self._origin)

    def missing(self) -> Doubts:
        """Say which edges are not in the answers any more."""
        return {
            (self._instance, identity.edge): f"{self._instance} has had no samples of it for {self._range_ms // 1000} s"
            for identity, seen_ms in self._seen_ms.items()
            if seen_ms < self.at_ms
        }
