"""Nodes and edges that are made when somebody looks at them.

Most of what a tick could say is never asked for. What changed is found by the column, and each row remembers since
when it is what it is: so the difference between any two revisions is a comparison of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, ItemsView, Iterable, Iterator, Mapping, ValuesView
from functools import cached_property
from threading import Lock
from typing import Generic

import numpy as np

from graph.arrays import Flags, Ints
from graph.records import Objects, Record, Table, column


class Lineage(Generic[Record]):
    """What was made of rows whose revisions follow each other: made once, whichever revision was asked first."""

    def __init__(self, ids: Objects) -> None:
        self.ids = ids
        self._items = np.full(len(ids), None, object)
        self._since: Ints = np.full(len(ids), -1, np.int64)
        self._lock = Lock()

    @cached_property
    def numbers(self) -> Mapping[object, int]:
        """The rows by id."""
        return {id_: number for number, id_ in enumerate(self.ids.tolist())}

    def take(self, numbers: Ints, since: Ints, make: Callable[[Ints], Table[Record]]) -> list[Record]:
        """Give the rows of these numbers as they are since these revisions; snapshots may be in any thread."""
        with self._lock:
            taken = self._items[numbers]
            other = np.flatnonzero(self._since[numbers] != since)
            if len(other):
                taken[other] = column(make(numbers[other]).records())
                newer = other[since[other] > self._since[numbers[other]]]
                self._items[numbers[newer]] = taken[newer]
                self._since[numbers[newer]] = since[newer]
            return list(taken.tolist())


class Rows(Mapping[str, Record]):
    """Items by id, in an order that stays."""

    def __init__(
        self, lineage: Lineage[Record], revision: int, since: Ints, there: Flags, make: Callable[[Ints], Table[Record]]
    ) -> None:
        self.lineage = lineage
        self.since = since
        """Per row, there or not, since which revision it is what it is."""
        self._revision = revision
        self._there = there
        self._make = make
        self._numbers: Ints = np.flatnonzero(there)

    @classmethod
    def first(cls, ids: Objects, revision: int, there: Flags, make: Callable[[Ints], Table[Record]]) -> Rows[Record]:
        """Begin with rows of these ids."""
        return cls(Lineage(ids), revision, np.full(len(ids), revision), there, make)

    def next(self, revision: int, changed: Flags, there: Flags, make: Callable[[Ints], Table[Record]]) -> Rows[Record]:
        """Go on to a later revision of the same rows, in which these changed."""
        return Rows(self.lineage, revision, np.where(changed, revision, self.since), there, make)

    def __getitem__(self, id_: str) -> Record:
        return self._items[id_]

    def __contains__(self, id_: object) -> bool:
        number = self.lineage.numbers.get(id_)
        return number is not None and bool(self._there[number])

    def __iter__(self) -> Iterator[str]:
        return iter(self.lineage.ids[self._numbers].tolist())

    def __len__(self) -> int:
        return len(self._numbers)

    def values(self) -> ValuesView[Record]:
        """Give the items."""
        return self._items.values()

    def items(self) -> ItemsView[str, Record]:
        """Give the items with their ids."""
        return self._items.items()

    def some(self, ids: Iterable[str]) -> Rows[Record]:
        """Give these only, so that no others are made."""
        wanted = np.zeros(len(self._there), bool)
        wanted[[self.lineage.numbers[id_] for id_ in ids]] = True
        return Rows(self.lineage, self._revision, self.since, wanted & self._there, self._make)

    def table(self) -> Table[Record]:
        """Give the items by the column."""
        return self._make(self._numbers)

    def changed(self, before: Rows[Record]) -> Rows[Record]:
        """Give what another revision of the same rows has not, or has otherwise."""
        different = self._there & ((self.since > before._revision) | ~before._there)
        return Rows(self.lineage, self._revision, self.since, different, self._make)

    def gone(self, before: Rows[Record]) -> tuple[str, ...]:
        """Name what only the other revision of the same rows has."""
        return tuple(self.lineage.ids[before._there & ~self._there].tolist())

    @cached_property
    def _items(self) -> dict[str, Record]:
        numbers = self._numbers
        return dict(zip(self, self.lineage.take(numbers, self.since[numbers], self._make), strict=True))


def by_column(kind: type[Record], items: Mapping[str, Record]) -> Table[Record]:
    """Give items by the column, however they are held."""
    return items.table() if isinstance(items, Rows) else Table.of(kind, list(items.values()))


def some(items: Mapping[str, Record], ids: Collection[str]) -> Mapping[str, Record]:
    """Give the items of these ids, however they are held, without making others."""
    return items.some(ids) if isinstance(items, Rows) else {id_: items[id_] for id_ in ids}
