"""Latencies of native histograms, whose layout changes as they grow, in buckets of one layout. Pure.

Counted by ``increase()`` on the server, which minds restarts and layouts; raw samples of them would have to be followed
bucket by bucket. https://prometheus.io/docs/specs/native_histograms/
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from collectors.dialects import Dialect, Identity, LatencyBucket, Measure
from graph.merge import Floats

PER_OCTAVE = 8
"""As finely as clients that let buckets grow by a tenth: theirs are the same bounds."""
SHORTEST_MS, LONGEST_MS = 1 / 16, 2.0**22


def natives(dialect: Dialect, names: Collection[str]) -> tuple[str, ...]:
    """Name the dialect's histograms that are there as native ones only."""
    histograms = [name.removesuffix("_bucket") for name in dialect.metrics if name.endswith("_bucket")]
    return tuple(name for name in histograms if name in names and f"{name}_bucket" not in names)


def measured(
    dialect: Dialect, metric: str, labels: Mapping[str, str], cluster: str, histogram: Mapping[str, Any]
) -> Iterator[tuple[tuple[Identity, Measure], float]]:
    """Say what a histogram, as the API writes it, counts; nothing where it is not about edges."""
    bucket = dialect.read(f"{metric}_bucket", {**labels, "le": "1"}, cluster)
    total = dialect.read(f"{metric}_sum", labels, cluster)
    if bucket is None or not isinstance(bucket[1], LatencyBucket):
        return
    identity, unit_ms = bucket[0], bucket[1].bound_ms
    bounds = _bounds(unit_ms)
    counts = _below(histogram.get("buckets", ()), bounds)
    for bound, count in zip(bounds, counts.tolist(), strict=True):
        yield (identity, LatencyBucket(bound * unit_ms)), count
    yield (identity, LatencyBucket(math.inf)), float(histogram["count"])
    if total is not None:
        yield total, float(histogram["sum"])


@lru_cache
def _bounds(unit_ms: float) -> Sequence[float]:
    """The bounds of all latencies in a unit."""
    first, last = (math.ceil(PER_OCTAVE * math.log2(bound / unit_ms)) for bound in (SHORTEST_MS, LONGEST_MS))
    return [2 ** (number / PER_OCTAVE) for number in range(first, last + 1)]


def _below(buckets: Iterable[tuple[int, str, str, str]], bounds: Sequence[float]) -> Floats:
    """How many samples lie below each bound: those of a bucket evenly over its width."""
    ends, counts, counted = [0.0], [0.0], 0.0
    for _, low, high, count in buckets:
        if math.isinf(float(high)):
            break
        ends += [max(0.0, float(low)), float(high)]
        counts += [counted, counted + float(count)]
        counted += float(count)
    return np.interp(bounds, ends, counts)
