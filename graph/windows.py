"""Cumulative counts over time: what a window holds is the counts now less the counts then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from graph.arrays import Floats, Ints
from graph.silence import NONE, Silence

SHORTEST_S = 10
"""A window shorter than this would mostly show when readings came."""

REACH_S = 3600
"""The longest window in memory. Any other up to it begins with the mark nearest to its start."""

KEEP_MS = 3_900_000
"""Older marks are let go."""

FINEST_MS = 1_000
PARTS = 10
"""Marks lie at most a tenth of their age apart, so that the nearest one is off by a twentieth of any window."""


NARROW, WIDEST = 2.0**16, 2.0**32
"""What two and four bytes hold less than."""

EXACT = 2.0**53
"""Doubles below it hold every whole number."""

CROWD = 32
"""Where more than one in so many cells has outgrown two bytes, all take four."""

REBASE_MS = 600_000
"""Bases live this long at least, so that an hour holds a handful."""

Offsets = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
Ints32 = npt.NDArray[np.int32]
"""Numbers of cells, and ages in milliseconds: marks are many, and half the width is enough."""

MarkT = TypeVar("MarkT", "Mark", "Packed")

NOBODY: Ints32 = np.zeros(0, np.int32)

EXACTLY_MS = 62_000
"""Windows up to a minute begin to the second: else all rates would change at each tick, with and without requests."""


def step_ms(age_ms: int) -> int:
    """Say how far apart marks of an age are: a second doubled as often as fits, so that coarser steps nest."""
    if age_ms <= EXACTLY_MS:
        return FINEST_MS
    return FINEST_MS << max(0, (age_ms // (PARTS * FINEST_MS)).bit_length() - 1)


class Mark(NamedTuple):
    """The counts at one instant. Cells that came later are not in it: they were zero."""

    at_ms: int
    values: Floats
    silence: Silence = NONE
    """Who was not heard then."""
    ages_ms: Ints32 = NOBODY
    """Per instance how old its counts were then; 0 where it was silent, for what it counted since is spread evenly."""

    def padded(self, cells: int) -> Floats:
        """The counts with zeros for cells that came later."""
        if len(self.values) == cells:
            return self.values
        padded = np.zeros(cells)
        padded[: len(self.values)] = self.values
        return padded


class Packed(NamedTuple):
    """A mark of the past: what was counted since a base that many marks share, in two or four bytes per cell.

    Exact, as :class:`Mark` is: counts that do not fit, or are not whole, are kept beside.
    """

    at_ms: int
    base: Floats
    offsets: Offsets
    others: Ints32
    """The cells that are kept beside, and their counts."""
    counts: Floats
    silence: Silence
    ages_ms: Ints32

    def padded(self, cells: int) -> Floats:
        """The counts with zeros for cells that came later."""
        values = np.zeros(cells)
        values[: len(self.base)] = self.base
        values[: len(self.offsets)] += self.offsets
        values[self.others] = self.counts
        return values

    def kept(self, cells: Ints, base: Floats) -> Packed:
        """Keep these cells only, given what stays of the base."""
        cells = cells[cells < len(self.offsets)]
        values = self.padded(len(self.offsets))[cells]
        where = np.flatnonzero(np.isin(cells, self.others))
        return self._replace(
            base=base, offsets=self.offsets[cells], others=where.astype(np.int32), counts=values[where]
        )


def pack(mark: Mark, base: Floats) -> Packed:
    """Pack a mark whose cells begin with those of the base."""
    since = mark.values.copy()
    since[: len(base)] -= base
    whole = (since >= 0) & (since < WIDEST) & (since == np.floor(since)) & (mark.values < EXACT)
    narrow = whole & (since < NARROW)
    wide = whole.sum() - narrow.sum() > len(since) / CROWD
    others = np.flatnonzero(~whole if wide else ~narrow)
    since[others] = 0.0
    offsets = since.astype(np.uint32) if wide else since.astype(np.uint16)
    return Packed(mark.at_ms, base, offsets, others.astype(np.int32), mark.values[others], mark.silence, mark.ages_ms)


def ages_ms(mark: Mark | Packed, instances: Ints) -> Ints32:
    """How old the counts of these instances were; 0 of those that were not there yet."""
    ages: Ints32 = np.zeros(len(instances), np.int32)
    there = (instances >= 0) & (instances < len(mark.ages_ms))
    ages[there] = mark.ages_ms[instances[there]]
    return ages


def _earlier(mark: MarkT, by_ms: int) -> MarkT:
    return mark._replace(at_ms=mark.at_ms - by_ms, silence=mark.silence.earlier(by_ms))


class Marks:
    """Marks of the past, thinned with age, and the newest one."""

    def __init__(self, started_ms: int) -> None:
        self.marks: list[Packed] = []
        self.now = Mark(started_ms, np.zeros(0))
        """The newest mark."""
        self._base = self.now

    def add(self, mark: Mark, *, begins: bool = True) -> None:
        """Close a step. Not *begins*: no window may begin where the last one ended."""
        packed = pack(self.now, self._base.values)
        if packed.offsets.dtype != np.uint16 and self.now.at_ms - self._base.at_ms >= REBASE_MS:
            self._base = self.now
            packed = pack(self.now, self._base.values)
        # A wall clock may stand still, or be set back a little; marks stay in order.
        self.now = Mark(max(mark.at_ms, self.now.at_ms + 1), mark.values)
        self.marks = self._thinned([*self.marks, packed] if begins else self.marks)

    def hear(self, silence: Silence, ages_ms: Ints) -> None:
        """Say who is not heard at the newest mark, and per instance how old its counts are."""
        if self.marks and silence == self.marks[-1].silence:
            silence = self.marks[-1].silence  # held once
        self.now = self.now._replace(silence=silence, ages_ms=ages_ms.astype(np.int32))

    def renumber(self, instances: Ints) -> None:
        """Follow the instances in being numbered anew; told per instance the number that it had, below 0: none."""
        self.marks = [mark._replace(ages_ms=ages_ms(mark, instances)) for mark in self.marks]

    def set_back(self, by_ms: int) -> None:
        """Follow a clock that was set back: whatever is remembered happened as much earlier."""
        self.marks = [_earlier(mark, by_ms) for mark in self.marks]
        self.now = _earlier(self.now, by_ms)
        self._base = _earlier(self._base, by_ms)

    def then(self, window_s: int) -> Mark | Packed:
        """The mark closest to the start of a window that ends now."""
        start = self.now.at_ms - 1000 * window_s
        past: Sequence[Mark | Packed] = self.marks or (self.now,)
        return min(past, key=lambda mark: abs(mark.at_ms - start))

    def before(self, at_ms: int) -> Mark | Packed:
        """The newest mark that is older; the oldest one where none is."""
        older = (mark for mark in reversed(self.marks) if mark.at_ms < at_ms)
        return next(older, self.marks[0] if self.marks else self.now)

    def within(self, window_s: int, points: int, *, evenly: bool = True) -> list[Mark | Packed]:
        """Marks about evenly spread over a window, oldest first, at most ``points`` + 1.

        Not *evenly*: the closer together the younger they are, as far as ``points`` allows. They are spread over what
        there is of the window, so that a young graph has a course, too.
        """
        first = self.then(window_s)
        known_ms = self.now.at_ms - first.at_ms
        spread: list[Mark | Packed] = [self.now]
        for mark in reversed(self.marks):
            oldest_ms = known_ms if evenly else self.now.at_ms - mark.at_ms
            step = max(step_ms(oldest_ms), known_ms / points)
            if mark.at_ms >= first.at_ms and spread[-1].at_ms - mark.at_ms >= 0.9 * step:
                spread.append(mark)
        return spread[::-1][-points - 1 :]

    def keep(self, cells: Ints) -> None:
        """Follow the ledger in forgetting: only these cells stay."""
        bases = {id(mark.base): mark.base for mark in self.marks}
        bases[id(self._base.values)] = self._base.values
        kept = {number: base[cells[cells < len(base)]] for number, base in bases.items()}
        self._base = Mark(self._base.at_ms, kept[id(self._base.values)])
        self.marks = [mark.kept(cells, kept[id(mark.base)]) for mark in self.marks]
        self.now = self.now._replace(values=self.now.values[cells[cells < len(self.now.values)]])

    @property
    def nbytes(self) -> int:
        """The memory held."""
        shared = {id(base): base.nbytes for base in (self.now.values, *(mark.base for mark in self.marks))}
        own = [mark.offsets.nbytes + mark.others.nbytes + mark.counts.nbytes for mark in self.marks]
        return sum(shared.values()) + sum(own)

    def _thinned(self, marks: Sequence[Packed]) -> list[Packed]:
        """Of the marks that fall into one step of their age, the first stays."""
        now = self.now.at_ms
        kept: list[Packed] = []
        slot: tuple[int, int] | None = None
        for mark in marks:
            if now - mark.at_ms > KEEP_MS:
                continue
            step = step_ms(now - mark.at_ms)
            if (step, mark.at_ms // step) != slot:
                kept.append(mark)
            slot = (step, mark.at_ms // step)
        return kept
