"""Requests taken apart into columns: one array per field of a span, each different value kept once. Pure.

A trace is found by comparing arrays of numbers, so that a condition costs milliseconds for a million spans and is
exact for each of them; what a span looks like is put together again for those that are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.trace.v1 import trace_pb2

from collectors.traces.interning import AttributeInterner, Interner, Slices, Table
from collectors.traces.messages import Request
from collectors.traces.walk import Fields, buffer, gathered, walk

Array = NDArray[Any]
TRACE_ID, SPAN_ID, PARENT, NAME, KIND, START, END, ATTRIBUTE, EVENT, LINK, STATUS = 1, 2, 4, 5, 6, 7, 8, 9, 11, 13, 15
WIRE_TYPES = np.full(STATUS + 2, -1)
WIRE_TYPES[[TRACE_ID, SPAN_ID, PARENT, NAME, ATTRIBUTE, EVENT, LINK, STATUS]] = 2
WIRE_TYPES[[START, END]] = 1
WIRE_TYPES[KIND] = 0
"""Of the fields that are read; a field of another type is not this field."""
FAILED = 8
"""Set in ``kind`` where the span's status is an error."""

PER_SPAN = ("trace", "span", "parent", "owner", "name", "kind", "start", "duration", "rest", "count")
"""One number per span: row of the trace table, ids, rows of the other tables, nanoseconds, number of attributes."""
COLUMNS = (*PER_SPAN, "attribute")
"""``attribute``: rows of the attribute table, ``count`` of them per span, one span after the other."""


class Tables:
    """The different values of many spans. One thread adds; others may read what is there meanwhile."""

    def __init__(self) -> None:
        self.traces = Table()
        self.owners = Table()
        """Resource and scope: see :func:`owner_key`."""
        self.names = Table()
        self.attributes = Table()
        self.rests = Table({b"": 0})
        """What few spans have, as an encoded ``Span`` of those fields alone: status, events, links."""
        self.name_numbers = Interner(self.names)
        self.attribute_numbers = AttributeInterner(self.attributes)


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

    @property
    def spans(self) -> int:
        """How many."""
        return len(self.columns["trace"])


def chunk_of(requests: Iterable[bytes], tables: Tables) -> Chunk:
    """Take requests apart. Spans without valid ids are left out, and so are requests that are malformed."""
    owners: list[int] = []
    counts: list[int] = []
    encoded: list[bytes] = []
    for resource, scope in _scopes(requests):
        spans = scope.spans[:]
        owners.append(tables.owners[owner_key(resource, scope.scope)])
        counts.append(len(spans))
        encoded += spans
    return _Spans(encoded).chunk(np.repeat(np.array(owners, np.uint32), counts), tables)


def _scopes(requests: Iterable[bytes]) -> Iterator[tuple[bytes, Any]]:
    for data in requests:
        try:
            request = Request.FromString(data)
        except DecodeError:
            continue
        for part in request.resource_spans:
            resource = part.resource
            for scope in part.scope_spans:
                yield resource, scope


class _Spans:
    """Encoded spans, and where in them each field is."""

    def __init__(self, encoded: list[bytes]) -> None:
        self.raw = buffer(encoded)
        self.data = np.frombuffer(self.raw, np.uint8)
        self.size = np.fromiter(map(len, encoded), np.int64, len(encoded))
        self.at = np.full((STATUS + 1, len(encoded)), -1)
        """Of each single field: where its content is; -1 where there is none."""
        self.sizes = np.zeros((STATUS + 1, len(encoded)), np.int64)
        self.kind = np.ones(len(encoded), np.uint8)
        self.attributes: list[Fields] = []
        self.rare: list[Fields] = []
        end = np.cumsum(self.size)
        for fields in walk(self.data, end - self.size, end):
            self._take(fields)

    def _take(self, fields: Fields) -> None:
        known = np.clip(fields.number, 0, STATUS + 1)
        known = np.where(WIRE_TYPES[known] == fields.kind, known, STATUS + 1)
        numbers = np.bincount(known, minlength=STATUS + 2)
        for number in np.flatnonzero(numbers[: STATUS + 1]).tolist():
            part = fields
            if numbers[number] < len(fields.row):
                chosen = known == number
                part = Fields(*(of[chosen] for of in fields))
            if number == ATTRIBUTE:
                self.attributes.append(part)
            elif number in {EVENT, LINK, STATUS}:
                self.rare.append(part)
            elif number == KIND:
                self.kind[part.row] = np.where((part.value > 0) & (part.value < 6), part.value, 1)
            else:
                self.at[number, part.row] = part.at
                self.sizes[number, part.row] = part.size

    def chunk(self, owner: Array, tables: Tables) -> Chunk:
        """Put the columns together."""
        trace, span = self._id(TRACE_ID, 16), self._id(SPAN_ID, 8)
        rest, failed = self._rests(tables.rests)
        start, end = self._number(START), self._number(END)
        columns: dict[str, Array] = {
            "span": span[:, 0],
            "parent": self._id(PARENT, 8)[:, 0],
            "owner": owner,
            "name": self._numbered(NAME, tables.name_numbers),
            "kind": self.kind | failed,
            "start": start,
            "duration": np.where(end > start, end - start, np.uint64(0)),
            "rest": rest,
        }
        count, attribute = self._attributes(tables)
        valid = trace.any(axis=1) & span.any(axis=1)
        if not valid.all():
            attribute, count = attribute[np.repeat(valid, count)], count[valid]
            columns = {name: column[valid] for name, column in columns.items()}
            trace = trace[valid]
        ids = trace.tobytes()
        numbers = [tables.traces[ids[at : at + 16]] for at in range(0, len(ids), 16)]
        columns |= {"trace": np.array(numbers, np.uint32), "count": count, "attribute": attribute}
        return Chunk(columns)

    def _id(self, number: int, size: int) -> Array:
        """Ids as little-endian words; zeros where there is none of that size."""
        there = (self.at[number] >= 0) & (self.sizes[number] == size)
        found = np.zeros((len(self.size), size // 8), np.uint64)
        found[there] = gathered(self.data, self.at[number][there], size)
        return found

    def _number(self, number: int) -> Array:
        return self._id(number, 8)[:, 0]

    def _numbered(self, number: int, interner: Interner) -> Array:
        at = np.maximum(self.at[number], 0)
        return interner.numbers(self.data, self.raw, Slices(at, self.sizes[number]))

    def _attributes(self, tables: Tables) -> tuple[Array, Array]:
        """Number the attributes, span by span in their order."""
        count = np.zeros(len(self.size), np.uint32)
        for fields in self.attributes:
            count[fields.row] += 1
        slot = np.cumsum(count) - count
        at, size = np.zeros((2, int(count.sum())), np.int64)
        for fields in self.attributes:
            place = slot[fields.row]
            at[place], size[place] = fields.at, fields.size
            slot[fields.row] += 1
        return count, tables.attribute_numbers.numbers(self.data, self.raw, Slices(at, size))

    def _rests(self, table: Table) -> tuple[Array, Array]:
        """Number what few spans have, and say which ones failed."""
        found: dict[int, bytes] = {}
        for fields in self.rare:
            slices = zip(fields.row.tolist(), fields.begin.tolist(), (fields.at + fields.size).tolist(), strict=True)
            for row, start, end in slices:
                found[row] = found.get(row, b"") + self.raw[start:end]
        rest, failed = np.zeros(len(self.size), np.uint32), np.zeros(len(self.size), np.uint8)
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


def joined(chunks: Sequence[Chunk]) -> Mapping[str, Array]:
    """Put chunks of the same tables behind each other."""
    return {name: np.concatenate([chunk.columns[name] for chunk in chunks]) for name in COLUMNS}
