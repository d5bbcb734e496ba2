"""How the traffic of a node or an edge went over a window, point by point."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from graph.arrays import Floats
from graph.model import Signals
from graph.signals import SignalReader


class Course(NamedTuple):
    """A node's or an edge's numbers over a window, oldest first; each point covers the time since the one before.

    ``None``: not known.
    """

    at_ms: tuple[int, ...] = ()
    rate: tuple[float | None, ...] = ()
    error_ratio: tuple[float | None, ...] = ()
    p50_ms: tuple[float | None, ...] = ()
    p95_ms: tuple[float | None, ...] = ()
    p99_ms: tuple[float | None, ...] = ()
    sent_bps: tuple[float | None, ...] = ()
    received_bps: tuple[float | None, ...] = ()
    """TCP bytes per second."""

    def until(self, at_ms: int) -> Course:
        """Leave out the points after an instant."""
        count = bisect_right(self.at_ms, at_ms)
        instants, *values = self
        return Course(instants[:count], *(one[:count] for one in values))


def course_of_counts(instants_ms: Sequence[int], rows: Floats, reader: SignalReader) -> Course:
    """Read what was counted between each instant and the next: one row of counters for each point."""
    requests, errors = reader.errors(rows)
    p50, p95, p99 = map(_known, reader.quantiles(rows).T)
    spans_s = np.diff(instants_ms) / 1000
    return Course(
        tuple(instants_ms[1:]),
        tuple((requests / spans_s).tolist()),
        tuple(np.divide(errors, requests, out=np.zeros(len(rows)), where=requests > 0).tolist()),
        p50,
        p95,
        p99,
        tuple((rows[:, 0] / spans_s).tolist()),
        tuple((rows[:, 1] / spans_s).tolist()),
    )


def course_of_windows(ends_ms: Sequence[int], signals: Sequence[Signals | None]) -> Course:
    """Put the signals of windows that end one after the other together; ``None``: nobody knows of that one."""
    _, *names = Course._fields
    return Course(tuple(ends_ms), *(tuple(one and getattr(one, name) for one in signals) for name in names))


def _known(values: Floats) -> tuple[float | None, ...]:
    """Turn NaN, which is where nothing was sampled, into ``None``."""
    return tuple(None if unknown else value for unknown, value in zip(np.isnan(values), values.tolist(), strict=True))
