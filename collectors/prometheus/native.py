"""Latencies of native histograms, whose layout changes as they grow, in buckets of one layout. Pure.

A Prometheus is asked for ``increase()`` of them, which minds restarts and layouts; those that are pushed are followed by
``collectors/remote_write/latencies.py``. https://prometheus.io/docs/specs/native_histograms/
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from collectors.dialects import Dialect, Identity, LatencyBucket, Measure
from graph.arrays import Floats

PER_OCTAVE = 8
"""As finely as clients that let buckets grow by a tenth: theirs are the same bounds."""
Bucket = tuple[float, float, float]
"""Its bounds, and how many samples lie within."""
SHORTEST_MS, LONGEST_MS = 1 / 16, 2.0**22


def natives(dialect: Dialect, names: Collection[str]) -> tuple[str, ...]:
    """Name the dialect's histograms that are there as native ones only."""
    histograms = [name.removesuffix("_bucket") for name in dialect.metrics if name.endswith("_bucket")]
    return tuple(name for name in histograms if name in names and f"{name}_bucket" not in names)


class Latencies:
    """What the native histograms of one series measure, in buckets of the one layout."""

    __slots__ = ("_bounds", "identity", "measures")

    def __init__(self, identity: Identity, unit_ms: float, total: Measure | None) -> None:
        self._bounds = _bounds(unit_ms)
        self.identity = identity
        buckets = [LatencyBucket(bound * unit_ms) for bound in (*self._bounds, math.inf)]
        self.measures: tuple[Measure, ...] = (*buckets, *([total] if total else ()))

    def counts(self, buckets: Iterable[Bucket], count: float, total: float) -> Floats:
        """Count each of the measures; ``buckets`` ascend, and begin at zero or above it."""
        return np.append(_below(buckets, self._bounds), (count, total))[: len(self.measures)]


def latencies(dialect: Dialect, metric: str, labels: Mapping[str, str], cluster: str) -> Latencies | None:
    """Say what a series of native histograms measures; ``None`` where it is not about edges."""
    bucket = dialect.read(f"{metric}_bucket", {**labels, "le": "1"}, cluster)
    if bucket is None or not isinstance(bucket[1], LatencyBucket):
        return None
    total = dialect.read(f"{metric}_sum", labels, cluster)
    return Latencies(bucket[0], bucket[1].bound_ms, total[1] if total else None)


def measured(
    dialect: Dialect, metric: str, labels: Mapping[str, str], cluster: str, histogram: Mapping[str, Any]
) -> Iterator[tuple[tuple[Identity, Measure], float]]:
    """Say what a histogram, as the API writes it, counts; nothing where it is not about edges."""
    found = latencies(dialect, metric, labels, cluster)
    if found is None:
        return
    buckets = ((float(low), float(high), float(count)) for _, low, high, count in histogram.get("buckets", ()))
    counts = found.counts(buckets, float(histogram["count"]), float(histogram["sum"]))
    for measure, count in zip(found.measures, counts.tolist(), strict=True):
        yield (found.identity, measure), count


@lru_cache
def _bounds(unit_ms: float) -> Sequence[float]:
    """The bounds of all latencies in a unit."""
    first, last = (math.ceil(PER_OCTAVE * math.log2(bound / unit_ms)) for bound in (SHORTEST_MS, LONGEST_MS))
    return [2 ** (number / PER_OCTAVE) for number in range(first, last + 1)]


def _below(buckets: Iterable[Bucket], bounds: Sequence[float]) -> Floats:
    """How many samples lie below each bound: those of a bucket evenly over its width."""
    ends, counts, counted = [0.0], [0.0], 0.0
    for low, high, count in buckets:
        if math.isinf(high):
            break
        ends += [max(0.0, low), max(0.0, high)]
        counts += [counted, counted + count]
        counted += count
    return np.interp(bounds, ends, counts)
