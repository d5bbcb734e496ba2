"""How a page of metrics is laid out: which series it has, in which order, and what each number counts. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from collectors.counting import Plan
from collectors.dialects import Identity, LatencyBucket, LatencySum, ListenerBytes, Measure
from graph.arrays import Floats, Ints

BOUND = re.compile(r',?\s*le\s*=\s*"[^"]*"')
PART_OF_HISTOGRAM = re.compile(r"_(bucket|sum)(?={|\s|$)")


class Whose:
    """An identity that is compared and hashed as an object: there is one of each."""

    __slots__ = ("identity",)

    def __init__(self, identity: Identity) -> None:
        self.identity = identity


class Comment:
    """A line without a number."""


COMMENT = Comment()
Meaning = tuple[Whose, Measure] | ListenerBytes | Comment | None
"""What a line says; ``None``: nothing that is of use."""


class Followed(NamedTuple):
    """The series of a page, each followed by itself. Which number is whose says the layout."""

    now: Floats
    """What the page says; 0 of a series that it has no more."""
    before: Floats
    """What was counted by the time that a series began again or went away, whenever it did."""


class Layout:
    """Knows a page's lines, and where each number goes.

    Numbers that count the same are added up in one *slot*; the slots of one identity lie side by side. ``gone`` are
    series that an earlier page had: what they counted still counts.
    """

    def __init__(self, lines: Sequence[tuple[str, Meaning]], gone: Mapping[str, Meaning]) -> None:
        self.lines = [(line, len(line), meaning is not COMMENT) for line, meaning in lines]
        told = [*(line for line in lines if line[1] is not COMMENT), *gone.items()]
        self._gone = len(gone)
        slots: dict[Whose, dict[Measure, list[int]]] = {}
        flowing: dict[tuple[str, str], list[int]] = {}
        for position, (_, meaning) in enumerate(told):
            if isinstance(meaning, ListenerBytes):
                flowing.setdefault((meaning.listener, meaning.field), []).append(position)
            elif isinstance(meaning, tuple):
                slots.setdefault(meaning[0], {}).setdefault(meaning[1], []).append(position)
        self.whose = list(slots)
        self.plans: list[Plan] = []
        places: list[list[int]] = []
        for measures in slots.values():
            plan = Plan(len(places), measures)
            self.plans.append(plan)
            places.extend(measures[measure] for measure in plan.measures)
        self.flowing = {key: len(places) + number for number, key in enumerate(flowing)}
        places.extend(flowing.values())
        self._wanted: Ints = np.array([position for place in places for position in place], np.int64)
        self._starts: Ints = np.cumsum([0, *map(len, places[:-1])]) if places else np.zeros(0, np.int64)
        self._single = all(len(place) == 1 for place in places)
        self._begins: Ints = np.array([plan.begin for plan in self.plans], np.int64)
        self.series = {told[position][0]: told[position][1] for position in self._wanted}
        """Those that count something, by their text, in the order of the slots."""

    def numbers(self, page: str) -> list[str] | None:
        """The page's numbers as text; ``None`` when it has other series."""
        found = []
        at, startswith, find = 0, page.startswith, page.find
        for text, size, numbered in self.lines:
            if not startswith(text, at):
                return None
            at += size
            if numbered:
                end = find("\n", at)
                if end < 0:
                    end = len(page)
                found.append(page[at:end])
                at = end + 1
        return found if at >= len(page) else None

    def series_at(self, position: int) -> str:
        """The text of the series whose number has this position."""
        return [text for text, _, numbered in self.lines if numbered][position]

    def gone(self, lines: Sequence[tuple[str, Meaning]], *, forget: bool) -> list[str]:
        """Which series the lines of a later page no longer have.

        *forget* those of identities that it says nothing more of: nobody else misses what they counted.
        """
        there = dict(lines)
        whose = {meaning[0].identity for meaning in there.values() if isinstance(meaning, tuple)}
        return [
            series
            for series, meaning in self.series.items()
            if series not in there and (not forget or (isinstance(meaning, tuple) and meaning[0].identity in whose))
        ]

    def follow(self, numbers: Floats, last: Followed | None) -> Followed:
        """Go on from the last page, ``None`` if there is none, by the numbers of this one. NaN tells nothing new."""
        now = np.append(numbers, np.zeros(self._gone))[self._wanted]
        now = np.where(np.isfinite(now), now, last.now if last else 0.0)
        if last is None:
            return Followed(now, np.zeros(len(now)))
        fell = now < last.now
        if not fell.any():
            return Followed(now, last.before)
        return Followed(now, last.before + np.where(fell[self._judges], last.now, 0.0))

    def take_over(self, layout: Layout, last: Followed) -> Followed:
        """Say by this layout what was followed by another one.

        A series that is of another identity now, since its proxy was labelled anew, counts for it from here on.
        """
        places = {series: place for place, series in enumerate(layout.series)}
        there = np.array([places.get(series, len(places)) for series in self.series], np.int64)
        now, before = np.append(last.now, 0.0)[there], np.append(last.before, 0.0)[there]
        stays = [_identity(layout.series.get(series)) == _identity(meaning) for series, meaning in self.series.items()]
        return Followed(now, np.where(stays, before, -now))

    def sums(self, followed: Followed) -> Floats:
        """What each slot has counted."""
        counted = followed.now + followed.before
        return counted if self._single or not len(counted) else np.add.reduceat(counted, self._starts)

    def changed(self, before: Floats, now: Floats) -> Iterable[int]:
        """The identities of which a number differs."""
        if not self.plans:
            return ()
        differs = np.not_equal(before, now)[: len(now) - len(self.flowing)]
        return np.flatnonzero(np.logical_or.reduceat(differs, self._begins)).tolist()

    @cached_property
    def _judges(self) -> Ints:
        """Which number's fall tells that a series began again: for the parts of a histogram its count.

        Proxies estimate buckets, so that one may shrink by a sample that its neighbour gains.
        """
        counts = {
            _histogram(series): place
            for place, (series, meaning) in enumerate(self.series.items())
            if isinstance(meaning, tuple) and isinstance(meaning[1], LatencyBucket) and meaning[1].bound_ms == math.inf
        }
        return np.array(
            [
                counts.get(_histogram(series), place)
                if isinstance(meaning, tuple) and isinstance(meaning[1], LatencyBucket | LatencySum)
                else place
                for place, (series, meaning) in enumerate(self.series.items())
            ],
            np.int64,
        )


def _identity(meaning: Meaning) -> Identity | None:
    return meaning[0].identity if isinstance(meaning, tuple) else None


def _histogram(series: str) -> str:
    """Say of which histogram a series is a part."""
    return BOUND.sub("", PART_OF_HISTOGRAM.sub("", series, count=1)).replace("{}", "")
