"""Golden signals out of counts: one row of counters per edge or node, one column per ledger column."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from graph.arrays import Flags, Floats
from graph.columns import FIELDS, LATENCY, Bucket, Column, Field, Requests
from graph.health import is_error
from graph.model import Histogram, Outcome, Signals
from graph.quantiles import Scale
from graph.records import Table

QUANTILES = (0.50, 0.95, 0.99)
TOLD = 4
TRANSPORT = [FIELDS.index(field) for field in (Field.SENT, Field.RECEIVED, Field.OPENED)]
"""The columns of TCP that are shown."""
AMOUNTS = [
    FIELDS.index(field)
    for field in (Field.REQUEST_MESSAGES, Field.RESPONSE_MESSAGES, Field.REQUEST_BYTES, Field.RESPONSE_BYTES)
]
"""The columns of messages and of bodies' bytes."""


class SignalReader:
    """Reads rows of counters.

    A row ends with :data:`TOLD` more columns: requests whose protection is known, and those over mutual TLS; then the
    same two of TCP traffic.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.width = len(columns) + TOLD
        requests = [(number, column) for number, column in enumerate(columns) if isinstance(column, Requests)]
        self.scale = Scale(columns)
        self._requests = np.array([number for number, _ in requests], np.int64)
        self._errors = np.array([is_error(*column) for _, column in requests], float)
        self._buckets = {number: column for number, column in enumerate(columns) if isinstance(column, Bucket)}
        self._outcomes: list[Outcome] = [column.outcome for _, column in requests]

    def active(self, rows: Floats) -> Flags:
        """Say which rows hold traffic."""
        return np.asarray(rows[:, :LATENCY].any(axis=1) | rows[:, self._requests].any(axis=1), np.bool_)

    def errors(self, rows: Floats) -> tuple[Floats, Floats]:
        """Requests and errors per row."""
        requests = rows[:, self._requests]
        return requests.sum(axis=1), requests @ self._errors

    def quantiles(self, rows: Floats, wanted: Sequence[float] = QUANTILES) -> Floats:
        """Latency quantiles per row, NaN without samples."""
        return self.scale.quantiles(rows[:, self.scale.columns], wanted)

    def signals(self, rows: Floats, covered_s: Floats, window_s: int) -> Table[Signals]:
        """The signals of each row."""
        requests, errors = self.errors(rows)
        samples = rows[:, self.scale.columns].sum(axis=1)
        per_second = 1.0 / np.maximum(covered_s, 1e-3)
        quantiles = self.quantiles(rows).T
        transport = (rows[:, column] * per_second for column in TRANSPORT)
        amounts = (rows[:, column] * per_second for column in AMOUNTS)
        columns = (
            [window_s] * len(rows),
            covered_s,
            requests,
            requests * per_second,
            errors,
            _ratio(errors, requests),
            partial(self._by_outcome, rows),
            *quantiles,
            _known(_ratio(rows[:, LATENCY], samples), samples),
            *transport,
            _known(*_protected(rows)),
            *amounts,
        )
        return Table(Signals, dict(zip(Signals._fields, columns, strict=True)))

    def _by_outcome(self, rows: Floats) -> list[dict[Outcome, float]]:
        by_outcome = rows[:, self._requests]
        outcomes: list[dict[Outcome, float]] = [{} for _ in range(len(rows))]
        where = np.nonzero(by_outcome)
        for row, column, count in zip(*(one.tolist() for one in where), by_outcome[where].tolist(), strict=True):
            outcomes[row][self._outcomes[column]] = count
        return outcomes

    def histograms(self, rows: Floats) -> list[Histogram | None]:
        """The samples of each row; ``None`` where there are none."""
        return [self._histogram(row) if row[self.scale.columns].any() else None for row in rows]

    def _histogram(self, row: Floats) -> Histogram:
        filled = [number for number in self.scale.columns.tolist() if row[number]]
        bounds = sorted({bound for number in filled for bound in self._buckets[number]} - {0.0})
        counts = dict.fromkeys(bounds, 0.0)
        for number in filled:
            counts[self._buckets[number].high] += float(row[number])
        return Histogram(tuple(bounds), tuple(np.cumsum(list(counts.values())).tolist()), float(row[LATENCY]))


def _protected(rows: Floats) -> tuple[Floats, Floats]:
    """The share of the traffic over mutual TLS, and in how many kinds it is known: bytes never outweigh requests."""
    told, mutual = rows[:, [-4, -2]], rows[:, [-3, -1]]
    kinds = (told > 0).sum(axis=1)
    shares = np.divide(mutual, told, out=np.zeros(told.shape), where=told > 0)
    return _ratio(shares.sum(axis=1), kinds), kinds


def _known(values: Floats, weight: Floats) -> Floats:
    """The values, NaN where nothing was measured."""
    return np.where(weight > 0, values, np.nan)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
