"""Numbers for byte strings: each different one is kept once. Pure."""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.otlp import wire
from collectors.traces.tokens import key_of
from collectors.traces.walk import words

Array = NDArray[Any]
SLOTS = 1 << 17
LESSONS = (512, 4096)
"""After so many the slots know what is usual: strings that are new go the slow way, each time they come in one go."""
HASHED_BYTES = 128
KEYS = [np.uint64(secrets.randbits(64) | 1) for _ in range(HASHED_BYTES // 8 + 1)]
"""Of this process alone, so that nobody can send two strings that are taken for each other."""
TAIL = np.array([(1 << 8 * size) - 1 for size in range(8)] + [2**64 - 1], np.uint64)
SMALL = 128
"""Lengths below are one byte."""


class Slices(NamedTuple):
    """Where strings are in a buffer."""

    at: Array
    size: Array

    def of(self, rows: Array) -> Slices:
        """Some of them."""
        return Slices(self.at[rows], self.size[rows])

    def strings(self, raw: bytes) -> list[bytes]:
        """The strings themselves."""
        ends = (self.at + self.size).tolist()
        return [raw[start:end] for start, end in zip(self.at.tolist(), ends, strict=True)]


class Table(dict[bytes, int]):
    """Numbers in the order in which the strings came."""

    def __missing__(self, key: bytes) -> int:
        """Number a new one."""
        self[key] = number = len(self)
        return number


class Interner:
    """Numbers many slices of a buffer at once. Strings met lately are recognised by their hash, without an object."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._hashes = np.zeros(SLOTS, np.uint64)
        self._numbers = np.zeros(SLOTS, np.uint32)

    def numbers(self, data: Array, raw: bytes, slices: Slices) -> Array:
        """Number the slices of a buffer from :func:`collectors.traces.walk.buffer`; *data* is *raw* as an array."""
        cuts = [cut for cut in LESSONS if cut < len(slices.at)]
        parts = zip(np.split(slices.at, cuts), np.split(slices.size, cuts), strict=True)
        return np.concatenate([self._part(data, raw, Slices(*part)) for part in parts])

    def _part(self, data: Array, raw: bytes, slices: Slices) -> Array:
        hashes = _hashes(data, slices)
        slot = (hashes >> np.uint64(40)).astype(np.int64) & (SLOTS - 1)
        found: Array = self._numbers[slot]
        new = np.flatnonzero((self._hashes[slot] != hashes) | (slices.size > HASHED_BYTES))
        if new.size:
            found[new] = self._learn(data, raw, slices.of(new))
            known = new[slices.size[new] <= HASHED_BYTES]
            # All at once: of two strings for one slot, the same one stays in both arrays.
            self._hashes[slot[known]], self._numbers[slot[known]] = hashes[known], found[known]
        return found

    def _learn(self, data: Array, raw: bytes, slices: Slices) -> Array:  # noqa: ARG002
        """Number strings that the slots do not have."""
        return np.fromiter(map(self.table.__getitem__, slices.strings(raw)), np.uint32, len(slices.at))


class AttributeInterner(Interner):
    """Numbers encoded attributes, and notes their keys; those that are not plain scalars it also reads."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self.keys = Table()
        self.key_rows: list[int] = []
        """Of each attribute, the row of its key."""
        self.texts: dict[int, tuple[str, str]] = {}
        """Key and text of those that :func:`collectors.traces.tokens.forms` cannot foresee, by row."""
        self._key_numbers: Interner | None = None

    def _learn(self, data: Array, raw: bytes, slices: Slices) -> Array:
        before = len(self.table)
        found = super()._learn(data, raw, slices)
        if len(self.table) > before:
            fresh = np.flatnonzero(found >= before)
            rows, first = np.unique(found[fresh], return_index=True)
            self._note_keys(data, raw, rows, slices.of(fresh[first]))
        return found

    def _note_keys(self, data: Array, raw: bytes, rows: Array, slices: Slices) -> None:
        """Note the keys of attributes that are new, in the order of their rows."""
        plain = _plain(data, slices)
        if self._key_numbers is None:
            self._key_numbers = Interner(self.keys)
        size = np.where(plain, data[slices.at + 1], 0).astype(np.int64)
        keys = self._key_numbers.numbers(data, raw, Slices(slices.at + 2, size))
        for place in np.flatnonzero(~plain).tolist():
            attribute = raw[slices.at[place] : slices.at[place] + slices.size[place]]
            name = key_of(attribute)
            if name is None:
                pair = wire.key_value(attribute) or ("", "")
                name = pair[0].encode()
                self.texts[int(rows[place])] = pair
            keys[place] = self.keys[name]
        self.key_rows += keys.tolist()


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


def _hashes(data: Array, slices: Slices) -> Array:
    """Hash each slice by its first :data:`HASHED_BYTES` bytes; never 0, which stands for an empty slot."""
    at, size = slices
    view, last = words(data), len(data) - 8
    hashes = (size.astype(np.uint64) + np.uint64(1)) * KEYS[-1]
    rows: Any = slice(None)
    left = np.minimum(size, HASHED_BYTES)
    for number in range(int(left.max(initial=0) + 7) // 8):
        if number:
            rows = np.flatnonzero(left > 8 * number)
        word = view[np.minimum(at[rows] + 8 * number, last)] & TAIL[np.minimum(left[rows] - 8 * number, 8)]
        mixed = (hashes[rows] ^ word) * KEYS[number]
        hashes[rows] = mixed ^ (mixed >> np.uint64(32))
    return hashes | np.uint64(1)
