"""Numbers for byte strings: each different one is kept once. Pure.

Strings in a buffer are told apart by 64 bits of hash, many at once; only of one that is new an object is made.
"""

from __future__ import annotations

import secrets

import numpy as np

from collectors.otlp import wire
from collectors.traces.tokens import key_of
from collectors.traces.walk import Array, Buffer, Slices

SLOTS = 1 << 12
"""To begin with."""
SPARE = 4
"""At most one slot in so many is in use: most strings are where they are looked for first."""
HASHED_WORDS = 16
"""Longer strings are few."""
KEYS = [np.uint64(secrets.randbits(64) | 1) for _ in range(HASHED_WORDS + 2)]
"""Of this process alone, so that nobody can send two strings that are taken for each other."""
TAIL = np.array([(1 << 8 * size) - 1 for size in range(8)] + [2**64 - 1], np.uint64)
SMALL = 128
"""Lengths below are one byte."""


class Table(dict[bytes, int]):
    """Numbers in the order in which the strings came."""

    def __missing__(self, key: bytes) -> int:
        """Number a new one."""
        self[key] = number = len(self)
        return number


class Interner:
    """Numbers strings in the order in which they came. One thread numbers; others may read ``strings`` meanwhile."""

    def __init__(self) -> None:
        self.strings: list[bytes] = []
        self._slots = _Slots(SLOTS)

    def numbers(self, buffer: Buffer, slices: Slices) -> Array:
        """Number the slices of a buffer."""
        hashes = hashed(buffer, slices)
        found = self._slots.find(hashes)
        unknown = np.flatnonzero(found < 0)
        if unknown.size:
            known, (first, which) = len(self.strings), _ranked(hashes[unknown])
            new = unknown[first]
            found[unknown] = known + which
            self._slots = self._slots.with_room_for(known + len(new))
            self._slots.put(hashes[new], np.arange(known, known + len(new)))
            self._learn(buffer, slices.of(new))
        return found.astype(np.uint32)

    def _learn(self, buffer: Buffer, slices: Slices) -> None:
        """Keep strings that are new."""
        self.strings += buffer.strings(slices)


def _ranked(keys: Array) -> tuple[Array, Array]:
    """Give where each different key is first, in that order, and of each key which of them it is."""
    different, which = np.unique(keys, return_inverse=True)  # to be told the first ones, too, takes four times as long
    first = np.empty(len(different), np.int64)
    first[which[::-1]] = np.arange(len(which))[::-1]  # the last one written stays
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[which]


class _Slots:
    """Hashes and their numbers; a hash whose slot is taken is in the next free one."""

    def __init__(self, count: int) -> None:
        self._hashes = np.zeros(count, np.uint64)
        self._numbers = np.zeros(count, np.int32)
        self._last = count - 1

    def find(self, hashes: Array) -> Array:
        """Give the number of each hash; -1 where there is none."""
        slot = self._slot(hashes)
        there = self._hashes[slot]
        found = np.where(there == hashes, self._numbers[slot], -1)
        rows = np.flatnonzero((there != hashes) & (there != 0))
        while rows.size:
            slot[rows] = slot[rows] + 1 & self._last
            there, wanted = self._hashes[slot[rows]], hashes[rows]
            known = there == wanted
            found[rows[known]] = self._numbers[slot[rows[known]]]
            rows = rows[~known & (there != 0)]
        return found

    def put(self, hashes: Array, numbers: Array) -> None:
        """Take in hashes that are not here, each once; the first ones, which are met most, get the first slots."""
        hashes, numbers = hashes[::-1], numbers[::-1]
        slot = self._slot(hashes)
        while hashes.size:
            free = self._hashes[slot] == 0
            self._hashes[slot[free]] = hashes[free]
            # Of several that want one slot, the last one written has it.
            mine = self._hashes[slot] == hashes
            self._numbers[slot[mine]] = numbers[mine]
            hashes, numbers, slot = hashes[~mine], numbers[~mine], slot[~mine] + 1 & self._last

    def _slot(self, hashes: Array) -> Array:
        slots: Array = hashes.view(np.int64) & self._last
        return slots

    def with_room_for(self, count: int) -> _Slots:
        """Give itself, or larger ones with the same content."""
        if SPARE * count <= len(self._hashes):
            return self
        larger = _Slots(1 << (2 * SPARE * count).bit_length())
        used = np.flatnonzero(self._hashes)
        used = used[np.argsort(self._numbers[used])]
        larger.put(self._hashes[used], self._numbers[used])
        return larger


class AttributeInterner(Interner):
    """Numbers encoded attributes, and notes their keys; those that are not plain scalars it also reads."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = Interner()
        self.key_rows: list[int] = []
        """Of each attribute, the row of its key."""
        self.texts: dict[int, tuple[str, str]] = {}
        """Key and text of those that :func:`collectors.traces.tokens.forms` cannot foresee, by row."""

    def _learn(self, buffer: Buffer, slices: Slices) -> None:
        """Keep attributes that are new, and say what their keys are."""
        plain = _plain(buffer.data, slices)
        size = np.where(plain, buffer.data[slices.at + 1], 0).astype(np.int64)
        keys = self.keys.numbers(buffer, Slices(slices.at + 2, size))
        if not plain.all():
            rows = np.flatnonzero(~plain)
            strings = buffer.strings(slices.of(rows))
            names = Buffer(
                [self._key(len(self.strings) + row, one) for row, one in zip(rows.tolist(), strings, strict=True)]
            )
            keys[rows] = self.keys.numbers(names, names.messages)
        self.key_rows += keys.tolist()
        super()._learn(buffer, slices)

    def _key(self, row: int, attribute: bytes) -> bytes:
        """Read a key one by one."""
        name = key_of(attribute)
        if name is None:
            key, text = wire.key_value(attribute) or ("", "")
            self.texts[row] = key, text
            name = key.encode()
        return name


def _plain(data: Array, slices: Slices) -> Array:
    """Recognise short scalars that are encoded in the usual order: what :func:`key_of` says of them is their key."""
    at, size = slices
    last = len(data) - 1
    value_at = np.minimum(at + 2 + data[at + 1], last - 3)
    content = size - (value_at - at) - 2
    kind, length = data[value_at + 2], data[value_at + 3]
    string = (kind == 0x0A) & (length < SMALL) & (length == content - 2)
    integer = (kind == 0x18) & (content >= 2) & (content <= 11)
    integer &= (content == 2) | (data[np.clip(at + size - 1, 0, last)] != 0)
    real = (kind == 0x21) & (content == 9)
    usual = (data[at] == 0x0A) & (data[at + 1] < SMALL) & (data[value_at] == 0x12) & (data[value_at + 1] == content)
    plain: Array = usual & (content < SMALL) & (size >= 6) & (string | integer | real)
    return plain


def hashed(buffer: Buffer, slices: Slices) -> Array:
    """Hash strings, those of as many words together; never to 0, which stands for an empty slot."""
    count = np.minimum((slices.size + 7) >> 3, HASHED_WORDS + 1)
    order = np.argsort(count.astype(np.uint8), kind="stable")
    found = np.empty(len(count), np.uint64)
    for words, rows in enumerate(np.split(order, np.cumsum(np.bincount(count)))[:-1]):
        if words > HASHED_WORDS:
            found[rows] = np.array([hash(one) for one in buffer.strings(slices.of(rows))], np.int64).view(np.uint64)
        elif rows.size:
            found[rows] = _hashed(buffer, slices.of(rows), words)
    return np.maximum(found, 1)


def _hashed(buffer: Buffer, slices: Slices, words: int) -> Array:
    at, size = slices
    mixed = (size.astype(np.uint64) + np.uint64(1)) * KEYS[-1]
    if words:
        columns = buffer.numbers(at, 8 * words).T
        columns[-1] &= TAIL[size - 8 * (words - 1)]
        for word, key in zip(columns, KEYS[:words], strict=True):
            mixed ^= word
            mixed *= key
            mixed ^= mixed >> np.uint64(32)
    mixed *= KEYS[-2]
    return mixed ^ mixed >> np.uint64(29)
