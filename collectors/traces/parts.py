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
        """The trace table: two little-endian words per id."""

    @abstractmethod
    def trace_rows(self, ids: Sequence[bytes]) -> list[int]:
        """Those of the traces that are here."""

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
        return summary_of(self.columns)

    @cached_property
    def columns(self) -> Mapping[str, Array]:
        """Every column."""
        return joined(self._chunks)

    @cached_property
    def _strings(self) -> Mapping[str, Sequence[bytes]]:
        tables = self._tables
        return {
            name: list(table)
            for name, table in (
                ("owners", tables.owners),
                ("names", tables.names),
                ("attributes", tables.attributes),
                ("rests", tables.rests),
                ("keys", tables.attribute_numbers.keys),
                ("traces", tables.traces),
            )
        }

    def column(self, name: str) -> Array:
        """One column."""
        return self.columns[name]

    def strings(self, table: str) -> Sequence[bytes]:
        """One table."""
        return self._strings[table]

    def string(self, table: str, row: int) -> bytes:
        """Read a row of a table."""
        return self._strings[table][row]

    def find(self, table: str, string: bytes) -> int | None:
        """Find a string's row."""
        if table == "keys":
            return self._tables.attribute_numbers.keys.get(string)
        return {"names": self._tables.names, "attributes": self._tables.attributes}[table].get(string)

    def rows(self, table: str) -> int:
        """How long a table is."""
        return len(self._strings[table])

    def may_have(self, tokens: Iterable[bytes]) -> bool:
        """Without a filter: it is small."""
        return bool(tokens)

    @cached_property
    def _trace_words(self) -> Array:
        return np.frombuffer(b"".join(self._strings["traces"]), "<u8").reshape(-1, 2)

    def trace_ids(self) -> Array:
        """The trace table."""
        return self._trace_words

    def trace_rows(self, ids: Sequence[bytes]) -> list[int]:
        """Those of the traces that are here."""
        return [row for one in ids if (row := self._tables.traces.get(one)) is not None]

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
        return dict(list(self._tables.attribute_numbers.texts.items()))

    def _key_rows(self) -> Array:
        return np.array(self._tables.attribute_numbers.key_rows[:], np.int64)

    def texts(self) -> Mapping[int, tuple[str, str]]:
        """Key and text of attributes that are not plain scalars, by row."""
        return self._texts()

    def key_rows(self) -> Array:
        """Of each attribute, the row of its key."""
        return self._key_rows()

    def tokens(self) -> set[bytes]:
        """Everything that a filter must know of."""
        found = set(self._strings["attributes"])
        found.update(map(key_token, self._strings["keys"]))
        found.update(map(operation_token, self._strings["names"]))
        found.update(text_token(*pair) for pair in self._texts().values())
        for key in self._strings["owners"]:
            found.update(_owner_tokens(key, self.cluster))
        return found


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
