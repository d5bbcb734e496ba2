"""The embedded trace store: one SQLite file of compressed blocks, capped in bytes, the oldest going first.

A row per span would take seven times the room. So a block holds the spans, and the index holds one row per trace
and workload in it; what the row's sums cannot answer is looked up in the spans themselves.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from collectors.errors import CollectorError
from collectors.inventory import DEFAULT_CLUSTER
from collectors.otlp.decode import Batch, Decoder
from collectors.otlp.limits import Limits
from collectors.traces import blocks
from collectors.traces.matching import matches, needs_spans
from graph.model import WorkloadRef
from graph.ports import Span, TraceQuery, TraceStoreState, TraceSummary

SCHEMA = """
CREATE TABLE IF NOT EXISTS block (id INTEGER PRIMARY KEY, first_entry INTEGER, spans INTEGER, body BLOB);
CREATE TABLE IF NOT EXISTS workload (
    id INTEGER PRIMARY KEY, cluster TEXT, namespace TEXT, workload TEXT, app TEXT, version TEXT,
    UNIQUE (cluster, namespace, workload, app, version)
);
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY, trace BLOB, workload INTEGER, start_ns INTEGER, end_ns INTEGER, longest_ns INTEGER,
    spans INTEGER, errors INTEGER, root INTEGER, name TEXT, block INTEGER
);
CREATE INDEX IF NOT EXISTS entry_trace ON entry (trace);
CREATE INDEX IF NOT EXISTS entry_workload ON entry (workload, start_ns);
CREATE INDEX IF NOT EXISTS entry_start ON entry (start_ns);
CREATE TABLE IF NOT EXISTS dropped (spans INTEGER);
INSERT INTO dropped SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM dropped);
"""
BLOCK_BYTES = 1024 * 1024
FILLED = 0.95
"""Of the capacity; the rest is for SQLite's log beside the file."""
LET_GO = 0.05
"""Of the capacity that is freed at once when it is full."""
SEARCH_S = 5.0
MOST_TRACE_SPANS = 50_000
LARGEST_NS = 2**63 - 1


class SqliteTraces:
    """Implements :class:`graph.ports.TraceStore` in a folder of its own. Use it as an async context manager.

    ``append`` and ``flush`` belong to one thread; the other methods may be awaited meanwhile.
    """

    def __init__(self, folder: Path | str, capacity_bytes: int, *, cluster: str = DEFAULT_CLUSTER) -> None:
        self.capacity_bytes = capacity_bytes
        self._path = Path(folder) / "spans.db"
        self._cluster = cluster
        self._decoder = Decoder(Limits(), cluster=cluster)
        self._waiting: list[Batch] = []
        self._writing = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._workloads: dict[WorkloadRef, int] = {}

    async def __aenter__(self) -> Self:
        """Open the file, or make it; raises :class:`CollectorError` when it cannot be used."""
        await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits, and close."""
        await asyncio.to_thread(self._close)

    def append(self, raw: bytes, spans: int) -> None:  # noqa: ARG002
        """Take a request; it is in memory until ``flush``."""
        self._waiting.append(self._decoder.decode(raw))

    def flush(self) -> None:
        """Write everything taken so far; raises :class:`CollectorError`, and then it is lost."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        with self._writing, self._trouble():
            writer = self._writer
            if writer is None:
                raise CollectorError("the trace store is closed")
            try:
                with writer:
                    writer.execute("BEGIN IMMEDIATE")
                    for batches in _grouped(waiting):
                        self._write(writer, batches)
                    self._let_go(writer)
            except sqlite3.Error:
                self._workloads.clear()
                raise

    async def search(self, query: TraceQuery) -> Sequence[TraceSummary]:
        """Find traces, newest first. A search deep into the spans gives up after five seconds with what it has."""
        return await asyncio.to_thread(self._search, query)

    async def trace(self, trace_id: str) -> Sequence[Span]:
        """All spans of a trace ordered by start; empty when it is not (or no longer) here."""
        try:
            wanted = bytes.fromhex(trace_id.zfill(32))
        except ValueError:
            return ()
        return await asyncio.to_thread(self._trace, wanted)

    async def state(self) -> TraceStoreState:
        """How full it is."""
        return await asyncio.to_thread(self._state)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._trouble():
            writer = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
            writer.execute("PRAGMA journal_mode = WAL")
            # A crash of the machine may cost the newest spans, never the file.
            writer.execute("PRAGMA synchronous = NORMAL")
            writer.execute("PRAGMA journal_size_limit = 16777216")
            writer.executescript(SCHEMA)
            self._writer = writer

    def _close(self) -> None:
        try:
            self.flush()
        finally:
            with self._writing:
                if self._writer is not None:
                    self._writer.close()
                    self._writer = None

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as trouble:
            raise CollectorError(f"trace store {self._path}: {trouble}") from trouble

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._trouble(), closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=10)) as reader:
            yield reader

    def _write(self, writer: sqlite3.Connection, batches: Sequence[Batch]) -> None:
        rows = [row for batch in batches for row in batch.spans]
        [first] = writer.execute("SELECT coalesce(max(id), 0) + 1 FROM entry").fetchone()
        block = writer.execute(
            "INSERT INTO block (first_entry, spans, body) VALUES (?, ?, ?)", (first, len(rows), blocks.pack(batches))
        ).lastrowid
        writer.executemany(
            "INSERT INTO entry (trace, workload, start_ns, end_ns, longest_ns, spans, errors, root, name, block)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    one.trace_id,
                    self._workload(writer, one.workload),
                    min(one.start_ns, LARGEST_NS),
                    min(one.end_ns, LARGEST_NS),
                    min(one.longest_ns, LARGEST_NS),
                    one.spans,
                    one.errors,
                    one.root,
                    one.name.decode(errors="replace"),
                    block,
                )
                for one in blocks.entries(rows)
            ],
        )

    def _workload(self, writer: sqlite3.Connection, ref: WorkloadRef) -> int:
        known = self._workloads.get(ref)
        if known is None:
            writer.execute(
                "INSERT OR IGNORE INTO workload (cluster, namespace, workload, app, version) VALUES (?, ?, ?, ?, ?)",
                ref,
            )
            [known] = writer.execute(
                "SELECT id FROM workload WHERE (cluster, namespace, workload, app, version) = (?, ?, ?, ?, ?)", ref
            ).fetchone()
            self._workloads[ref] = known
        return known

    def _let_go(self, writer: sqlite3.Connection) -> None:
        """Delete the oldest blocks until there is room again."""
        excess = _used(writer) - FILLED * self.capacity_bytes
        while excess > 0:
            excess += LET_GO * self.capacity_bytes
            last, spans = None, 0
            for last, count, size in writer.execute("SELECT id, spans, length(body) FROM block ORDER BY id"):  # noqa: B007
                spans += count
                excess -= size
                if excess <= 0:
                    break
            if last is None:
                return
            [first_kept] = writer.execute(
                "SELECT coalesce(min(first_entry), (SELECT coalesce(max(id), 0) + 1 FROM entry)) FROM block WHERE id > ?",
                (last,),
            ).fetchone()
            writer.execute("DELETE FROM block WHERE id <= ?", (last,))
            writer.execute("DELETE FROM entry WHERE id < ?", (first_kept,))
            writer.execute("UPDATE dropped SET spans = spans + ?", (spans,))
            writer.execute("DELETE FROM workload WHERE id NOT IN (SELECT workload FROM entry)")
            self._workloads.clear()
            excess = _used(writer) - FILLED * self.capacity_bytes

    def _search(self, query: TraceQuery) -> list[TraceSummary]:
        deep, until = needs_spans(query), time.monotonic() + SEARCH_S
        found: dict[bytes, None] = {}
        refused: set[bytes] = set()
        with self._reading() as reader:
            opened = _Opened(reader)
            for (trace_id,) in reader.execute(*_candidates(query)):
                if trace_id in found or trace_id in refused:
                    continue
                if deep and not matches(query, self._spans(opened, trace_id)):
                    refused.add(trace_id)
                else:
                    found[trace_id] = None
                if len(found) >= query.limit or time.monotonic() > until:
                    break
            summaries = [_summary(reader, trace_id) for trace_id in found]
        return sorted(summaries, key=lambda one: -one.start_ns)

    def _trace(self, trace_id: bytes) -> list[Span]:
        with self._reading() as reader:
            return self._spans(_Opened(reader), trace_id)

    def _spans(self, opened: _Opened, trace_id: bytes) -> list[Span]:
        found: dict[str, Span] = {}
        for block in opened.with_trace(trace_id):
            for one in block.get(trace_id, ()):
                span = blocks.decode(one, cluster=self._cluster)
                # A sender that got no answer sends again.
                found[span.span_id] = span
                if len(found) >= MOST_TRACE_SPANS:
                    break
        return sorted(found.values(), key=lambda span: (span.start_ns, -span.end_ns))

    def _state(self) -> TraceStoreState:
        with self._reading() as reader:
            [traces, oldest] = reader.execute("SELECT count(DISTINCT trace), min(start_ns) FROM entry").fetchone()
            [spans] = reader.execute("SELECT coalesce(sum(spans), 0) FROM block").fetchone()
            [dropped] = reader.execute("SELECT spans FROM dropped").fetchone()
            return TraceStoreState(
                traces=traces,
                spans=spans,
                bytes=_used(reader),
                capacity_bytes=self.capacity_bytes,
                oldest_ms=(oldest or 0) // 1_000_000,
                dropped_spans=dropped,
            )


class _Opened:
    """The blocks that a search has opened last."""

    def __init__(self, reader: sqlite3.Connection, most: int = 8) -> None:
        self._reader = reader
        self._most = most
        self._blocks: dict[int, blocks.Block] = {}

    def with_trace(self, trace_id: bytes) -> Iterator[blocks.Block]:
        """Open the blocks that hold spans of a trace."""
        for (number,) in self._reader.execute(
            "SELECT DISTINCT block FROM entry WHERE trace = ?", (trace_id,)
        ).fetchall():
            if (block := self._open(number)) is not None:
                yield block

    def _open(self, number: int) -> blocks.Block | None:
        block = self._blocks.pop(number, None)
        if block is None:
            row = self._reader.execute("SELECT body FROM block WHERE id = ?", (number,)).fetchone()
            if row is None:
                return None
            block = blocks.unpack(row[0])
        self._blocks[number] = block
        if len(self._blocks) > self._most:
            del self._blocks[next(iter(self._blocks))]
        return block


def _grouped(batches: Sequence[Batch]) -> Iterator[list[Batch]]:
    group: list[Batch] = []
    size = 0
    for batch in batches:
        group.append(batch)
        size += len(batch.data)
        if size >= BLOCK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _candidates(query: TraceQuery) -> tuple[str, list[str | float]]:
    """Write the SQL for entries that may belong to a trace searched for, newest first."""
    conditions: list[tuple[str, str | float]] = []
    restrict = partial(conditions.append)
    who = {"namespace": query.namespace, "app": query.app, "version": query.version}
    named = {column: value for column, value in who.items() if value}
    if query.since_ms:
        restrict(("start_ns >= ?", query.since_ms * 1_000_000))
    if query.until_ms:
        restrict(("start_ns <= ?", min(query.until_ms * 1_000_000, LARGEST_NS)))
    if query.min_duration_ms:
        restrict(("longest_ns >= ?", query.min_duration_ms * 1e6))
    if query.errors_only:
        restrict(("errors > ?", 0))
    clauses = [clause for clause, _ in conditions]
    values = [value for _, value in conditions]
    if named:
        matching = " AND ".join(f"{column} = ?" for column in named)
        clauses.append(f"workload IN (SELECT id FROM workload WHERE {matching})")  # noqa: S608
        values += named.values()
    where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    return f"SELECT trace FROM entry {where} ORDER BY start_ns DESC", values  # noqa: S608


def _summary(reader: sqlite3.Connection, trace_id: bytes) -> TraceSummary:
    rows = reader.execute(
        "SELECT start_ns, end_ns, entry.spans, errors, root, name, app FROM entry"
        " JOIN workload ON workload.id = entry.workload WHERE trace = ? ORDER BY root DESC, start_ns",
        (trace_id,),
    ).fetchall()
    start_ns = min(row[0] for row in rows)
    return TraceSummary(
        trace_id=trace_id.hex(),
        root_name=rows[0][5],
        root_app=rows[0][6],
        start_ns=start_ns,
        duration_ns=max(row[1] for row in rows) - start_ns,
        spans=sum(row[2] for row in rows),
        errors=sum(row[3] for row in rows),
        apps=tuple(dict.fromkeys(row[6] for row in sorted(rows))),
    )


def _used(connection: sqlite3.Connection) -> int:
    [size], [pages], [free] = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "page_count", "freelist_count")
    )
    return int(size * (pages - free))
