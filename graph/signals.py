"""Golden signals out of counts: one row of counters per edge or node, one column per ledger column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graph.health import is_error
from graph.merge import Column, Floats, Requests
from graph.model import Outcome, Signals
from graph.tally import Flags
from graph.windows import Scale

QUANTILES = (0.50, 0.95, 0.99)
LATENCY = 4
"""The column of summed latencies."""


class Reading:
    """Reads rows of counters. A row ends with two more columns: traffic whose protection is known, and over mTLS."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.width = len(columns) + 2
        requests = [(number, column) for number, column in enumerate(columns) if isinstance(column, Requests)]
        self.scale = Scale(columns)
        self._requests = np.array([number for number, _ in requests], np.int64)
        self._errors = np.array([is_error(*column) for _, column in requests], float)
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

    def signals(self, rows: Floats, covered_s: Floats, window_s: int) -> list[Signals]:
        """The signals of each row."""
        by_outcome = rows[:, self._requests]
        requests, errors = self.errors(rows)
        samples = rows[:, self.scale.columns].sum(axis=1)
        per_second = 1.0 / np.maximum(covered_s, 1e-3)
        numbers = np.column_stack(
            (
                covered_s,
                requests,
                requests * per_second,
                errors,
                _ratio(errors, requests),
                rows[:, 0] * per_second,
                rows[:, 1] * per_second,
                rows[:, 2] * per_second,
                _ratio(rows[:, LATENCY], samples),
                _ratio(rows[:, -1], rows[:, -2]),
                self.quantiles(rows),
            )
        ).tolist()
        told = (rows[:, -2] > 0).tolist()
        sampled = (samples > 0).tolist()
        met: list[dict[Outcome, float]] = [{} for _ in numbers]
        for row, column in zip(*np.nonzero(by_outcome), strict=True):
            met[row][self._outcomes[column]] = float(by_outcome[row, column])
        return [
            Signals(
                window_s=window_s,
                covered_s=covered,
                requests=count,
                rate=rate,
                errors=failed,
                error_ratio=ratio,
                outcomes=outcomes,
                p50_ms=p50 if has else None,
                p95_ms=p95 if has else None,
                p99_ms=p99 if has else None,
                mean_ms=mean if has else None,
                sent_bps=sent,
                received_bps=received,
                opened_rate=opened,
                mtls=mtls if known else None,
            )
            for (
                covered,
                count,
                rate,
                failed,
                ratio,
                sent,
                received,
                opened,
                mean,
                mtls,
                p50,
                p95,
                p99,
            ), outcomes, has, known in zip(numbers, met, sampled, told, strict=True)
        ]


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
