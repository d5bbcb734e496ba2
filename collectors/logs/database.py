"""The SQLite file of the embedded log store: compressed blocks of lines, capped in bytes, age and per workload.

A block holds lines of one workload and one source that follow each other; the newest grows until it is full. Where a
file has been read to is written in the same transaction as its lines: a killed server goes on where it was, and no
line is there twice or never.
"""

from __future__ import annotations

import heapq
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from collectors.errors import CollectorError
from collectors.logs import blocks
from collectors.logs.matching import Test, encoded_text, severity
from graph.model import WorkloadRef
from graph.ports import Clock, LogLine, LogPage, LogQuery, LogSource

SCHEMA = """
CREATE TABLE IF NOT EXISTS stream (
    id INTEGER PRIMARY KEY, cluster TEXT, namespace TEXT, workload TEXT, app TEXT, version TEXT, source TEXT,
    UNIQUE (cluster, namespace, workload, app, version, source)
);
CREATE TABLE IF NOT EXISTS block (
    id INTEGER PRIMARY KEY, stream INTEGER, first_ns INTEGER, last_ns INTEGER, lines INTEGER, levels INTEGER,
    size INTEGER, body BLOB
);
CREATE INDEX IF NOT EXISTS block_stream ON block (stream, last_ns);
CREATE INDEX IF NOT EXISTS block_last ON block (last_ns);
CREATE TABLE IF NOT EXISTS traced (trace TEXT, block INTEGER, PRIMARY KEY (trace, block)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS traced_block ON traced (block);
CREATE TABLE IF NOT EXISTS position (file TEXT PRIMARY KEY, offset INTEGER, head TEXT);
CREATE TABLE IF NOT EXISTS dropped (lines INTEGER);
INSERT INTO dropped SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM dropped);
"""
BLOCK_BYTES = 64 * 1024
"""A block that holds as many bytes of lines is full."""
OPEN_BLOCKS = 256
FILLED = 0.95
"""Of the capacity; the rest is for SQLite's log beside the file."""
LET_GO = 0.05
SEARCH_S = 5.0
LARGEST_NS = 2**63 - 1


class Stream(NamedTuple):
    """Whose lines share blocks."""

    workload: WorkloadRef
    source: LogSource


class Position(NamedTuple):
    """How far a file has been read."""

    offset: int
    head: str
    """Tells the file from another one that took its name."""


class _Found(NamedTuple):
    """A line that matches, and its place: lines of one instant stay in the order in which they came."""

    at_ns: int
    block: int
    number: int
    line: LogLine


@dataclass(slots=True)
class _Open:
    """The newest block of a stream while it is not full."""

    id: int
    first_ns: int
    last_ns: int
    levels: int
    rows: list[bytes] = field(default_factory=list)
    bytes: int = 0


class Usage(NamedTuple):
    """What the file holds, and how much of it was let go to make room."""

    lines: int
    bytes: int
    oldest_ms: int
    streams: int
    dropped_lines: int


class LogDatabase:
    """One thread at a time writes; any may read. Every method raises :class:`CollectorError` when the disk fails."""

    def __init__(self, path: Path, clock: Clock, *, capacity_bytes: int, stream_bytes: int, retention_s: float) -> None:
        self._path = path
        self._clock = clock
        self._capacity_bytes = capacity_bytes
        self._stream_bytes = stream_bytes
        self._retention_s = retention_s
        self._writer: sqlite3.Connection | None = None
        self._streams: dict[Stream, int] = {}
        self._open: dict[int, _Open] = {}

    def open(self) -> None:
        """Open the file, or make it."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._trouble():
            writer = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
            self._path.chmod(0o600)
            writer.execute("PRAGMA journal_mode = WAL")
            # A crash of the machine may cost the newest lines, never the file.
            writer.execute("PRAGMA synchronous = NORMAL")
            writer.execute("PRAGMA journal_size_limit = 16777216")
            writer.executescript(SCHEMA)
            self._writer = writer

    def close(self) -> None:
        """Write no more."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def positions(self) -> Mapping[str, Position]:
        """Return how far each file has been read, as far as it is on disk."""
        with self._reading() as reader:
            rows = reader.execute("SELECT file, offset, head FROM position").fetchall()
        return {file: Position(offset, head) for file, offset, head in rows}

    def write(self, lines: Sequence[LogLine], positions: Mapping[str, Position]) -> None:
        """Write lines and positions, all or none."""
        try:
            self._write(lines, positions)
        except CollectorError:
            self._streams.clear()
            self._open.clear()
            raise

    def search(self, query: LogQuery, test: Test) -> LogPage:
        """Find the newest lines that pass the test; gives up after five seconds."""
        since_ns = query.since_ms * 1_000_000
        until_ns = query.until_ms * 1_000_000 + 999_999 if query.until_ms else LARGEST_NS
        deadline = time.monotonic() + SEARCH_S
        newest: list[_Found] = []
        needle = encoded_text(query)
        with self._reading() as reader:
            for last_ns, block, *whose in reader.execute(*_candidates(query, since_ns, until_ns)):
                if len(newest) == query.limit and newest[0].at_ns >= last_ns:
                    break
                if time.monotonic() > deadline:
                    return _page(newest, reached_ms=last_ns // 1_000_000)
                for number, line in _lines(reader, block, Stream(WorkloadRef(*whose[:5]), LogSource(whose[5])), needle):
                    if since_ns <= line.at_ns <= until_ns and test(line):
                        push = heapq.heappush if len(newest) < query.limit else heapq.heappushpop
                        push(newest, _Found(line.at_ns, block, number, line))
        return _page(newest)

    def workloads(self) -> Mapping[WorkloadRef, Sequence[LogSource]]:
        """Who has lines, and of which kind."""
        found: defaultdict[WorkloadRef, list[LogSource]] = defaultdict(list)
        with self._reading() as reader:
            for *who, source in reader.execute(
                "SELECT cluster, namespace, workload, app, version, source FROM stream"
                " WHERE EXISTS (SELECT 1 FROM block WHERE block.stream = stream.id)"
                " ORDER BY namespace, workload, version, source"
            ):
                found[WorkloadRef(*who)].append(LogSource(source))
        return dict(found)

    def usage(self) -> Usage:
        """How full it is."""
        with self._reading() as reader:
            lines, oldest, streams = reader.execute(
                "SELECT coalesce(sum(lines), 0), coalesce(min(first_ns), 0), count(DISTINCT stream) FROM block"
            ).fetchone()
            [dropped] = reader.execute("SELECT lines FROM dropped").fetchone()
            return Usage(lines, _used(reader), oldest // 1_000_000, streams, dropped)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as trouble:
            raise CollectorError(f"log store {self._path}: {trouble}") from trouble

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._trouble(), closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=10)) as reader:
            yield reader

    def _write(self, lines: Sequence[LogLine], positions: Mapping[str, Position]) -> None:
        writer = self._writer
        if writer is None:
            raise CollectorError("the log store is closed")
        by_stream: defaultdict[Stream, list[LogLine]] = defaultdict(list)
        for line in lines:
            by_stream[Stream(line.workload, line.source)].append(line)
        with self._trouble(), writer:
            writer.execute("BEGIN IMMEDIATE")
            for stream, own in by_stream.items():
                self._extend(writer, self._stream(writer, stream), own)
            writer.executemany(
                "INSERT OR REPLACE INTO position (file, offset, head) VALUES (?, ?, ?)",
                [(file, *position) for file, position in positions.items()],
            )
            self._let_go(writer, [self._streams[stream] for stream in by_stream])

    def _stream(self, writer: sqlite3.Connection, stream: Stream) -> int:
        known = self._streams.get(stream)
        if known is None:
            values = (*stream.workload, stream.source.value)
            writer.execute(
                "INSERT OR IGNORE INTO stream (cluster, namespace, workload, app, version, source)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )
            [known] = writer.execute(
                "SELECT id FROM stream WHERE (cluster, namespace, workload, app, version, source) = (?, ?, ?, ?, ?, ?)",
                values,
            ).fetchone()
            self._streams[stream] = known
        return known

    def _extend(self, writer: sqlite3.Connection, stream: int, lines: Sequence[LogLine]) -> None:
        """Write lines to the end of a stream, in as many blocks as it takes."""
        at = 0
        while at < len(lines):
            block = self._open.get(stream) or self._new_block(writer, stream, lines[at])
            start = at
            while at < len(lines) and (at == start or block.bytes < BLOCK_BYTES):
                [row] = blocks.rows([lines[at]])
                block.rows.append(row)
                block.bytes += len(row)
                at += 1
            self._save(writer, block, lines[start:at])
            if block.bytes >= BLOCK_BYTES:
                del self._open[stream]

    def _new_block(self, writer: sqlite3.Connection, stream: int, line: LogLine) -> _Open:
        at_ns = min(line.at_ns, LARGEST_NS)
        block = writer.execute("INSERT INTO block (stream, lines) VALUES (?, 0)", (stream,)).lastrowid
        assert block is not None
        if len(self._open) >= OPEN_BLOCKS:
            del self._open[next(iter(self._open))]
        self._open[stream] = opened = _Open(block, at_ns, at_ns, 0)
        return opened

    def _save(self, writer: sqlite3.Connection, block: _Open, added: Sequence[LogLine]) -> None:
        times = [min(one.at_ns, LARGEST_NS) for one in added]
        block.first_ns, block.last_ns = min(block.first_ns, *times), max(block.last_ns, *times)
        block.levels |= blocks.levels(added)
        body = blocks.pack(block.rows)
        writer.execute(
            "UPDATE block SET first_ns = ?, last_ns = ?, lines = ?, levels = ?, size = ?, body = ? WHERE id = ?",
            (block.first_ns, block.last_ns, len(block.rows), block.levels, len(body), body, block.id),
        )
        writer.executemany(
            "INSERT OR IGNORE INTO traced (trace, block) VALUES (?, ?)",
            [(trace, block.id) for trace in {one.trace_id for one in added} if trace],
        )

    def _let_go(self, writer: sqlite3.Connection, streams: Iterable[int]) -> None:
        """Free what is too old, what a stream has beyond its share, and the oldest when the file is full."""
        expired = self._clock.now_ms() * 1_000_000 - int(self._retention_s * 1e9)
        self._delete(writer, "SELECT id FROM block WHERE last_ns < ?", (expired,))
        for stream in streams:
            [size] = writer.execute("SELECT coalesce(sum(size), 0) FROM block WHERE stream = ?", (stream,)).fetchone()
            if size > self._stream_bytes:
                self._delete(writer, *_oldest(size - self._stream_bytes * (1 - LET_GO), stream))
        used = _used(writer)
        if used > self._capacity_bytes * FILLED:
            self._delete(writer, *_oldest(used - self._capacity_bytes * (FILLED - LET_GO)))

    def _delete(self, writer: sqlite3.Connection, which: str, values: Sequence[object]) -> None:
        going = [block for (block,) in writer.execute(which, values)]
        if not going:
            return
        for block in going:
            writer.execute("UPDATE dropped SET lines = lines + (SELECT lines FROM block WHERE id = ?)", (block,))
            writer.execute("DELETE FROM traced WHERE block = ?", (block,))
            writer.execute("DELETE FROM block WHERE id = ?", (block,))
        gone = frozenset(going)
        self._open = {stream: one for stream, one in self._open.items() if one.id not in gone}


def _page(newest: Sequence[_Found], *, reached_ms: int = 0) -> LogPage:
    return LogPage(lines=tuple(one.line for one in sorted(newest)), complete=not reached_ms, reached_ms=reached_ms)


def _lines(reader: sqlite3.Connection, block: int, stream: Stream, needle: bytes) -> Iterator[tuple[int, LogLine]]:
    """Yield a block's lines with their numbers, without those in whose encoded form the needle is not."""
    [body] = reader.execute("SELECT body FROM block WHERE id = ?", (block,)).fetchone() or [None]
    for number, encoded in enumerate(blocks.unpack(body) if body else ()):
        if needle in encoded.lower():
            yield number, blocks.decode(encoded, *stream)


def _candidates(query: LogQuery, since_ns: int, until_ns: int) -> tuple[str, list[object]]:
    """Select the blocks in which matching lines may be, the newest first."""
    clauses, values = ["last_ns >= ?", "first_ns <= ?"], [since_ns, until_ns]
    conditions: list[tuple[bool, str, tuple[object, ...]]] = [
        (bool(query.namespace), "namespace = ?", (query.namespace,)),
        (bool(query.workload), "(workload = ? OR app = ?)", (query.workload, query.workload)),
        (bool(query.sources), f"source IN ({', '.join('?' * len(query.sources))})", tuple(query.sources)),
        (bool(query.level), "levels >= ?", (1 << severity(query.level),)),
        (bool(query.trace_id), "block.id IN (SELECT block FROM traced WHERE trace = ?)", (query.trace_id,)),
    ]
    arguments: list[object] = list(values)
    for given, clause, more in conditions:
        if given:
            clauses.append(clause)
            arguments += more
    columns = "last_ns, block.id, cluster, namespace, workload, app, version, source"
    where = " AND ".join(clauses)
    joined = "block JOIN stream ON stream.id = block.stream"
    return f"SELECT {columns} FROM {joined} WHERE {where} ORDER BY last_ns DESC", arguments  # noqa: S608


def _oldest(excess: float, stream: int | None = None) -> tuple[str, tuple[object, ...]]:
    """Select as many of the oldest blocks as free so many bytes."""
    where, values = ("WHERE stream = ?", (stream,)) if stream is not None else ("", ())
    older = f"SELECT id, sum(size) OVER (ORDER BY last_ns, id) - size AS before FROM block {where}"  # noqa: S608
    return f"SELECT id FROM ({older}) WHERE before < ?", (*values, excess)  # noqa: S608


def _used(connection: sqlite3.Connection) -> int:
    [size], [pages], [free] = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "page_count", "freelist_count")
    )
    return int(size * (pages - free))
