"""Counters that are read more seldom than windows begin and end: a Prometheus' every 15 s, say.

Between two readings nobody knows how many requests there were yet. So a window of 60 s holds what was counted from the
last reading before its begin until the newest one, which may be 45 s or 75 s; rates are per second of that time, and
counts are what was read, to the request. A window that holds no reading at all begins one reading earlier.
"""

from __future__ import annotations

import numpy as np

from graph.merge import Floats, Ints
from graph.tally import Hearing, add_up

SELDOM_MS = 1_500
"""Whoever is read at shorter intervals is taken for read all the time."""


def slack_ms(from_ms: int, at_ms: int, read_ms: Ints, hearing: Hearing) -> Ints:
    """Per series by how much the time between its readings is longer than the window; below 0: shorter.

    ``read_ms``: per series when that was read from which on it is counted.
    """
    exact = hearing.seldom & hearing.fresh & (hearing.at_ms > read_ms)
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
