"""A block: a file that is written once. Sections, then a footer that says where each is and what the block covers.

Columns are stored byte by byte of their numbers, the lowest bytes of all spans first: what does not change from
span to span then takes next to no room. Every section carries a checksum.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import zstandard
from numpy.typing import NDArray

from collectors.errors import CollectorError
from collectors.traces.columns import COLUMNS
from collectors.traces.parts import AppOperation, HeadPart, Part, Summary
from collectors.traces.tokens import filter_of, may_have

Array = NDArray[Any]
MAGIC = b"MSTRACE1"
TAIL = struct.Struct("<II8s")
"""The footer's length and checksum, and the magic again."""
LEVEL = 1
"""Columns and tables have little left for a higher one: it takes half as long again and saves nothing."""
TABLES = ("owners", "names", "attributes", "rests", "keys")
NOTHING: Mapping[int, tuple[str, str]] = {}


class DamagedError(CollectorError):
    """A block cannot be read; the message names the file."""


def encoded(part: HeadPart, *, arrived_ms: int, new_traces: int) -> bytes:
    """Write a block: *arrived_ms* is when its last span came, *new_traces* how many the block before had not."""
    sections = {name: packed(part.column(name)) for name in ("trace", *COLUMNS)}
    sections["start"] = packed(part.column("start") - np.uint64(part.summary.from_ns))
    sections["traces"] = part.trace_ids().tobytes()
    sections["key_rows"] = packed(part.key_rows())
    for table in TABLES:
        strings = part.strings(table)
        sections[f"{table}.sizes"] = packed(np.fromiter(map(len, strings), np.uint32, len(strings)))
        sections[table] = b"".join(strings)
    sections["texts"] = orjson.dumps([[row, *_clean(pair)] for row, pair in part.texts().items()])
    sections["operations"] = orjson.dumps([_clean(operation) for operation in part.operations()])
    sections["filter"] = filter_of(part.tokens())
    about = {"summary": asdict(part.summary), "arrived_ms": arrived_ms, "new_traces": new_traces}
    lengths = {"attribute": len(part.column("attribute")), "key_rows": part.rows("attributes")}
    lengths |= {f"{table}.sizes": part.rows(table) for table in TABLES}
    return _file(sections, about | {"lengths": lengths, "apps": _clean(sorted(part.apps()))})


def _clean(strings: Iterable[str]) -> list[str]:
    """Make text that JSON can carry."""
    return [text.encode(errors="replace").decode() for text in strings]


def _file(sections: Mapping[str, bytes], about: Mapping[str, Any]) -> bytes:
    compress = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress
    bodies, places, at = [MAGIC], {}, len(MAGIC)
    for name, content in sections.items():
        body = compress(content)
        bodies.append(body)
        places[name] = (at, len(body))
        at += len(body)
    footer = orjson.dumps({**about, "sections": places})
    return b"".join((*bodies, footer, TAIL.pack(len(footer), zlib.crc32(footer), MAGIC)))


def packed(column: Array) -> bytes:
    """Lay unsigned numbers out byte by byte, without the high bytes that none of them needs."""
    wide = np.ascontiguousarray(column, "<u8").view(np.uint8).reshape(-1, 8)
    needed = max(1, (int(column.max(initial=0)).bit_length() + 7) // 8)
    return np.ascontiguousarray(wide[:, :needed].T).tobytes()


def unpacked(content: bytes, count: int) -> Array:
    """Read what :func:`packed` wrote."""
    if not count:
        return np.zeros(0, np.uint8)
    planes = np.frombuffer(content, np.uint8).reshape(-1, count)
    if len(planes) == 1:
        only: Array = planes[0]
        return only
    width = next(size for size in (2, 4, 8) if size >= len(planes))
    numbers: Array = planes[0].astype(f"<u{width}")
    for place, plane in enumerate(planes[1:], start=1):
        numbers |= plane.astype(numbers.dtype) << numbers.dtype.type(8 * place)
    return numbers


class Recent:
    """Columns that were read last, of all blocks together: pages ask the same again and again."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: dict[tuple[Path, str], Array] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[Path, str], read: Callable[[], Array]) -> Array:
        """Give a column, reading it when it is not here."""
        with self._lock:
            known = self._kept.pop(key, None)
            if known is not None:
                self._kept[key] = known
                return known
        column = read()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = column
                self._bytes += column.nbytes
            while self._bytes > self._most_bytes:
                self._bytes -= self._kept.pop(next(iter(self._kept))).nbytes
        return column


class Block(Part):
    """A block's file, open."""

    def __init__(self, path: Path, cluster: str, recent: Recent) -> None:
        """Open; raises :class:`DamagedError`."""
        self._recent = recent
        self.path = path
        self.cluster = cluster
        self.bytes = path.stat().st_size
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            about = _footer(self._map)
            self.summary = Summary(**about["summary"])
            self.arrived_ms, self.new_traces = int(about["arrived_ms"]), int(about["new_traces"])
            self._sections, self._lengths = about["sections"], about["lengths"]
            self._apps = tuple(about["apps"])
        except (ValueError, KeyError, TypeError, IndexError, struct.error, OSError) as trouble:
            raise DamagedError(f"{path}: not a whole block of traces: {trouble}") from trouble
        self._tables: dict[str, _Strings] = {}

    def opened(self) -> Block:
        """Give the same block with tables of its own, which go when a search is over."""
        other = object.__new__(Block)
        other.__dict__.update(self.__dict__, _tables={})
        return other

    def _section(self, name: str) -> bytes:
        at, size = self._sections[name]
        try:
            return zstandard.ZstdDecompressor().decompress(self._map[at : at + size])
        except zstandard.ZstdError as trouble:
            raise DamagedError(f"{self.path}: {name} is damaged: {trouble}") from trouble

    def _numbers(self, name: str) -> Array:
        count = self._lengths.get(name, self.summary.spans)
        return self._recent.get((self.path, name), lambda: unpacked(self._section(name), count))

    def column(self, name: str) -> Array:
        """One column."""
        numbers = self._numbers(name)
        return numbers + np.uint64(self.summary.from_ns) if name == "start" else numbers

    def _table(self, name: str) -> _Strings:
        if name not in self._tables:
            self._tables[name] = _Strings(self._numbers(f"{name}.sizes"), self._section(name))
        return self._tables[name]

    def string(self, table: str, row: int) -> bytes:
        """Read a row of a table."""
        return self._table(table)[row]

    def find(self, table: str, string: bytes) -> int | None:
        """Find a string's row."""
        return self._table(table).find(string)

    def rows(self, table: str) -> int:
        """How long a table is."""
        return int(self._lengths[f"{table}.sizes"])

    def may_have(self, tokens: Iterable[bytes]) -> bool:
        """Ask the filter."""
        return may_have(self._section("filter"), tokens)

    def trace_ids(self) -> Array:
        """The trace table, sorted."""
        return np.frombuffer(self._section("traces"), "<u8").reshape(-1, 2)

    def operations(self) -> Sequence[AppOperation]:
        """Which span names its apps use."""
        return [AppOperation(*one) for one in orjson.loads(self._section("operations"))]

    def apps(self) -> Iterable[str]:
        """Whose spans it has."""
        return self._apps

    @cached_property
    def _no_texts(self) -> bool:
        return bool(self._sections["texts"][1] <= len(zstandard.ZstdCompressor(write_checksum=True).compress(b"[]")))

    def _texts(self) -> Mapping[int, tuple[str, str]]:
        if self._no_texts:
            return NOTHING
        return {row: (key, text) for row, key, text in orjson.loads(self._section("texts"))}

    def _key_rows(self) -> Array:
        return self._numbers("key_rows")


def _footer(file: mmap.mmap) -> Any:
    size, checksum, magic = TAIL.unpack(file[-TAIL.size :])
    content = file[-TAIL.size - size : -TAIL.size]
    if magic != MAGIC or file[: len(MAGIC)] != MAGIC or zlib.crc32(content) != checksum:
        raise ValueError("its end is missing or damaged")
    return orjson.loads(content)


class _Strings:
    def __init__(self, sizes: Array, blob: bytes) -> None:
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self._starts = self._ends - sizes
        self._blob = blob

    def __getitem__(self, row: int) -> bytes:
        return self._blob[self._starts[row] : self._ends[row]]

    def find(self, string: bytes) -> int | None:
        at = self._blob.find(string)
        while at >= 0:
            row = int(np.searchsorted(self._ends, at, "right"))
            if row < len(self._ends) and self[row] == string:
                return row
            at = self._blob.find(string, at + 1)
        return None


def write(path: Path, content: bytes) -> None:
    """Put a file where it belongs in one step; it is on disk when this returns."""
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
