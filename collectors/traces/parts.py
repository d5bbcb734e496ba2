"""A part of the store as a search sees it: columns, tables and what they cover, in memory or on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

from collectors.otlp.resources import resource_attributes, workload_of
from collectors.traces.columns import FAILED, Chunk, Tables, joined, owner_parts
from collectors.traces.tokens import Tag, app_token, forms, key_token, namespace_token, operation_token, text_token
from graph.model import WorkloadRef

Array = NDArray[Any]
KINDS = ("internal", "internal", "server", "client", "producer", "consumer", "internal", "internal")
MOST_OPERATIONS = 5000
"""Of one part; more would be names with ids in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a part covers."""

    spans: int
    traces: int
    errors: int
    from_ns: int
    to_ns: int
    """When its first and its last span started."""
    longest_ns: int


class Owner(NamedTuple):
    """Who sent a span: a resource, and the instrumentation scope."""

    workload: WorkloadRef
    attributes: Mapping[str, str]
    scope: str


class AppOperation(NamedTuple):
    """A span name of an app."""

    app: str
    name: str
    kind: str


class Part(ABC):
    """Spans of some stretch of time. Rows are positions in columns and tables of this part."""

    summary: Summary
    cluster: str

    @abstractmethod
    def column(self, name: str) -> Array:
        """One of :data:`collectors.traces.columns.COLUMNS`, unsigned."""

    @abstractmethod
    def string(self, table: str, row: int) -> bytes:
        """Read a row of ``owners``, ``names``, ``attributes`` or ``rests``."""

    @abstractmethod
    def find(self, table: str, string: bytes) -> int | None:
        """Find a string's row."""

    @abstractmethod
    def rows(self, table: str) -> int:
        """How long a table is."""

    @abstractmethod
    def may_have(self, tokens: Iterable[bytes]) -> bool:
        """Whether one of the tokens may be here; a ``False`` is certain."""

    @abstractmethod
    def trace_ids(self) -> Array:
        """The trace table: two little-endian words per id, in the order of :func:`by_id`."""

    @abstractmethod
    def operations(self) -> Sequence[AppOperation]:
        """Which span names its apps use."""

    @abstractmethod
    def apps(self) -> Iterable[str]:
        """Whose spans it has."""

    @abstractmethod
    def _texts(self) -> Mapping[int, tuple[str, str]]:
        """Key and text of attributes that are not plain scalars."""

    @abstractmethod
    def _key_rows(self) -> Array:
        """Of each attribute, the row of its key in ``keys``."""

    def trace_rows(self, ids: Sequence[bytes]) -> list[int]:
        """Those of the traces that are here."""
        there = self.trace_ids()
        wanted = np.frombuffer(b"".join(ids), "<u8").reshape(-1, 2)
        random = np.ascontiguousarray(there[:, 1])
        first, last = np.searchsorted(random, wanted[:, 1]), np.searchsorted(random, wanted[:, 1], "right")
        some = np.flatnonzero(last > first).tolist()
        return [row for one in some for row in range(first[one], last[one]) if there[row, 0] == wanted[one, 0]]

    def owner(self, row: int) -> Owner:
        """Read who sent the spans of an owner row."""
        return owner_of(self.string("owners", row), self.cluster)

    @cached_property
    def owners(self) -> Sequence[Owner]:
        """All of them."""
        return [self.owner(row) for row in range(self.rows("owners"))]

    def tag_rows(self, tag: Tag) -> Array:
        """Say which attributes mean the tag."""
        if tag.value is None:
            key = self.find("keys", tag.key.encode())
            return np.flatnonzero(self._key_rows() == key) if key is not None else np.zeros(0, np.int64)
        found = {self.find("attributes", form) for form in forms(tag.key, tag.value)} - {None}
        found |= {row for row, pair in self._texts().items() if pair == (tag.key, tag.value)}
        return np.array(sorted(row for row in found if row is not None), np.int64)


def by_id(ids: Array) -> Array:
    """Order trace ids by their random half first: the other one may be the same for all."""
    return np.lexsort((ids[:, 0], ids[:, 1]))


@lru_cache(maxsize=16_384)
def owner_of(key: bytes, cluster: str) -> Owner:
    """Decode a row of ``owners``; what is malformed in it is left out."""
    resource, scope = owner_parts(key)
    attributes = resource_attributes(resource)
    try:
        name = InstrumentationScope.FromString(scope).name
    except DecodeError:
        name = ""
    return Owner(workload_of(attributes, cluster=cluster), attributes, name)


def summary_of(columns: Mapping[str, Array]) -> Summary:
    """Sum columns up; there is at least one span."""
    start = columns["start"]
    return Summary(
        spans=len(start),
        traces=int(np.count_nonzero(np.bincount(columns["trace"]))),
        errors=int(np.count_nonzero(columns["kind"] & FAILED)),
        from_ns=int(start.min()),
        to_ns=int(start.max()),
        longest_ns=int(columns["duration"].max()),
    )


class HeadPart(Part):
    """What is not in a block yet, as it was at one instant; made anew after each chunk."""

    def __init__(self, chunks: Sequence[Chunk], tables: Tables, cluster: str) -> None:
        self.cluster = cluster
        self._chunks = chunks
        self._tables = tables

    @cached_property
    def summary(self) -> Summary:  # type: ignore[override]
        """What it covers."""
        return summary_of(self._joined[0])

    @cached_property
    def _joined(self) -> tuple[Mapping[str, Array], Array]:
        """Every column, and the trace table."""
        together = joined(self._chunks)
        ids = together.traces
        order = by_id(ids)
        ordered = ids[order]
        new = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1))
        trace = np.empty(len(ids), np.uint32)
        trace[order] = np.cumsum(new) - 1
        return {**together.columns, "trace": trace}, ordered[new]

    @cached_property
    def _strings(self) -> Mapping[str, Sequence[bytes]]:
        tables = self._tables
        interned = {"names": tables.names, "attributes": tables.attributes, "keys": tables.attributes.keys}
        return {
            "owners": list(tables.owners),
            "rests": list(tables.rests),
            **{name: interner.strings[:] for name, interner in interned.items()},
        }

    def column(self, name: str) -> Array:
        """One column."""
        return self._joined[0][name]

    def strings(self, table: str) -> Sequence[bytes]:
        """One table."""
        return self._strings[table]

    def string(self, table: str, row: int) -> bytes:
        """Read a row of a table."""
        return self._strings[table][row]

    def find(self, table: str, string: bytes) -> int | None:
        """Find a string's row."""
        try:
            return self._strings[table].index(string)
        except ValueError:
            return None

    def rows(self, table: str) -> int:
        """How long a table is."""
        return len(self._strings[table])

    def may_have(self, tokens: Iterable[bytes]) -> bool:
        """Without a filter: it is small."""
        return bool(tokens)

    def trace_ids(self) -> Array:
        """The trace table."""
        return self._joined[1]

    @cached_property
    def _operations(self) -> Sequence[AppOperation]:
        owner, name, kind = (self.column(column).astype(np.uint64) for column in ("owner", "name", "kind"))
        both = np.unique(owner << np.uint64(35) | name << np.uint64(3) | kind & np.uint64(7))[: 20 * MOST_OPERATIONS]
        found = {
            AppOperation(
                self.owners[one >> 35].workload.app,
                self.string("names", one >> 3 & 0xFFFFFFFF).decode(errors="replace"),
                KINDS[one & 7],
            ): None
            for one in both.tolist()
        }
        return sorted(found)[:MOST_OPERATIONS]

    def operations(self) -> Sequence[AppOperation]:
        """Which span names its apps use."""
        return self._operations

    def apps(self) -> Iterable[str]:
        """Whose spans it has."""
        return {owner.workload.app for owner in self.owners}

    def _texts(self) -> Mapping[int, tuple[str, str]]:
        return dict(list(self._tables.attributes.texts.items()))

    def _key_rows(self) -> Array:
        return np.array(self._tables.attributes.key_rows[:], np.int64)

    def texts(self) -> Mapping[int, tuple[str, str]]:
        """Key and text of attributes that are not plain scalars, by row."""
        return self._texts()

    def key_rows(self) -> Array:
        """Of each attribute, the row of its key."""
        return self._key_rows()

    def tokens(self) -> list[bytes]:
        """Everything that a filter must know of."""
        owners = {token for key in self._strings["owners"] for token in _owner_tokens(key, self.cluster)}
        return [
            *self._strings["attributes"],
            *map(key_token, self._strings["keys"]),
            *map(operation_token, self._strings["names"]),
            *(text_token(*pair) for pair in self._texts().values()),
            *owners,
        ]


@lru_cache(maxsize=4096)
def _owner_tokens(key: bytes, cluster: str) -> tuple[bytes, ...]:
    owner = owner_of(key, cluster)
    tags = owner.attributes.items()
    return (
        app_token(owner.workload.app),
        namespace_token(owner.workload.namespace),
        *(key_token(name.encode()) for name, _ in tags),
        *(text_token(name, text) for name, text in tags),
    )
