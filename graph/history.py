"""Windows of the past, put together from frames of cumulative counts (:mod:`graph.frames`).

Frames of one run have a common zero: what was counted between two of them is the later one less the earlier one. A
window that several runs share is the sum of a *leg* of each; what nobody watched in between is not covered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from graph.arrays import Floats, Ints
from graph.columns import FIELDS, Column
from graph.frames import Frame
from graph.health import DEFAULT, Tolerance
from graph.hearing import Hearing
from graph.model import GraphType, Snapshot
from graph.moment import assemble
from graph.readings import slack_ms
from graph.series import Series
from graph.series_table import SeriesByInstance, SeriesTable
from graph.silence import shares, silence
from graph.tally import Period

SLACK_MS = 15_000
"""A window may end so much later than the newest frame without being about a time when nobody watched."""


APART_MS = 10_000
"""Usually frames are so far apart, so that one is found nearer to an instant than half of it."""


class Stamp(NamedTuple):
    """Which run a frame belongs to, and its instant. A run itself is a frame, of zeros."""

    run: int
    at_ms: int


class Leg(NamedTuple):
    """The part of a window that one run has seen."""

    then: Stamp
    now: Stamp


def legs(stamps: Iterable[Stamp], window_s: int, at_ms: int) -> tuple[Leg, ...]:
    """Choose the frames for the window that ends with the newest one not later than ``at_ms``, oldest leg first.

    Each leg begins with the frame nearest to the window's start, and none before the one of the former run has ended:
    after a clock was set back, a run's zero may lie among the frames of another.
    """
    early = sorted((stamp for stamp in stamps if stamp.at_ms <= at_ms), key=lambda stamp: stamp.at_ms)
    if not early:
        return ()
    now = early[-1]
    start = now.at_ms - 1000 * window_s
    runs: defaultdict[int, list[Stamp]] = defaultdict(list)
    for stamp in early:
        runs[stamp.run].append(stamp)
    found = []
    for run, of in runs.items():
        if of[-1].at_ms > start or run == now.run:
            found.append(_leg(run, of, start))
            start = max(start, of[-1].at_ms)
    return tuple(leg for leg in found if leg.then.at_ms < leg.now.at_ms or leg.now == now)


def reaching_s(now: Frame, window_s: int) -> int:
    """Say how long a window that ends with a frame must be to begin before the last reading of all who are heard."""
    read_ms = now.hearing.at_ms[now.hearing.seldom & now.hearing.fresh].min(initial=now.at_ms)
    return max(window_s, (now.at_ms - int(read_ms) + APART_MS // 2) // 1000 if read_ms < now.at_ms else 0)


def is_watched(stamps: Iterable[Stamp], window_s: int, at_ms: int) -> bool:
    """Whether the window that ends at the instant is one in which somebody watched."""
    ordered = sorted(stamps, key=lambda stamp: stamp.at_ms)
    before = max((stamp for stamp in ordered if stamp.at_ms <= at_ms), key=lambda stamp: stamp.at_ms, default=None)
    if before is None:
        return False
    after = next((stamp for stamp in ordered if stamp.at_ms > at_ms), None)
    inside = after is not None and after.run == before.run
    return inside or before.at_ms >= at_ms - 1000 * window_s - SLACK_MS


def rebuild(
    frames: Sequence[Frame],
    kind: GraphType,
    window_s: int,
    at_ms: int,
    tolerances: Sequence[Tolerance] = DEFAULT,
) -> Snapshot | None:
    """Build the snapshot of the window that ends with the newest frame not later than ``at_ms``.

    Of ``frames`` it needs those of :func:`legs` for a window of :func:`reaching_s`; where the one at the window's start is missing, the window holds what
    was counted since the run began. ``None`` without any frame early enough.
    """
    of = {Stamp(frame.run, frame.at_ms): frame for frame in frames}
    chosen = legs(of, window_s, at_ms)
    if not chosen:
        return None
    now = of[chosen[-1].now]
    chosen = legs(of, reaching_s(now, window_s), at_ms)
    summed = _Sum(now)
    for leg in reversed(chosen):
        summed.add(of[leg.now], of.get(leg.then))
    gaps = [(earlier.now.at_ms, later.then.at_ms) for earlier, later in pairwise(chosen)]
    return assemble(
        SeriesTable(summed.series, now.inventory),
        summed.hearing(),
        summed.period(chosen[0].then.at_ms, of.get(chosen[0].then), gaps),
        now.inventory,
        kind,
        window_s=window_s,
        revision=now.revision,
        tolerances=tolerances,
    )


def _leg(run: int, stamps: Sequence[Stamp], start_ms: int) -> Leg:
    then = min((Stamp(run, run), *stamps[:-1]), key=lambda stamp: abs(stamp.at_ms - start_ms))
    return Leg(then, stamps[-1])


class _Sum:
    """The legs of a window side by side: the series of each, in columns that they share."""

    def __init__(self, now: Frame) -> None:
        self.now = now
        self.series: list[Series] = []
        self.heard: list[np.ndarray] = []
        self.fresh: list[np.ndarray] = []
        self.seldom: list[np.ndarray] = []
        self._columns: dict[Column, int] = {column: number for number, column in enumerate(FIELDS)}
        self._counts: list[Floats] = []
        self._cell_series: list[np.ndarray] = []
        self._cell_column: list[np.ndarray] = []

    def add(self, frame: Frame, earlier: Frame | None) -> None:
        """Add what was counted between two frames, or until one."""
        numbers = [self._columns.setdefault(column, len(self._columns)) for column in frame.columns]
        self._counts.append(_counted(frame, earlier) if earlier else frame.values)
        self._cell_series.append(frame.cell_series + len(self.series))
        self._cell_column.append(np.array(numbers, np.int64)[frame.cell_column])
        self.heard.append(frame.hearing.at_ms)
        # Who spoke in a run that is over is not heard any more, unless the newest run hears it, too.
        self.fresh.append(frame.hearing.fresh if frame is self.now else np.zeros(len(frame.series), bool))
        self.seldom.append(frame.hearing.seldom)
        self.series.extend(frame.series)

    def hearing(self) -> Hearing:
        """Give who is heard now, and why others are not."""
        why = self.now.hearing.why
        padded = [*why, *[""] * (len(self.series) - len(why))] if why else ()
        return Hearing(np.concatenate(self.heard), np.concatenate(self.fresh), padded, np.concatenate(self.seldom))

    def period(self, from_ms: int, first: Frame | None, gaps: Sequence[tuple[int, int]]) -> Period:
        """Give the whole window, which begins with a frame or with a run."""
        read_ms = self._read_ms(from_ms, first)
        measured = SeriesByInstance([one.key for one in self.series]).measured
        return Period(
            from_ms,
            self.now.at_ms,
            np.concatenate(self._counts),
            np.concatenate(self._cell_series),
            np.concatenate(self._cell_column),
            tuple(self._columns),
            read_ms,
            slack_ms(from_ms, self.now.at_ms, read_ms, self.hearing(), measured),
            tuple(gaps),
        )

    def _read_ms(self, from_ms: int, first: Frame | None) -> Ints:
        read_ms = (
            {one.key: at_ms for one, at_ms, fresh in zip(first.series, *first.hearing[:2], strict=True) if fresh}
            if first
            else {}
        )
        return np.array([read_ms.get(one.key, from_ms) for one in self.series], np.int64)


def _counted(frame: Frame, earlier: Frame) -> Floats:
    """What was counted between two frames."""
    counts: Floats = np.maximum(frame.values - _aligned(earlier, frame), 0.0)
    then = silence(_by_instance(earlier), earlier.hearing)
    if then:
        counts *= shares(then, _by_instance(frame), frame.hearing.at_ms, earlier.at_ms)[frame.cell_series]
    return counts


def _by_instance(frame: Frame) -> SeriesByInstance:
    return SeriesByInstance([one.key for one in frame.series])


def _aligned(then: Frame, now: Frame) -> Floats:
    """The earlier counts in the later frame's cells; what was not counted yet is zero."""
    columns = {column: number for number, column in enumerate(now.columns)}
    numbers = {one.key: number for number, one in enumerate(now.series)}
    place = np.full((len(now.series), len(now.columns)), -1)
    place[now.cell_series, now.cell_column] = np.arange(len(now.values))
    row = np.array([numbers.get(one.key, -1) for one in then.series], np.int64)[then.cell_series]
    column = np.array([columns.get(one, -1) for one in then.columns], np.int64)[then.cell_column]
    cell = np.where((row >= 0) & (column >= 0), place[row, column], -1) if len(place) else np.full(len(row), -1)
    aligned = np.zeros(len(now.values))
    aligned[cell[cell >= 0]] = then.values[cell >= 0]
    return aligned
