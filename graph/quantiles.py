"""Quantiles out of counts per bucket, of histograms of any bounds together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from graph.arrays import Floats
from graph.columns import Bucket, Column


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
