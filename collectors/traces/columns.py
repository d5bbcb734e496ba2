"""Requests taken apart into columns: one array per field of a span, each different value kept once. Pure.

A trace is found by comparing arrays of numbers, so that a condition costs milliseconds for a million spans and is
exact for each of them; what a span looks like is put together again for those that are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1 import trace_pb2

from collectors.traces.interning import AttributeInterner, Interner, Table
from collectors.traces.requests import Sent, sent
from collectors.traces.walk import Array, Buffer, Fields, Slices, tag, walk

TRACE_ID, SPAN_ID, PARENT, NAME, KIND, START, END, ATTRIBUTE, EVENT, LINK, STATUS = 1, 2, 4, 5, 6, 7, 8, 9, 11, 13, 15
STRINGS = (TRACE_ID, SPAN_ID, PARENT, NAME, ATTRIBUTE, EVENT, LINK, STATUS)
KNOWN = np.zeros(tag(STATUS + 1), np.uint8)
"""The fields that are read, by their tags; of another wire type a field is not this field. 0: none."""
KNOWN[[*map(tag, STRINGS), tag(KIND, 0), tag(START, 1), tag(END, 1)]] = [*STRINGS, KIND, START, END]
FAILED = 8
"""Set in ``kind`` where the span's status is an error."""

PER_SPAN = ("span", "parent", "owner", "name", "kind", "start", "duration", "rest", "count")
"""One number per span: ids, rows of the tables, nanoseconds, number of attributes."""
COLUMNS = (*PER_SPAN, "attribute")
"""``attribute``: rows of the attribute table, ``count`` of them per span, one span after the other."""


class Tables:
    """The different values of many spans. One thread adds; others may read what is there meanwhile."""

    def __init__(self) -> None:
        self.names = Interner()
        self.attributes = AttributeInterner()
        self.rests = Table({b"": 0})
        """What few spans have, as an encoded ``Span`` of those fields alone: status, events, links."""
        self.owners = Table()
        """Resource and scope: see :func:`owner_key`."""
        self.resources = Interner()
        self.scopes = Interner()


def owner_key(resource: bytes, scope: bytes) -> bytes:
    """Join what :func:`owner_parts` takes apart."""
    return len(resource).to_bytes(4, "little") + resource + scope


def owner_parts(key: bytes) -> tuple[bytes, bytes]:
    """Give resource and scope, both encoded."""
    size = 4 + int.from_bytes(key[:4], "little")
    return key[4:size], key[size:]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Spans as columns; the rows they name are in the tables they were made with."""

    columns: Mapping[str, Array]
    traces: Array
    """Of each span the trace id, as two little-endian words."""

    @property
    def spans(self) -> int:
        """How many."""
        return len(self.traces)


def chunk_of(buffer: Buffer, tables: Tables) -> Chunk:
    """Take requests apart. Spans without valid ids are left out."""
    found = sent(buffer)
    return _Spans(buffer, found.spans).chunk(_owners(buffer, found, tables), tables)


def _owners(buffer: Buffer, found: Sent, tables: Tables) -> Array:
    """Say who sent each span."""
    resources = tables.resources.numbers(buffer, found.resources).astype(np.int64)[found.resource]
    both, which = np.unique(resources << 32 | tables.scopes.numbers(buffer, found.scopes), return_inverse=True)
    texts = tables.resources.strings, tables.scopes.strings
    keys = [owner_key(texts[0][one >> 32], texts[1][one & 0xFFFFFFFF]) for one in both.tolist()]
    owners: Array = np.array([tables.owners[key] for key in keys], np.uint32)
    return owners[which][found.scope]


class _Spans:
    """Encoded spans, and where in them each field is."""

    def __init__(self, buffer: Buffer, spans: Slices) -> None:
        self.buffer = buffer
        self.count = count = len(spans.at)
        self.at = np.full((STATUS + 1, count), -1)
        """Of each single field: where its content is; -1 where there is none."""
        self.sizes = np.zeros((STATUS + 1, count), np.int64)
        self.kind = np.ones(count, np.uint8)
        self.attributes: list[Fields] = []
        self.rare: list[Fields] = []
        for fields in walk(buffer, spans):
            self._take(fields)

    def _take(self, fields: Fields) -> None:
        known = KNOWN[np.clip(fields.tag, 0, len(KNOWN) - 1)]
        numbers = np.bincount(known, minlength=STATUS + 1)
        for number in (1 + np.flatnonzero(numbers[1:])).tolist():
            part = fields if numbers[number] == len(known) else fields.of(np.flatnonzero(known == number))
            if number == ATTRIBUTE:
                self.attributes.append(part)
            elif number in {EVENT, LINK, STATUS}:
                self.rare.append(part)
            elif number == KIND:
                self.kind[part.row] = np.where((part.value > 0) & (part.value < 6), part.value, 1)
            else:
                self.at[number][part.row], self.sizes[number][part.row] = part.at, part.size

    def chunk(self, owner: Array, tables: Tables) -> Chunk:
        """Put the columns together."""
        traces, span = self._id(TRACE_ID, 16), self._id(SPAN_ID, 8)
        rest, failed = self._rests(tables.rests)
        start, end = self._number(START), self._number(END)
        count, attribute = self._attributes(tables.attributes)
        names = Slices(np.maximum(self.at[NAME], 0), self.sizes[NAME])
        columns: dict[str, Array] = {
            "span": span[:, 0],
            "parent": self._number(PARENT),
            "owner": owner,
            "name": tables.names.numbers(self.buffer, names),
            "kind": self.kind | failed,
            "start": start,
            "duration": np.where(end > start, end - start, np.uint64(0)),
            "rest": rest,
            "count": count,
        }
        valid = traces.any(axis=1) & span.any(axis=1)
        if not valid.all():
            attribute = attribute[np.repeat(valid, count)]
            columns = {name: column[valid] for name, column in columns.items()}
        return Chunk(columns | {"attribute": attribute}, traces[valid])

    def _id(self, number: int, size: int) -> Array:
        """Ids as little-endian words; zeros where there is none of that size."""
        there = (self.at[number] >= 0) & (self.sizes[number] == size)
        if there.all():
            return self.buffer.numbers(self.at[number], size)
        found = np.zeros((self.count, size // 8), np.uint64)
        found[there] = self.buffer.numbers(self.at[number][there], size)
        return found

    def _number(self, number: int) -> Array:
        return self._id(number, 8)[:, 0]

    def _attributes(self, interner: AttributeInterner) -> tuple[Array, Array]:
        """Number the attributes, span by span in their order."""
        count = np.zeros(self.count, np.uint32)
        for fields in self.attributes:
            count[fields.row] += 1
        slot = np.cumsum(count) - count
        at, size = np.zeros((2, int(count.sum())), np.int64)
        for fields in self.attributes:
            place = slot[fields.row]
            at[place], size[place] = fields.at, fields.size
            slot[fields.row] += 1
        return count, interner.numbers(self.buffer, Slices(at, size))

    def _rests(self, table: Table) -> tuple[Array, Array]:
        """Number what few spans have, and say which ones failed."""
        found: dict[int, bytes] = {}
        for fields in self.rare:
            whole = Slices(fields.begin, fields.at + fields.size - fields.begin)
            for row, encoded in zip(fields.row.tolist(), self.buffer.strings(whole), strict=True):
                found[row] = found.get(row, b"") + encoded
        rest, failed = np.zeros(self.count, np.uint32), np.zeros(self.count, np.uint8)
        outcomes: dict[bytes, int] = {}
        for row, encoded in found.items():
            rest[row] = table[encoded]
            if encoded not in outcomes:
                outcomes[encoded] = FAILED if _failed(encoded) else 0
            failed[row] = outcomes[encoded]
        return rest, failed


def _failed(rest: bytes) -> bool:
    try:
        return bool(trace_pb2.Span.FromString(rest).status.code == trace_pb2.Status.STATUS_CODE_ERROR)
    except DecodeError:
        return False


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """Put chunks of the same tables behind each other."""
    columns = {name: np.concatenate([chunk.columns[name] for chunk in chunks]) for name in COLUMNS}
    return Chunk(columns, np.concatenate([chunk.traces for chunk in chunks]))
