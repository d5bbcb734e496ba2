"""Protobuf messages read side by side: one step reads one field of each of them, with arrays. Pure.

A Python object per field is what a plain decode spends its time on; here there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
MOST_FIELDS = 2048
"""Of one message; what follows is not read, or one message could keep a core busy for minutes."""
MOST_PARTS = 1_000_000
"""As many of a message that consists of others."""
FEW = 100
"""So many messages are read one after the other in the time of one step."""
PADDING = 16
"""Bytes that a buffer needs behind the last message: every number is read as if it were in full."""
FIXED_BYTES = np.array([0, 8, 0, 0, 0, 4, 0, 0], np.int64)
"""By wire type; what is no wire type, or a group's, ends the message."""
READABLE = np.array([True, True, True, False, False, True, False, False])
MEASURED = np.array([True, False, True, False, False, False, False, False])
"""What begins with a number of variable length."""
COUNTED = 2
"""The wire type of strings and messages."""


class Slices(NamedTuple):
    """Where strings or messages are in a buffer."""

    at: Array
    size: Array

    def of(self, rows: Array) -> Slices:
        """Some of them."""
        return Slices(self.at[rows], self.size[rows])


class Fields(NamedTuple):
    """One field of each of some messages."""

    row: Array
    """Which messages; each at most once."""
    tag: Array
    """The field's number and its wire type, as protobuf writes them: see :func:`tag`."""
    at: Array
    """Where the content is."""
    size: Array
    """How long it is; 0 for numbers of variable length."""
    value: Array
    """Of a number of variable length."""
    begin: Array
    """Where the field is, its tag included."""

    def of(self, chosen: Array) -> Fields:
        """Some of them."""
        return Fields(*(column[chosen] for column in self))


def tag(number: int, kind: int = COUNTED) -> int:
    """Say how a field begins."""
    return number << 3 | kind


class Buffer:
    """Encoded messages behind each other, as bytes and as arrays."""

    def __init__(self, messages: Sequence[bytes]) -> None:
        self.raw = b"".join((*messages, bytes(PADDING)))
        self.data = np.frombuffer(self.raw, np.uint8)
        size = np.fromiter(map(len, messages), np.int64, len(messages))
        self.messages = Slices(np.cumsum(size) - size, size)

    @property
    def content(self) -> memoryview:
        """The messages, without what is behind them."""
        return memoryview(self.raw)[:-PADDING]

    def strings(self, slices: Slices) -> list[bytes]:
        """Copy strings out."""
        raw, ends = self.raw, (slices.at + slices.size).tolist()
        return [raw[start:end] for start, end in zip(slices.at.tolist(), ends, strict=True)]

    def numbers(self, at: Array, size: int) -> Array:
        """Read *size* bytes (a multiple of eight) from each position as rows of 64-bit words.

        Taken as one thing of that size: numpy copies many words that lie anywhere one by one, which takes ten times
        as long.
        """
        things: Array = np.ndarray((len(self.raw) - size + 1,), f"V{size}", self.raw, strides=(1,))
        return things[at].view("<u8").reshape(-1, size // 8)


def walk(buffer: Buffer, messages: Slices) -> Iterator[Fields]:
    """Read the fields of all messages, the first ones, then the second ones, and so on.

    A message that is malformed ends where it is.
    """
    places = _begun(messages)
    for _ in range(MOST_FIELDS):
        if not places.row.size:
            return
        fields, places = _step(buffer, places)
        yield fields


def parts(buffer: Buffer, messages: Slices) -> Fields:
    """Read all fields of messages that may have very many, in the order in which they lie in the buffer."""
    places, found = _begun(messages), []
    while places.row.size > FEW:
        fields, places = _step(buffer, places)
        found.append(fields)
    found.append(_step(buffer, _each(buffer.raw, places))[0])
    together = Fields(*map(np.concatenate, zip(*found, strict=True)))
    return together.of(np.argsort(together.begin))


class _Places(NamedTuple):
    """Where in which messages there is a field, and where they end."""

    row: Array
    position: Array
    end: Array


def _begun(messages: Slices) -> _Places:
    row = np.flatnonzero(messages.size > 0)
    return _Places(row, messages.at[row], messages.at[row] + messages.size[row])


def _step(buffer: Buffer, places: _Places) -> tuple[Fields, _Places]:
    """Read the fields at some places, and say where the next ones are."""
    row, position, end = places
    key, value = buffer.data[position].astype(np.int64), buffer.data[position + 1].astype(np.int64)
    kind = key & 7
    measured = MEASURED[kind]
    at = position + 1 + measured
    long = np.flatnonzero((key >= 0x80) | (measured & (value >= 0x80)))
    if long.size:
        key[long], after = _varints(buffer.data, position[long], end[long])
        kind[long] = key[long] & 7
        value[long], at_value = _varints(buffer.data, after, end[long])
        at[long] = np.where(MEASURED[kind[long]], at_value, after)
    size = np.where(kind == COUNTED, value, FIXED_BYTES[kind])
    fields = Fields(row, key, at, size, value, position)
    sound = READABLE[kind] & (size >= 0) & (size <= end - at)
    if not sound.all():
        fields, end = fields.of(sound), end[sound]
    position = fields.at + fields.size
    more = position < end
    if more.all():
        return fields, _Places(fields.row, position, end)
    return fields, _Places(fields.row[more], position[more], end[more])


def _each(raw: bytes, places: _Places) -> _Places:
    """Find the places of all further fields, message by message."""
    begins = [_begins(raw, at, end) for at, end in zip(places.position.tolist(), places.end.tolist(), strict=True)]
    counts = [len(of_one) for of_one in begins]
    positions = np.array(list(chain.from_iterable(begins)), np.int64)
    return _Places(np.repeat(places.row, counts), positions, np.repeat(places.end, counts))


def _begins(raw: bytes, at: int, end: int) -> list[int]:
    """Say where each field of a message begins, up to one that is malformed."""
    begins: list[int] = []
    while at < end and len(begins) < MOST_PARTS:
        begins.append(at)
        kind = raw[at] & 7
        while raw[at] >= 0x80:
            at += 1
        at += 1
        if kind == COUNTED:
            size, at = raw[at], at + 1
            if size >= 0x80:
                size, at = (size & 0x7F | raw[at] << 7, at + 1) if raw[at] < 0x80 else _varint(raw, at - 1)
            at += size
        elif kind == 0:
            while raw[at] >= 0x80:
                at += 1
            at += 1
        elif READABLE[kind]:
            at += int(FIXED_BYTES[kind])
        else:
            break
    return begins


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Read one number of variable length, and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        value |= (raw[at] & 0x7F) << shift
        at += 1
        if raw[at - 1] < 0x80:
            break
    return value, at


def _varints(data: Array, position: Array, end: Array) -> tuple[Array, Array]:
    """Read a number of variable length at each position, and where it ends; past *end* there are zeros."""
    value, shift = np.zeros(len(position), np.int64), 0
    position, longer = position.copy(), np.arange(len(position))
    while longer.size and shift < 64:
        byte = data[position[longer]].astype(np.int64)
        byte[position[longer] >= end[longer]] = 0
        value[longer] |= (byte & 0x7F) << shift
        position[longer] += 1
        longer = longer[byte >= 0x80]
        shift += 7
    return value, position
