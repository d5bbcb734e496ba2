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
    """Per series by how much longer than the window it was counted: see :mod:`graph.readings`."""
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
    """Per finest edge the reporter whose requests are shown, or whose bytes where there are none; behind the last: none."""
    told: tuple[Floats, ...]
    """Per series: requests whose protection is known, and those over mutual TLS; then the same two of TCP traffic. Each
    once, by the first who knows."""


class _Choice(NamedTuple):
    """Whose counts of one kind of traffic are taken."""

    reporter: Ints
    """Per finest edge; behind the last: nobody's."""
    taken: Flags
    """Per series."""


def tally(series: SeriesTable, period: Period, *, by_operation: bool = False) -> Tally:
    """Choose per edge the reporter of its requests, and of its TCP counters: the caller, the callee, then spans.

    ``by_operation``: of those who tell what was asked for, where there are any.
    """
    kinds = (
        np.array([isinstance(column, Requests) for column in period.columns]),
        np.arange(len(period.columns)) < TCP,
    )
    requests, tcp = (_by_series(period, kind, len(series.all)) for kind in kinds)
    silent = _silent(series, requests + tcp)
    asks, opens = requests * ~silent, tcp * ~silent
    of_requests = _choose(series, asks, series.naming if by_operation else None)
    of_tcp = _choose(series, opens)
    taken = np.where(period.cell_column < TCP, of_tcp.taken[period.cell_series], of_requests.taken[period.cell_series])
    counts, covered = period.counts * (taken & ~silent[period.cell_series]), frozenset[int]()
    if series.seams:
        cells = (series.joined.series_finest[period.cell_series], period.cell_column)
        counts, covered = rest(series.seams, cells, counts, kinds)
    return Tally(
        period,
        counts,
        requests,
        silent | np.isin(series.joined.series_finest, list(covered)),
        np.where(of_requests.reporter < len(REPORTERS), of_requests.reporter, of_tcp.reporter),
        (*_told(series, asks), *_told(series, opens)),
    )


def _by_series(period: Period, kind: Flags, size: int) -> Floats:
    """What each series counted in the columns of one kind."""
    wanted = kind[period.cell_column]
    return add_up(period.cell_series[wanted], period.counts[wanted], size)


def _choose(series: SeriesTable, activity: Floats, first: Floats | None = None) -> _Choice:
    """Choose per edge the first reporter with any activity.

    Where ``first`` marks an active series of an edge, only the reporters of such series are candidates.
    """
    active = _active(series, activity)
    if first is not None:
        marked = _active(series, activity * first)
        active = np.where(marked.any(axis=1, keepdims=True), marked, active)
    reporter = np.where(active.any(axis=1), active.argmax(axis=1), len(REPORTERS))
    return _Choice(reporter, reporter[series.joined.series_finest] == series.reporter)


def _active(series: SeriesTable, activity: Floats) -> Flags:
    """Whether there is any activity, ``[finest, reporter]``."""
    shape = (len(series.joined.edges), len(REPORTERS))
    place = series.joined.series_finest * len(REPORTERS) + series.reporter
    return np.asarray(add_up(place, activity, shape[0] * shape[1]).reshape(shape) > 0, np.bool_)


def _told(series: SeriesTable, activity: Floats) -> tuple[Floats, Floats]:
    """What was counted by the first who knows what protected it, and what of that was over mutual TLS."""
    told = activity * series.telling
    told = np.asarray(told * _choose(series, told).taken, np.float64)
    return told, told * series.mutual


def _silent(series: SeriesTable, activity: Floats) -> Flags:
    """The contenders that have nothing to say, or whose traffic other edges already count."""
    silent = np.zeros(len(activity), bool)
    for contender in series.joined.contenders:
        rivals = np.isin(series.joined.series_finest, contender.finest)
        better = rivals & (series.reporter < series.reporter[contender.series[0]])
        said, known = activity[contender.series].sum(), activity[better].sum()
        enough = not contender.anonymous or agree(said, said - known)
        silent[contender.series] = not said or (known > 0 and enough)
    return silent
