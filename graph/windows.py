"""Cumulative counts over time: what a window holds is the counts now less the counts then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from graph.merge import Bucket, Column, Floats, Ints

SHORTEST_S = 10
"""A window shorter than this would mostly show when readings came."""

REACH_S = 3600
"""The longest window in memory. Any other up to it begins with the mark nearest to its start."""

KEEP_MS = 3_900_000
"""Older marks are let go."""

FINEST_MS = 1_000
PARTS = 10
"""Marks lie at most a tenth of their age apart, so that the nearest one is off by a twentieth of any window."""


def step_ms(age_ms: int) -> int:
    """Say how far apart marks of an age are: a second doubled as often as fits, so that coarser steps nest."""
    return FINEST_MS << max(0, (age_ms // (PARTS * FINEST_MS)).bit_length() - 1)


class Mark(NamedTuple):
    """The counts at one instant. Cells that came later are not in it: they were zero."""

    at_ms: int
    values: Floats

    def padded(self, cells: int) -> Floats:
        """The counts with zeros for cells that came later."""
        if len(self.values) == cells:
            return self.values
        padded = np.zeros(cells)
        padded[: len(self.values)] = self.values
        return padded


class Marks:
    """Marks of the past, thinned with age, and the newest one."""

    def __init__(self, started_ms: int) -> None:
        self.marks: list[Mark] = [Mark(started_ms, np.zeros(0))]

    @property
    def now(self) -> Mark:
        """The newest mark."""
        return self.marks[-1]

    def add(self, mark: Mark) -> None:
        """Close a step."""
        # A wall clock may stand still or be set back; marks stay in order.
        self.marks.append(Mark(max(mark.at_ms, self.now.at_ms + 1), mark.values))
        self._thin()

    def then(self, window_s: int) -> Mark:
        """The mark closest to the start of a window that ends now."""
        start = self.now.at_ms - 1000 * window_s
        return min(self.marks[:-1] or self.marks, key=lambda mark: abs(mark.at_ms - start))

    def within(self, window_s: int, points: int) -> list[Mark]:
        """Marks about evenly spread over a window, oldest first, at most ``points`` + 1."""
        first = self.then(window_s)
        inside = [mark for mark in self.marks if mark.at_ms >= first.at_ms]
        step = max(step_ms(1000 * window_s), 1000 * window_s / points)
        spread = [inside[-1]]
        for mark in reversed(inside[:-1]):
            if spread[-1].at_ms - mark.at_ms >= 0.9 * step:
                spread.append(mark)
        return spread[::-1][-points - 1 :]

    def keep(self, cells: Ints) -> None:
        """Follow the ledger in forgetting: only these cells stay."""
        self.marks = [Mark(mark.at_ms, mark.values[cells[cells < len(mark.values)]]) for mark in self.marks]

    @property
    def nbytes(self) -> int:
        """The memory held."""
        return sum(mark.values.nbytes for mark in self.marks)

    def _thin(self) -> None:
        """Of the marks that fall into one step of their tier, the first stays."""
        now = self.now.at_ms
        kept: list[Mark] = []
        slot: tuple[int, int] | None = None
        for mark in self.marks[:-1]:
            if now - mark.at_ms > KEEP_MS:
                continue
            step = step_ms(now - mark.at_ms)
            if (step, mark.at_ms // step) != slot:
                kept.append(mark)
            slot = (step, mark.at_ms // step)
        self.marks = [*kept, self.now]


class Scale:
    """Turns counts per bucket of any layouts into quantiles, as Prometheus' ``histogram_quantile`` does."""

    def __init__(self, columns: Sequence[Column]) -> None:
        numbered = [(number, column) for number, column in enumerate(columns) if isinstance(column, Bucket)]
        self.columns = np.array([number for number, _ in numbered], np.int64)
        """The numbers of the bucket columns."""
        self.bounds = np.array(sorted({bound for _, bucket in numbered for bound in bucket}))
        self._spread = np.array([self._shares(bucket) for _, bucket in numbered]).reshape(
            len(numbered), max(0, len(self.bounds) - 1)
        )

    def quantiles(self, counts: Floats, wanted: Sequence[float]) -> Floats:
        """Per row of ``counts`` (one column per bucket) the wanted quantiles; NaN where nothing was sampled."""
        rows = len(counts)
        if not len(self.columns):
            return np.full((rows, len(wanted)), np.nan)
        below = np.cumsum(counts @ self._spread, axis=1)
        total = below[:, -1]
        answers = np.empty((rows, len(wanted)))
        index = np.arange(rows)
        highest = self.bounds[-2] if np.isinf(self.bounds[-1]) else self.bounds[-1]
        for number, quantile in enumerate(wanted):
            rank = quantile * total
            at = np.minimum((below < (rank * (1 - 1e-12))[:, None]).sum(axis=1), below.shape[1] - 1)
            under = np.where(at > 0, below[index, at - 1], 0.0)
            inside = below[index, at] - under
            low, high = self.bounds[at], np.minimum(self.bounds[at + 1], highest)
            share = np.divide(rank - under, inside, out=np.zeros(rows), where=inside > 0)
            answers[:, number] = np.where(total > 0, low + np.maximum(high - low, 0.0) * share, np.nan)
        return answers

    def _shares(self, bucket: Bucket) -> list[float]:
        """How a bucket's samples lie on the common grid: evenly over its width, or just above an open bucket's bound."""
        grid = list(pairwise(self.bounds.tolist()))
        if math.isinf(bucket.high):
            return [float(low == bucket.low) for low, _ in grid]
        width = bucket.high - bucket.low
        return [(high - low) / width if bucket.low <= low and high <= bucket.high else 0.0 for low, high in grid]
