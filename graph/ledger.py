"""Folding observations into cumulative counts.

The truth is one flat vector: a *cell* is one counter (a :data:`~graph.columns.Column`) of one series, and its value is
what has been counted since the graph began to watch. It never falls, whatever restarts; so a window is one subtraction
of two vectors (:mod:`graph.windows`), and a sum over any set of cells is exact. :mod:`graph.arrays` has the picture.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from graph.arrays import Flags, Floats, Ints
from graph.columns import Column, Numbering
from graph.model import Counters, Observation, Outcome, Reporter
from graph.series import InstanceKey, SeriesKey

FEWEST_CELLS = 1024
"""Room for so many is made at once."""

KEPT_EPOCHS = 3
"""So many finished runs of a series can still be corrected by readings that arrive late."""

DEFAULT_INTERVAL_MS = 5_000.0
"""Taken for an instance's reporting interval until two readings tell."""

STALE_INTERVALS = 3
"""An instance silent for so many of its intervals is no longer believed."""


@dataclass(slots=True)
class SeriesState:
    """What the ledger remembers of one counter set."""

    key: SeriesKey
    origin: str
    since_ms: int
    """0: counted from its very beginning; else the instant of the first reading, which is its zero."""
    epoch: int
    at_ms: int
    counters: Counters
    column_cell: array[int] = field(default_factory=lambda: array("i"))
    """Per column number its cell; below 0: none. A dict would take five times as much, and series are many."""
    settled: dict[int, float] = field(default_factory=dict)
    """Per column, what earlier runs counted (less what was there before the graph watched)."""
    finished: dict[int, tuple[int, Counters]] = field(default_factory=dict)
    """Per epoch that is over, its last reading."""


@dataclass(slots=True)
class Instance:
    """When a process was heard."""

    first_ms: int
    at_ms: int
    interval_ms: float = DEFAULT_INTERVAL_MS

    def hear(self, at_ms: int) -> None:
        """Learn the interval from the gaps between readings; a single silence, however long, tells little of it."""
        gap = at_ms - self.at_ms
        if gap > 0:
            first = self.at_ms == self.first_ms
            usual = 0.8 * self.interval_ms + 0.2 * min(gap, STALE_INTERVALS * self.interval_ms)
            self.interval_ms = max(1_000.0, gap if first else usual)
            self.at_ms = at_ms


@dataclass(slots=True)
class Drops:
    """Observations that changed nothing, by reason."""

    duplicate: int = 0
    late: int = 0
    """Older than what is known of the same run."""
    overflow: int = 0
    """Refused because the ledger is full."""


class Cells:
    """The counters that counted anything: a sparse matrix of series and columns, as three arrays that grow together."""

    def __init__(self) -> None:
        self._count = 0
        self._values: Floats = np.zeros(FEWEST_CELLS)
        self._series: Ints = np.zeros(FEWEST_CELLS, np.int64)
        self._column: Ints = np.zeros(FEWEST_CELLS, np.int64)

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> Floats:
        """What each has counted; a view that the next fold changes."""
        return self._values[: self._count]

    @property
    def series(self) -> Ints:
        """The series that each belongs to."""
        return self._series[: self._count]

    @property
    def column(self) -> Ints:
        """The column that each belongs to."""
        return self._column[: self._count]

    def add(self, series: int, column: int) -> int:
        """Begin a counter at zero; return its number."""
        cell = self._count
        if cell == len(self._values):
            grown = max(FEWEST_CELLS, 2 * cell)
            self._values, self._series, self._column = (
                np.resize(self._values, grown),
                np.resize(self._series, grown),
                np.resize(self._column, grown),
            )
        self._values[cell], self._series[cell], self._column[cell] = 0.0, series, column
        self._count += 1
        return cell

    def write(self, values: Mapping[int, float]) -> None:
        """Put the values where the cells of these numbers are."""
        cells = np.fromiter(values.keys(), np.int64, len(values))
        self._values[cells] = np.fromiter(values.values(), np.float64, len(values))

    def keep(self, wanted: Flags) -> Ints:
        """Leave the cells of series that are not wanted, and number the others anew; return their old numbers."""
        cells = np.flatnonzero(wanted[self.series])
        renumbered = np.cumsum(wanted) - 1
        self._values = self._values[cells]
        self._series = renumbered[self._series[cells]]
        self._column = self._column[cells]
        self._count = len(cells)
        return cells


class Ledger:
    """The latest reading per series, and the sum over all its runs.

    Folding is idempotent, and it does not depend on the order of readings of different epochs; of one epoch the
    reading with the latest ``at_ms`` counts. Nothing counted before a reset is lost.
    """

    def __init__(self, started_ms: int, *, capacity: int = 200_000) -> None:
        self.started_ms = started_ms
        self.forgotten_ms = started_ms
        """Until then somebody may have counted of whom nothing is known any more, or nothing was known yet."""
        self.capacity = capacity
        """Most series that are held at once."""
        self.series: list[SeriesState] = []
        self.cells = Cells()
        self.instances: dict[InstanceKey, Instance] = {}
        self.drops = Drops()
        self.version = 0
        """Changes whenever ``series`` does."""
        self._numbers: dict[SeriesKey, int] = {}
        self._numbering = Numbering()
        self._writes: dict[int, float] = {}

    @property
    def columns(self) -> Sequence[Column]:
        """By number what each column counts; more come, none changes its place."""
        return self._numbering.columns

    def fold(self, batch: Iterable[Observation]) -> None:
        """Take the readings in."""
        for seen in batch:
            self._fold(seen)
        if self._writes:
            self.cells.write(self._writes)
            self._writes.clear()

    def keep(self, wanted: Flags) -> Ints:
        """Forget the series that are not wanted; return the cells that stay, by their old numbers."""
        gone = (one.at_ms for one, stays in zip(self.series, wanted, strict=True) if not stays)
        self.forgotten_ms = max(self.forgotten_ms, *gone, 0)
        self.series = [one for one, stays in zip(self.series, wanted, strict=True) if stays]
        self._numbers = {one.key: number for number, one in enumerate(self.series)}
        cells = self.cells.keep(wanted)
        moved = {int(old): new for new, old in enumerate(cells)}
        for one in self.series:
            one.column_cell = array("i", [moved.get(cell, -1) for cell in one.column_cell])
        heard = {one.key.instance_key for one in self.series}
        self.instances = {key: one for key, one in self.instances.items() if key in heard}
        self.version += 1
        return cells

    def set_back(self, by_ms: int) -> None:
        """Follow a clock that was set back: whatever is remembered happened as much earlier."""
        self.started_ms -= by_ms
        self.forgotten_ms -= by_ms
        for one in self.series:
            one.at_ms -= by_ms
            one.since_ms -= by_ms if one.since_ms else 0
            one.finished = {epoch: (at_ms - by_ms, counted) for epoch, (at_ms, counted) in one.finished.items()}
        for instance in self.instances.values():
            instance.first_ms -= by_ms
            instance.at_ms -= by_ms
        self.version += 1

    def not_later(self, now_ms: int) -> None:
        """Take readings from the future, which a clock gave that has been set back since, for readings of now."""
        heard: tuple[SeriesState | Instance, ...] = (*self.series, *self.instances.values())
        for one in heard:
            one.at_ms = min(one.at_ms, now_ms)

    def _fold(self, seen: Observation) -> None:
        key = SeriesKey(
            seen.edge,
            seen.reporter,
            seen.instance,
            seen.security,
            seen.source_principal,
            seen.destination_principal,
            seen.operation,
            seen.host,
        )
        number = self._numbers.get(key)
        if number is None:
            self._meet(key, seen)
            return
        self.instances[seen.reporter, seen.instance].hear(seen.at_ms)
        series = self.series[number]
        if seen.epoch < series.epoch:
            self._correct(number, seen)
        elif seen.epoch > series.epoch:
            self._retire(series)
            self._read(number, seen)
        elif not _newer(seen, series.at_ms, series.counters):
            self._drop(seen, series.at_ms)
        elif seen.counters is series.counters or seen.counters == series.counters:
            series.at_ms = seen.at_ms
        else:
            if seen.at_ms > series.at_ms and fell(series.counters, seen.counters):
                self._settle(series, series.counters)
            self._read(number, seen)

    def _meet(self, key: SeriesKey, seen: Observation) -> None:
        """A series seen for the first time counts from zero, unless its instance was counting before we watched."""
        if len(self.series) >= self.capacity:
            self.drops.overflow += 1
            return
        instance = self.instances.setdefault((seen.reporter, seen.instance), Instance(seen.at_ms, seen.at_ms))
        watched = seen.epoch >= self.forgotten_ms or seen.reporter is Reporter.TRACE or instance.first_ms < seen.at_ms
        instance.hear(seen.at_ms)
        series = SeriesState(key, seen.origin, 0 if watched else seen.at_ms, seen.epoch, seen.at_ms, seen.counters)
        if not watched:
            self._settle(series, seen.counters, sign=-1.0)
        number = self._numbers[key] = len(self.series)
        self.series.append(series)
        self.version += 1
        self._read(number, seen)

    def _read(self, number: int, seen: Observation) -> None:
        series = self.series[number]
        series.epoch, series.at_ms, series.counters, series.origin = seen.epoch, seen.at_ms, seen.counters, seen.origin
        self._write(number, self._numbering.flat(series.key.edge.protocol, seen.counters))

    def _correct(self, number: int, seen: Observation) -> None:
        """A reading of a run that is over: only a later word on that run than the one we had says anything new."""
        series = self.series[number]
        known = series.finished.get(seen.epoch)
        if known and not _newer(seen, *known):
            self._drop(seen, known[0])
            return
        forgotten = len(series.finished) >= KEPT_EPOCHS and seen.epoch < min(series.finished)
        if not known and (forgotten or seen.epoch < self.started_ms):
            self.drops.late += 1
            return
        if known and not fell(known[1], seen.counters):
            self._settle(series, known[1], sign=-1.0)
        self._settle(series, seen.counters)
        self._finish(series, seen.epoch, seen.at_ms, seen.counters)
        total = dict(self._numbering.flat(series.key.edge.protocol, series.counters))
        self._write(number, [(column, total.get(column, 0.0)) for column in total.keys() | series.settled.keys()])

    def _drop(self, seen: Observation, known_ms: int) -> None:
        if seen.at_ms == known_ms:
            self.drops.duplicate += 1
        else:
            self.drops.late += 1

    def _retire(self, series: SeriesState) -> None:
        self._settle(series, series.counters)
        self._finish(series, series.epoch, series.at_ms, series.counters)

    @staticmethod
    def _finish(series: SeriesState, epoch: int, at_ms: int, counters: Counters) -> None:
        series.finished[epoch] = (at_ms, counters)
        if len(series.finished) > KEPT_EPOCHS:
            del series.finished[min(series.finished)]

    def _settle(self, series: SeriesState, counters: Counters, *, sign: float = 1.0) -> None:
        for column, value in self._numbering.flat(series.key.edge.protocol, counters):
            series.settled[column] = series.settled.get(column, 0.0) + sign * value

    def _write(self, number: int, flat: Iterable[tuple[int, float]]) -> None:
        series = self.series[number]
        settled, column_cell = series.settled, series.column_cell
        for column, value in flat:
            cell = column_cell[column] if column < len(column_cell) else -1
            if cell < 0:
                cell = self.cells.add(number, column)
                column_cell.extend([-1] * (column + 1 - len(column_cell)))
                column_cell[column] = cell
            self._writes[cell] = value + settled[column] if column in settled else value


def fell(before: Counters, after: Counters) -> bool:
    """Whether the instance must have started again in between.

    Buckets are left out: proxies estimate them, so that one may shrink by a sample that its neighbour gains.
    """
    if (
        after.sent_bytes < before.sent_bytes
        or after.received_bytes < before.received_bytes
        or after.opened < before.opened
        or after.closed < before.closed
    ):
        return True
    now: Mapping[Outcome, float] = after.requests
    return any(now.get(outcome, 0.0) < value for outcome, value in before.requests.items())


def _newer(seen: Observation, at_ms: int, counters: Counters) -> bool:
    """Of two readings of one instant the larger is the later one."""
    return seen.at_ms > at_ms or (seen.at_ms == at_ms and _weight(seen.counters) > _weight(counters))


def _weight(counters: Counters) -> float:
    return (
        math.fsum(counters.requests.values())
        + counters.sent_bytes
        + counters.received_bytes
        + counters.opened
        + counters.closed
    )
