"""Protobuf messages read side by side: one step reads one field of each of them, with arrays. Pure.

A Python object per field is what a plain decode spends its time on; here there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
MOST_FIELDS = 2048
"""Of one message; what follows is not read, or one message could keep a core busy for minutes."""
PADDING = 16
"""Bytes that a buffer needs behind the last message: every number is read as if it were in full."""
FIXED_BYTES = np.array([0, 8, 0, 0, 0, 4, 0, 0], np.int64)
"""By wire type; what is no wire type, or a group's, ends the message."""
READABLE = np.array([True, True, True, False, False, True, False, False])


class Fields(NamedTuple):
    """One field of each of some messages."""

    row: Array
    """Which messages; each at most once."""
    number: Array
    kind: Array
    """The wire type."""
    at: Array
    """Where the content is."""
    size: Array
    """How long it is; 0 for numbers of variable length."""
    value: Array
    """Of a number of variable length."""
    begin: Array
    """Where the field is, its tag included."""


def buffer(parts: list[bytes]) -> bytes:
    """Join encoded messages for :func:`walk`."""
    return b"".join((*parts, bytes(PADDING)))


def walk(data: Array, start: Array, end: Array) -> Iterator[Fields]:
    """Read the fields of all messages, the first ones, then the second ones, and so on.

    A message that is malformed ends where it is.
    """
    row = np.flatnonzero(start < end)
    position, end = start[row], end[row]
    for _ in range(MOST_FIELDS):
        if not row.size:
            return
        key, at = varints(data, position, end)
        kind = key & 7
        value, after = varints(data, at, end)
        counted = kind == 2
        lengthy = counted | (kind == 0)
        at = np.where(lengthy, after, at)
        size = np.where(counted, value, FIXED_BYTES[kind])
        sound = READABLE[kind] & (size >= 0) & (size <= end - at)
        if not sound.all():
            row, key, kind, at, size, value, position, end = (
                of[sound] for of in (row, key, kind, at, size, value, position, end)
            )
        yield Fields(row, key >> 3, kind, at, size, value, position)
        position = at + size
        more = position < end
        if not more.all():
            row, position, end = row[more], position[more], end[more]


def varints(data: Array, position: Array, end: Array) -> tuple[Array, Array]:
    """Read a number of variable length at each position, and where it ends; past *end* there are zeros."""
    last = len(data) - 1
    byte = data[np.minimum(position, last)].astype(np.int64)
    value, position = byte & 0x7F, position + 1
    longer = np.flatnonzero(byte >= 0x80)
    shift = 7
    while longer.size and shift < 64:
        more = data[np.minimum(position[longer], last)].astype(np.int64)
        more[position[longer] >= end[longer]] = 0
        value[longer] |= (more & 0x7F) << shift
        position[longer] += 1
        longer = longer[more >= 0x80]
        shift += 7
    return value, position


def words(data: Array) -> Array:
    """View a buffer as the eight bytes from each position on; the last few positions have none."""
    return np.ndarray((len(data) - 7,), "<u8", data.data, strides=(1,))


def gathered(data: Array, at: Array, size: int) -> Array:
    """Give *size* bytes (a multiple of eight) from each position as rows of 64-bit words."""
    view = words(data)
    return np.stack([view[at + offset] for offset in range(0, size, 8)], axis=1)
