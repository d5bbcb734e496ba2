"""How benchmarks measure: interleaved pairs, medians, a bootstrap interval for their ratio."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Ratio(NamedTuple):
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float

    def line(self, title: str, unit: str, peer: str) -> str:
        return (
            f"{title}: {self.ours:,.3g} {unit}, {peer}: {self.theirs:,.3g} {unit}, "
            f"ratio {self.ratio:.2f} (95 % {self.low:.2f} to {self.high:.2f})"
        )


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def wall_seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """The median of the paired ratios, with the percentile interval of 2,000 resamples."""
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(pairs, k=len(pairs))) for _ in range(2000))
    return Ratio(
        statistics.median(ours), statistics.median(theirs), statistics.median(pairs), medians[50], medians[1949]
    )
