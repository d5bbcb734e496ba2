"""What was counted in one window on each finest edge, each request once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from graph.arrays import REPORTERS, Flags, Floats, Ints, add_up
from graph.columns import TCP, Column, Requests
from graph.series_table import SeriesTable
from graph.stitch import agree, rest


class Period(NamedTuple):
    """The counts of one window by cell."""

    from_ms: int
    at_ms: int
    counts: Floats
    cell_series: Ints
    cell_column: Ints
    columns: Sequence[Column]
    read_ms: Ints
    """Per series when it was read what the window begins with."""
    slack_ms: Ints
    """Per series by how much longer than the window it was counted: see :mod:`graph.seldom`."""
    gaps: Sequence[tuple[int, int]] = ()
    """Instants between which nobody watched."""


class Tally(NamedTuple):
    """A window's counts after the choice of reporters."""

    period: Period
    counts: Floats
    """Per cell; zero where another reporter was chosen."""
    requests: Floats
    """Per series, chosen or not: evidence."""
    silent: Flags
    """Per series: evidence of other edges only."""
    chosen: Ints
    """Per edge the reporter whose requests are shown, or whose bytes where there are no requests; behind the last: none."""
    told: tuple[Floats, Floats]
    """Per series: requests, and TCP traffic, whose protection is known; each once, by the first who knows."""


def tally(series: SeriesTable, period: Period, *, by_operation: bool = False) -> Tally:
    """Choose per edge the reporter of its requests, and of its TCP counters: the caller, the callee, then spans.

    ``by_operation``: of those who tell what was asked for, where there are any.
    """
    size = len(series.all)
    is_tcp = period.cell_column < TCP
    counted = np.array([isinstance(column, Requests) for column in period.columns])
    requests = _by_series(period, counted[period.cell_column], size)
    tcp = _by_series(period, is_tcp, size)
    silent = _silent(series, requests + tcp)
    heard = ~silent
    asks, speaks_of_requests = _choose(series, requests * heard, series.naming if by_operation else None)
    opens, speaks_of_tcp = _choose(series, tcp * heard)
    speaks = np.where(
        is_tcp, (speaks_of_tcp & heard)[period.cell_series], (speaks_of_requests & heard)[period.cell_series]
    )
    counts, covered = period.counts * speaks, frozenset[int]()
    home = series.joined.home
    if series.seams:
        kinds = (counted, np.arange(len(counted)) < TCP)
        counts, covered = rest(series.seams, (home[period.cell_series], period.cell_column), counts, kinds)
    return Tally(
        period,
        counts,
        requests,
        silent | np.isin(home, list(covered)),
        np.where(asks < len(REPORTERS), asks, opens),
        (_told(series, requests * heard), _told(series, tcp * heard)),
    )


def _by_series(period: Period, wanted: Flags, size: int) -> Floats:
    return add_up(period.cell_series[wanted], period.counts[wanted], size)


def _choose(series: SeriesTable, activity: Floats, first: Floats | None = None) -> tuple[Ints, Flags]:
    """Per edge the first reporter with any activity (``len(REPORTERS)``: none), and per series whether it is its.

    Where ``first`` marks an active series of an edge, only the reporters of such series are candidates.
    """
    home = series.joined.home
    active = _active(series, activity)
    if first is not None:
        marked = _active(series, activity * first)
        active = np.where(marked.any(axis=1, keepdims=True), marked, active)
    chosen = np.where(active.any(axis=1), active.argmax(axis=1), len(REPORTERS))
    return chosen, chosen[home] == series.reporter


def _active(series: SeriesTable, activity: Floats) -> Flags:
    """Per edge and reporter whether there is any activity."""
    edges, reporters = len(series.joined.edges), len(REPORTERS)
    total = add_up(series.joined.home * reporters + series.reporter, activity, edges * reporters)
    return np.asarray(total.reshape(edges, reporters) > 0, np.bool_)


def _told(series: SeriesTable, activity: Floats) -> Floats:
    told: Floats = activity * series.telling
    told *= _choose(series, told)[1]
    return told


def _silent(series: SeriesTable, activity: Floats) -> Flags:
    """The contenders that have nothing to say, or whose traffic other edges already count."""
    silent = np.zeros(len(activity), bool)
    home = series.joined.home
    for contender in series.joined.contenders:
        better = np.isin(home, contender.edges) & (series.reporter < series.reporter[contender.series[0]])
        said, known = activity[contender.series].sum(), activity[better].sum()
        enough = not contender.anonymous or agree(said, said - known)
        silent[contender.series] = not said or (known > 0 and enough)
    return silent
