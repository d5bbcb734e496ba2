"""Memory of what was worked out, and of what it was worked out from: a change is followed to what it touches.

A *cell* holds the result of one function. While the function runs, every other cell and every *source* (a piece of
input, by name) that it reads is noted. When a source changes, all that rests on it comes under suspicion, at once
and nothing else; a suspect is worked out again only when it is asked for and something that it read has really
changed. A result that equals the one before leaves the old object in place, so that whatever rests on it is
unchanged too, and so that identity tells whoever packs it that nothing happened.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from enum import IntEnum
from functools import partial
from types import CellType, FunctionType
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class _State(IntEnum):
    VALID = 0
    SUSPECT = 1
    """Something it rests on may have changed."""
    INVALID = 2
    """Something it read has changed."""


class _Node:
    """What can be read. Its users are in the order in which they came, so that work is done in the same order."""

    __slots__ = ("key", "users")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.users: dict[_Cell, None] = {}


class _Cell(_Node):
    __slots__ = ("asked", "each", "make", "read", "state", "value")

    def __init__(self, key: Hashable, make: Callable[[], Any]) -> None:
        super().__init__(key)
        self.make = make
        self.read: dict[_Node, None] = {}
        self.state = _State.INVALID
        self.value: Any = None
        self.asked = -1
        """At which change of the sources it was last asked for."""
        self.each = _Each(None, None, {}, {})
        """Of a collection."""


class _Each(NamedTuple):
    """What a collection was last made from."""

    items: Any
    make: Any
    cells: dict[Any, tuple[Any, _Cell]]
    """For each name the item, and the cell with its result."""
    read: dict[_Node, None]


class Memo:
    """Results by key. What a function captures counts as read: with other captured values it is run again.

    Functions must be pure but for what they read through the memo, and must not change what they return.
    """

    def __init__(self) -> None:
        self._cells: dict[Hashable, _Cell] = {}
        self._sources: dict[Hashable, _Node] = {}
        self._running: list[_Cell] = []
        self._roots: dict[_Cell, None] = {}
        self._asked: dict[_Cell, None] = {}
        self._forsaken: dict[_Node, None] = {}
        self._change = 0

    def __len__(self) -> int:
        return len(self._cells)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what *make* returns now, without running it where nothing that it would read has changed."""
        # Two functions never share a cell, even if they were given the same key.
        place = key, id(getattr(make, "__code__", None))
        cell = self._cells.get(place)
        if cell is None:
            cell = self._cells[place] = _Cell(place, _kept(make))
        elif cell.asked != self._change and not _alike(make, cell.make):
            cell.make = _kept(make)
            self._invalidate(cell)
        cell.asked = self._change
        if self._running:
            self._note(cell)
        else:
            self._asked[cell] = None
        if cell.state:
            self._validate(cell)
        value: T = cell.value
        return value

    def each(self, key: Hashable, items: Mapping[K, V], make: Callable[[K, V], T]) -> Mapping[K, T]:
        """Return what *make* returns for each name and item; it is run only where that would be different.

        Made for large collections of which little changes: an item that is the same object costs next to nothing.
        """
        return self.once(key, lambda: self._collect(key, items, make))

    def _collect(self, key: Hashable, items: Mapping[K, V], make: Callable[[K, V], T]) -> dict[K, T]:
        collection = self._running[-1]
        before, collection.each = collection.each, _Each(None, None, {}, {})
        same = _alike(make, before.make)
        if same and items is before.items:
            collection.each = before
            return self._collected_again(collection)
        make, cells = (before.make, before.cells) if same else (_kept(make), {})
        kept: dict[Any, tuple[Any, _Cell]] = {}
        for name, item in items.items():
            known = cells.get(name)
            if known is None or known[0] is not item:
                known = item, self._item(key, name, partial(make, name, item))
            kept[name] = known
            cell = known[1]
            self._note(cell)
            if cell.state:
                self._validate(cell)
        collection.each = _Each(items, make, kept, {cell: None for _, cell in kept.values()})
        return {name: cell.value for name, (_, cell) in kept.items()}

    def _collected_again(self, collection: _Cell) -> dict[Any, Any]:
        """Return what there was, of the same items, with what has changed of it."""
        each = collection.each
        collection.read.update(each.read)
        found = {}
        for name, (_, cell) in each.cells.items():
            if cell.state:
                self._validate(cell)
            found[name] = cell.value
        return found

    def _item(self, key: Hashable, name: Hashable, make: Callable[[], Any]) -> _Cell:
        place = key, "item", name
        cell = self._cells.get(place)
        if cell is None:
            cell = self._cells[place] = _Cell(place, make)
        cell.make = make
        self._invalidate(cell)
        return cell

    def read(self, source: Hashable) -> None:
        """Note that the function that is running looks at a source."""
        if self._running:
            node = self._sources.get(source)
            if node is None:
                node = self._sources[source] = _Node(source)
            self._note(node)

    def touch(self, sources: Iterable[Hashable]) -> None:
        """Say which sources have changed."""
        self._change += 1
        for source in sources:
            node = self._sources.get(source)
            if node is not None:
                for user in node.users:
                    self._invalidate(user)

    def sweep(self) -> None:
        """Forget what has not been asked for since the last sweep, unless something that has been rests on it."""
        self._forsaken.update((cell, None) for cell in self._roots if cell not in self._asked)
        self._roots, self._asked = self._asked, {}
        while self._forsaken:
            node, _ = self._forsaken.popitem()
            if not node.users and node not in self._roots:
                self._forget(node)

    def _forget(self, node: _Node) -> None:
        if not isinstance(node, _Cell):
            del self._sources[node.key]
            return
        del self._cells[node.key]
        for one in node.read:
            self._leave(one, node)

    def _leave(self, node: _Node, user: _Cell) -> None:
        del node.users[user]
        if not node.users:
            self._forsaken[node] = None

    def _note(self, node: _Node) -> None:
        reader = self._running[-1]
        reader.read[node] = None
        node.users[reader] = None

    def _invalidate(self, cell: _Cell) -> None:
        """Have a cell run again, and all that rests on it look again, when they are asked for."""
        was, cell.state = cell.state, _State.INVALID
        if was:
            return
        doubted = [cell]
        while doubted:
            for user in doubted.pop().users:
                if not user.state:
                    user.state = _State.SUSPECT
                    doubted.append(user)

    def _validate(self, cell: _Cell) -> None:
        if cell.state is _State.INVALID or self._has_new_reading(cell):
            self._run(cell)
        else:
            cell.state = _State.VALID

    def _has_new_reading(self, cell: _Cell) -> bool:
        # In the order in which they were read: what came later was perhaps read only because of what came before.
        for node in cell.read:
            if isinstance(node, _Cell) and node.state:
                self._validate(node)
                if cell.state is _State.INVALID:
                    return True
        return False

    def _run(self, cell: _Cell) -> None:
        cell.state = _State.INVALID
        before, cell.read = cell.read, {}
        self._running.append(cell)
        try:
            value = cell.make()
        finally:
            self._running.pop()
            for node in before:
                if node not in cell.read:
                    self._leave(node, cell)
        value = _unchanged(cell.value, value)
        cell.state = _State.VALID
        if value is not cell.value:
            cell.value = value
            for user in cell.users:
                self._invalidate(user)


def _unchanged(old: Any, new: Any) -> Any:
    """Return the old value where the new one equals it; of a dictionary, also the old ones of those values that do."""
    if type(new) is not dict or type(old) is not dict:
        return old if _equal(old, new) else new
    merged = {key: _first_if_equal(old.get(key), value) for key, value in new.items()}
    same = list(old) == list(merged) and all(map(operator.is_, old.values(), merged.values()))
    return old if same else merged


def _first_if_equal(one: Any, other: Any) -> Any:
    return one if one is other or _equal(one, other) else other


def _equal(one: Any, other: Any) -> bool:
    """Compare also the order of mappings: it decides which of two claims comes first."""
    if type(one) is not type(other) or one != other:
        return False
    return not isinstance(one, Mapping) or list(one) == list(other)


def _kept(make: Any, depth: int = 2) -> Any:
    """Return the function with what it captures as it is now, functions among it: variables of a loop move on."""
    if not depth or not isinstance(make, FunctionType) or make.__closure__ is None:
        return make
    captured = tuple(CellType(_kept(cell.cell_contents, depth - 1)) for cell in make.__closure__)
    return FunctionType(make.__code__, make.__globals__, make.__name__, make.__defaults__, captured)


def _alike(one: Any, other: Any, depth: int = 2) -> bool:
    """Tell whether two functions are the same code and have captured equal values, or functions that are alike."""
    if not isinstance(one, FunctionType) or not isinstance(other, FunctionType):
        return bool(one == other)
    if not depth or one.__code__ is not other.__code__ or one.__defaults__ != other.__defaults__:
        return False
    for mine, theirs in zip(one.__closure__ or (), other.__closure__ or (), strict=True):
        left, right = mine.cell_contents, theirs.cell_contents
        if left is not right and not _equal(left, right) and not _alike(left, right, depth - 1):
            return False
    return True


def _id(item: tuple[Any, Any]) -> Any:
    return item[0]


class Collection(Generic[K, V]):
    """Items by id that are found by keys of their own, in an order. Who looks under a key rests on what is there."""

    def __init__(
        self,
        name: str,
        memo: Memo,
        keys_of: Callable[[V], Iterable[Hashable]],
        equal: Callable[[V, V], bool] = operator.eq,
        order: Callable[[tuple[K, V]], Any] = _id,
    ) -> None:
        self._name = name
        self._order = order
        self._equal = equal
        self._memo = memo
        self._keys_of = keys_of
        self._items: dict[K, V] = {}
        self._given: Mapping[str, Mapping[K, V]] = {}
        """What it was last told to hold."""
        self._under: dict[Hashable, dict[K, V]] = {}
        self._sorted: dict[Hashable, tuple[V, ...]] = {}

    def under(self, key: Hashable) -> tuple[V, ...]:
        """Return the items under a key, in their order."""
        self._memo.read((self._name, key))
        if key not in self._under:
            return ()
        if key not in self._sorted:
            self._sorted[key] = tuple(item for _, item in sorted(self._under[key].items(), key=self._order))
        return self._sorted[key]

    def become(self, parts: Mapping[str, Mapping[K, V]]) -> None:
        """Hold the items of these parts, which are never changed, from now on; an id is always in the same part.

        A part that is the same object as before is not looked through. Items that equal what they were stay as they
        are.
        """
        before, self._given = self._given, parts
        touched: set[Hashable] = set()
        for part in before.keys() | parts.keys():
            if before.get(part) is not parts.get(part):
                touched |= self._take(before.get(part, {}), parts.get(part, {}))
        for key in touched:
            self._sorted.pop(key, None)
        self._memo.touch((self._name, key) for key in touched)

    def _take(self, before: Mapping[K, V], items: Mapping[K, V]) -> set[Hashable]:
        """Become these items instead of others; return the keys under which something is different."""
        changed = [ident for ident, item in items.items() if self._items.get(ident) is not item]
        changed += before.keys() - items.keys()
        return {key for ident in changed for key in self._replace(ident, items.get(ident))}

    def _replace(self, ident: K, new: V | None) -> Iterator[Hashable]:
        old = self._items.get(ident)
        if old is not None:
            if new is not None and self._equal(old, new):
                return
            del self._items[ident]
            for key in self._keys_of(old):
                yield key
                del self._under[key][ident]
                if not self._under[key]:
                    del self._under[key]
        if new is not None:
            self._items[ident] = new
            for key in self._keys_of(new):
                yield key
                self._under.setdefault(key, {})[ident] = new
