"""Counters are known at their readings only, which come when they come: a Prometheus' every 15 s, say.

Between two readings nobody knows how many requests there were yet. So a window of 60 s holds what was counted from the
last reading before its begin until the newest one, which may be 45 s or 75 s; rates are per second of that time, and
counts are what was read, to the request. A window that holds no reading at all begins one reading earlier.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graph.arrays import Flags, Floats, Ints, add_up
from graph.hearing import Hearing


def slack_ms(from_ms: int, at_ms: int, read_ms: Ints, hearing: Hearing, measured: Flags) -> Ints:
    """Per series by how much the time between its readings is longer than the window; below 0: shorter.

    What is read each second counts so, too: readings come a little early or late, which would be a tenth of 10 s. And
    what is in doubt: its source has just failed, and nobody knows yet whether it will be read again.
    ``read_ms``: per series when that was read from which on it is counted. ``measured``: see
    :class:`graph.series_table.SeriesByInstance`.
    """
    exact = hearing.fresh & (measured | ~hearing.sure) & (hearing.at_ms > read_ms)
    return np.where(exact, (from_ms - read_ms) - (at_ms - hearing.at_ms), 0)


def stretches(edge: Ints, span_ms: Floats, slack: Ints, counts: Floats) -> Floats:
    """Per edge how many times as long as its window that time is, as a mean of its series by what they counted.

    The mean is harmonic: what the edge counted per second of it is the sum of what its series counted per second of
    theirs. ``edge``, ``slack`` and ``counts`` are per series, ``span_ms`` is per edge.
    """
    window = span_ms[edge]
    real = window + slack
    within = np.divide(counts * window, real, out=counts.copy(), where=(window > 0) & (real > 0))
    return stretch(add_up(edge, counts, len(span_ms)), add_up(edge, within, len(span_ms)))


def stretch(counts: Floats, within: Floats) -> Floats:
    """Give the stretch of what was counted, by what of it would be within the window; 1 where nothing was."""
    return np.divide(counts, within, out=np.ones(len(counts)), where=(counts > 0) & (within > 0))


def evened(counts: Floats, at_ms: Sequence[int], read_ms: Ints) -> Floats:
    """Spread over the time between two readings what was counted in it: a course has no peak where a reading came.

    ``counts`` has a row per step between two of the instants, ``read_ms`` one per instant: when that was read which was
    known by then. Both have a column per counter. After the newest reading all goes on as before it.
    """
    totals = np.vstack((np.zeros(counts.shape[1]), np.cumsum(counts, axis=0)))
    known_ms = np.maximum.accumulate(read_ms)
    spread = np.empty(totals.shape)
    for column, total in enumerate(totals.T):
        spread[:, column] = _as_of(at_ms, total, known_ms[:, column])
    return np.diff(spread, axis=0)


def _as_of(at_ms: Sequence[int], total: Floats, read_ms: Ints) -> Floats:
    """What one counter would have said at each of the instants."""
    before = max(int(np.searchsorted(read_ms, read_ms[-1])) - 1, 0)
    pace = (total[-1] - total[before]) / max(read_ms[-1] - read_ms[before], 1)
    since_ms = np.maximum(np.array(at_ms) - read_ms[-1], 0)
    return np.asarray(np.interp(at_ms, read_ms, total) + pace * since_ms, np.float64)
