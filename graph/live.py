"""The live graph: takes observations in, closes a step at each tick, hands out immutable snapshots.

Everything here belongs to one thread (the console's loop); snapshots may go anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from graph.arrays import Floats, Ints
from graph.course import Course, course_of_counts
from graph.frames import Frame
from graph.health import DEFAULT, Direction, Judge, Tolerance
from graph.hearing import Doubts, Hearing, doubted, heard
from graph.ledger import Ledger
from graph.model import GraphType, Inventory, Observation, Snapshot
from graph.ports import Clock
from graph.readings import evened, slack_ms
from graph.series import Series
from graph.series_table import SeriesTable, same_names
from graph.signals import SignalReader
from graph.silence import shares, silence, unheard_since_ms
from graph.snapshots import Builder, Made
from graph.tally import Period, Tally, tally
from graph.windows import FINEST_MS, Mark, Marks, Packed, ages_ms

FORGET_AFTER_MS = 3_900_000
"""A series silent for longer than the longest window is forgotten."""

SWEEP_EVERY_MS = 60_000

LEAP_MS = 10_000
"""Steps are a second or so apart. Who wakes up later than this waits as long for everybody to be heard again."""

KEPT = 30
"""A snapshot that nobody asked for in so many ticks is let go."""

LONGEST_AGE_MS = int(np.iinfo(np.int32).max)

NO_CELLS: tuple[Ints, Ints] = (np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How much the graph holds, and what it could not use."""

    revision: int
    series: int
    edges: int
    cells: int
    bytes: int
    duplicate: int
    late: int
    overflow: int


class LiveGraph:
    """Observations in, snapshots out. What is observed shows from the next tick on."""

    def __init__(self, *, clock: Clock, tolerances: Sequence[Tolerance] = DEFAULT, capacity: int = 200_000) -> None:
        started = clock.now_ms()
        self.revision = 0
        self.tolerances = tolerances
        self._ledger = Ledger(started, capacity=capacity)
        self._marks = Marks(started)
        self._inventory = Inventory()
        self._doubts: dict[str, Doubts] = {}
        self._swept_ms = started
        self._step_ms = self._woke_ms = 0
        """How long the last step was, and when one came so late that the machine must have slept, or its clock was set forward."""
        self._shape: tuple[int, int] = (-1, -1)
        """The ledger's version and the number of columns that the following were made for."""
        self._renewed = self._renamed = False
        """Whether the inventory is another one than they were made for, and calls something otherwise."""
        self._series = SeriesTable((), self._inventory)
        self._reader = SignalReader(self._ledger.columns)
        self._judge = Judge(self._ledger.columns, tolerances)
        self._hearing = Hearing(np.zeros(0, np.int64), np.zeros(0, bool))
        self._cells = NO_CELLS
        self._builders: dict[GraphType, Builder] = {}
        self._tallies: dict[tuple[int, bool], Tally] = {}
        self._made: dict[tuple[GraphType, int], Made] = {}

    def observe(self, batch: Iterable[Observation]) -> None:
        """Fold readings in. The same reading twice, or late, changes nothing."""
        self._ledger.fold(batch)

    def doubt(self, source: str, doubts: Doubts) -> None:
        """Take a source's word on why what it observed may not be believed now; it replaces its former word.

        A doubt about an edge makes what that instance counts on it stale at once. A doubt about an instance is the
        reason that is shown: at once where nobody else tells of an edge, whose rates are then of the time until the
        last reading; stale the edge is once the instance has not been heard for too long. Shows from the next tick on.
        """
        if doubts:
            self._doubts[source] = doubts
        else:
            self._doubts.pop(source, None)

    def inventory(self, inventory: Inventory) -> None:
        """Say what exists; shows from the next tick on."""
        if inventory != self._inventory:
            self._renamed |= not same_names(inventory, self._inventory)
            self._renewed = True
            self._inventory = inventory

    @property
    def inventoried(self) -> Inventory:
        """What exists, as last said."""
        return self._inventory

    def tick(self, now_ms: int) -> int:
        """Close a step: a new revision, whose snapshots hold everything observed so far."""
        if now_ms < self.at_ms - FINEST_MS:
            self._set_back(self.at_ms + FINEST_MS - now_ms)
        if now_ms - self._swept_ms >= SWEEP_EVERY_MS:
            self._sweep(now_ms)
        before_ms, self._step_ms = self._step_ms, now_ms - self.at_ms
        if before_ms <= LEAP_MS < self._step_ms:
            self._woke_ms = now_ms
        # On waking up nobody knows how much of the time since they were heard others counted in.
        wakes = now_ms - self._woke_ms <= LEAP_MS and not self._hearing.fresh.all()
        self._marks.add(Mark(now_ms, self._ledger.cells.values.copy()), begins=not wakes)
        self._refresh()
        self.revision += 1
        self._made = {key: made for key, made in self._made.items() if made.snapshot.revision >= self.revision - KEPT}
        return self.revision

    @property
    def at_ms(self) -> int:
        """The instant of the last tick."""
        return self._marks.now.at_ms

    @property
    def unheard_since_ms(self) -> int | None:
        """When the newest measurement was read, where nobody who measures is heard any more: all of it is old then."""
        return unheard_since_ms(self._series, self._hearing)

    def snapshot(self, kind: GraphType, window_s: int) -> Snapshot:
        """The newest revision of one projection. Unchanged nodes and edges are the same objects as before.

        Any window up to :data:`graph.windows.REACH_S`; a longer one holds what there is. Signals tell what is covered.
        """
        kept = self._made.get((kind, window_s))
        if kept and kept.snapshot.revision == self.revision:
            return kept.snapshot
        counted = self._tally(kind, window_s)
        made = self._builder(kind).build(counted, self._hearing, window_s, self.revision, kept)
        self._made[kind, window_s] = made
        return made.snapshot

    def course(
        self,
        kind: GraphType,
        window_s: int,
        id_: str,
        points: int = 60,
        *,
        direction: Direction | None = None,
        evenly: bool = True,
    ) -> Course:
        """A node's or an edge's course over the window; empty if unknown.

        Of a node all its traffic in the *direction*; without one, inbound if it has any. Not *evenly*: with more points
        where memory has more, so that they must be placed by their instants.
        """
        builder = self._builder(kind)
        wanted = builder.edges_of(id_, direction)
        if not wanted.any() or not len(self._series.all):
            return Course()
        counted = self._tally(kind, window_s)
        cells = builder.cells_of(wanted, counted)
        columns, series = counted.period.cell_column[cells], counted.period.cell_series[cells]
        marks = self._marks.within(window_s, points, evenly=evenly)
        instants = [mark.at_ms for mark in marks]
        counts = np.array([self._between(then, now)[cells] for then, now in pairwise(marks)]).reshape(-1, len(cells))
        seldom = np.flatnonzero((self._hearing.seldom & self._hearing.fresh)[series])
        read_ms = np.array([self._read_ms(mark)[series[seldom]] for mark in marks])
        counts[:, seldom] = evened(counts[:, seldom], instants, read_ms)
        rows = [np.bincount(columns, weights=one, minlength=self._reader.width) for one in counts]
        return course_of_counts(instants, np.array(rows, float).reshape(-1, self._reader.width), self._reader)

    def frame(self) -> Frame:
        """Give everything counted until the last tick, for :mod:`graph.frames`."""
        return Frame(
            run=self._ledger.started_ms,
            at_ms=self._marks.now.at_ms,
            revision=self.revision,
            series=self._series.all,
            hearing=self._hearing,
            columns=tuple(self._ledger.columns[: self._shape[1]] if self._shape[1] >= 0 else self._ledger.columns),
            cell_series=self._cells[0],
            cell_column=self._cells[1],
            values=self._marks.now.values,
            inventory=self._inventory,
        )

    def state(self) -> State:
        """What the graph holds and what it dropped."""
        ledger = self._ledger
        return State(
            revision=self.revision,
            series=len(ledger.series),
            edges=len(self._series.joined.edges),
            cells=len(ledger.cells),
            bytes=self._marks.nbytes + 3 * ledger.cells.values.nbytes,
            duplicate=ledger.drops.duplicate,
            late=ledger.drops.late,
            overflow=ledger.drops.overflow,
        )

    def _set_back(self, by_ms: int) -> None:
        """Follow a clock that was set back: it was wrong before, and counts went on meanwhile."""
        self._ledger.set_back(by_ms)
        self._marks.set_back(by_ms)
        self._swept_ms -= by_ms
        self._woke_ms -= by_ms

    def _sweep(self, now_ms: int) -> None:
        self._swept_ms = now_ms
        self._ledger.not_later(now_ms)
        wanted = np.array([now_ms - one.at_ms <= FORGET_AFTER_MS for one in self._ledger.series], bool)
        if not wanted.all():
            self._marks.keep(self._ledger.keep(wanted))

    def _refresh(self) -> None:
        """Bring what depends on the series up to this step."""
        ledger = self._ledger
        shape = (ledger.version, len(ledger.columns))
        if shape[1] != self._shape[1]:
            self._reader = SignalReader(tuple(ledger.columns))
            self._judge = Judge(tuple(ledger.columns), self.tolerances)
        if shape[0] != self._shape[0] or self._renamed:
            self._lay_series()
            self._cells = NO_CELLS
        if shape != self._shape or self._renamed:
            self._builders.clear()
        elif self._renewed:
            self._builders = {kind: one for kind, one in self._builders.items() if one.renewed(self._inventory)}
        self._shape, self._renewed, self._renamed = shape, False, False
        self._listen()
        if len(ledger.cells) != len(self._cells[0]):
            self._cells = (ledger.cells.series.copy(), ledger.cells.column.copy())
        self._tallies.clear()

    def _lay_series(self) -> None:
        """Lay the ledger's series side by side; marks follow where their instances have other numbers now."""
        before = self._series.instances
        series = [Series(one.key, one.origin, one.since_ms) for one in self._ledger.series]
        self._series = SeriesTable(series, self._inventory)
        if self._series.instances[: len(before)] != before:
            numbers = {key: number for number, key in enumerate(before)}
            self._marks.renumber(np.array([numbers.get(key, -1) for key in self._series.instances], np.int64))

    def _listen(self) -> None:
        """Find out who is heard at this step."""
        now_ms, series = self._marks.now.at_ms, self._series
        instances = heard(series.instances, self._ledger.instances, now_ms)
        self._hearing = instances.of(series.instance)
        if self._doubts:
            own_ms = np.array([one.at_ms for one in self._ledger.series], np.int64)
            self._hearing = doubted(self._hearing, series.keys, own_ms, self._doubts.values())
        ages_ms = np.where(instances.fresh, np.clip(now_ms - instances.at_ms, 0, LONGEST_AGE_MS), 0)
        self._marks.hear(silence(series, self._hearing), ages_ms)

    def _builder(self, kind: GraphType) -> Builder:
        if kind not in self._builders:
            self._builders[kind] = Builder.of(kind, self._series, self._inventory, self._reader, self._judge)
        return self._builders[kind]

    def _tally(self, kind: GraphType, window_s: int) -> Tally:
        key = (window_s, kind is GraphType.OPERATION)
        if key not in self._tallies:
            now, then = self._marks.now, self._marks.then(window_s)
            counts, read_ms, hearing = self._between(then, now), self._read_ms(then), self._hearing
            starving = hearing.seldom & hearing.fresh & (hearing.at_ms <= read_ms)
            if starving.any():
                earlier = self._marks.before(int(hearing.at_ms[starving].min()))
                counts = np.where(starving[self._cells[0]], self._between(earlier, now), counts)
                read_ms = np.where(starving, self._read_ms(earlier), read_ms)
            slack = slack_ms(then.at_ms, now.at_ms, read_ms, hearing, self._series.measured)
            period = Period(then.at_ms, now.at_ms, counts, *self._cells, self._ledger.columns, read_ms, slack)
            self._tallies[key] = tally(self._series, period, by_operation=kind is GraphType.OPERATION)
        return self._tallies[key]

    def _read_ms(self, mark: Mark | Packed) -> Ints:
        """Per series when it was read what a mark holds of it; a later one's first reading may be of before the mark."""
        series = self._series
        read_ms = mark.at_ms - ages_ms(mark, series.instance).astype(np.int64)
        late = self._hearing.seldom & (series.instance >= len(mark.ages_ms)) & (series.since_ms > 0)
        return np.where(late, np.minimum(read_ms, series.since_ms), read_ms)

    def _between(self, then: Mark | Packed, now: Mark | Packed) -> Floats:
        cells = len(self._marks.now.values)
        counts: Floats = np.maximum(now.padded(cells) - then.padded(cells), 0.0)
        if then.silence and then.silence is not now.silence:
            heard = np.minimum(self._hearing.at_ms, now.at_ms)
            counts *= shares(then.silence, self._series, heard, then.at_ms)[self._cells[0]]
        return counts
