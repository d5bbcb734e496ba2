"""Series that go on as ever, by the column: nearly all of them, at nearly every tick. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import compress
from operator import attrgetter

import numpy as np

from collectors.prometheus.lines import Told
from collectors.prometheus.processes import Series, Target, Whose

Row = tuple[Series, float, int, float, float]
"""A series; the instant of its newest sample in seconds and milliseconds, its value, and the seconds since the one
before; 0: that is not in the answer."""


class Newest:
    """The newest samples of an answer."""

    def __init__(self, told: Told) -> None:
        begin = np.cumsum(told.lengths) - told.lengths
        last = begin + told.lengths - 1
        seen_s = np.fromiter(map(attrgetter("seen_s"), told.series), float, len(told.series))
        counted = [one.count.value if one.count.followed is one else math.inf for one in told.series]
        at_s = told.at_s[last]
        news = np.add.reduceat(told.at_s > np.repeat(seen_s, told.lengths), begin, dtype=np.int64)
        fell = np.diff(told.values, prepend=0.0) < 0
        fell[begin] = told.values[begin] < 0
        grew = ~np.logical_or.reduceat(fell, begin) & (told.values[last + 1 - np.maximum(news, 1)] >= counted)
        self.told = told
        self.new = at_s != seen_s
        """Which series have anything new."""
        self.steady = (news > 0) & (seen_s >= 0) & grew
        """Which of them nothing but that a counter grew that is followed there."""
        gap_s = np.where(told.lengths > 1, at_s - told.at_s[last - 1], 0.0)
        self._columns = (at_s, np.rint(1000 * at_s).astype(np.int64), told.values[last], gap_s)

    def leave(self, targets: set[Target]) -> None:
        """Take nothing of these targets for steady."""
        self.steady &= [one.target not in targets for one in self.told.series]

    def rows(self) -> Iterator[Row]:
        """Give what is steady."""
        columns = (column[self.steady].tolist() for column in self._columns)
        return zip(compress(self.told.series, self.steady.tolist()), *columns, strict=True)

    def rest(self) -> Iterator[tuple[Series, Sequence[tuple[float, float]]]]:
        """Give what else is new."""
        rest = self.new & ~self.steady
        return self.told.some(rest.tolist()) if rest.any() else iter(())


def go_on(answers: Sequence[Newest]) -> set[Whose]:
    """Count what is steady; return whose it is.

    Where anything of a target is not, nothing of it is counted here: whether a process has started again shows in all
    of its counters.
    """
    odd = {one.target for answer in answers for one in compress(answer.told.series, answer.new & ~answer.steady)}
    touched: set[Whose] = set()
    lasts: dict[Target, int] = {}
    for answer in answers:
        if odd:
            answer.leave(odd)
        for series, at_s, at_ms, value, gap_s in answer.rows():
            count, target = series.count, series.target
            count.total += value - count.value
            count.value, count.at_ms, count.ended = value, at_ms, False
            series.seen_s, series.seen_ms = at_s, at_ms
            touched.add(count.whose)
            if at_ms > lasts.get(target, 0):
                lasts[target] = at_ms
                if gap_s:
                    target.measure(at_s, gap_s)
    for target, at_ms in lasts.items():
        target.hear(at_ms)
    return touched
