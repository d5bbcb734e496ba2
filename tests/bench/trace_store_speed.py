"""The embedded trace store at a million spans, beside a plain one: SQLite with a row per span, in the same run."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.traces.embedded import EmbeddedTraces
from graph.ports import TraceQuery
from tests.bench.payload import batches
from tests.bench.timing import Ratio, cpu_seconds, ratio

SPANS, BASE = 512, 128
MANY, FEW = 1_000_000 // SPANS, 200_000 // SPANS
PAYLOADS = {"wide": 1000, "mix": 20}
"""Services that the spans of each batch are of."""
DAY_NS = 86_400 * 10**9
SEARCHES = {
    "service and duration": TraceQuery(app="service-7", min_duration_ms=150),
    "service and tag": TraceQuery(app="service-7", tag="http.response.status_code=404"),
    "service, duration and tag of one span": TraceQuery(
        app="service-7", min_duration_ms=199, tag="http.response.status_code=500"
    ),
    "a tag that is nowhere": TraceQuery(tag="order.id=4711"),
    "a frequent tag whose span is never that long": TraceQuery(
        tag="http.response.status_code=500", min_duration_ms=201
    ),
    "two tags that many spans have, and none has both": TraceQuery(
        tags=("http.response.status_code=404", "rpc.system=grpc")
    ),
    "callers and callees": TraceQuery(app="service-7", peer_app="service-8"),
    "the newest": TraceQuery(),
}


def report() -> Iterator[str]:
    for name, services in PAYLOADS.items():
        base = batches(count=BASE, spans=SPANS, services=services)
        yield _insert(base).line(f"trace store, insert, {name}", "spans/s/core", "SQLite with a row per span")
    base = batches(count=BASE, spans=SPANS, services=PAYLOADS["wide"])
    with tempfile.TemporaryDirectory() as folder:
        yield from asyncio.run(_at_a_million(list(spread(base, MANY)), Path(folder)))


def spread(base: list[bytes], count: int) -> Iterator[bytes]:
    """Make many batches of a few: other ids, one after the other over a day."""
    marked = [(bytearray(data), *_marks(data)) for data in base]
    rng = np.random.default_rng(1)
    for number, (data, ids, times) in zip(range(count), itertools.cycle(marked), strict=False):
        if number % len(base) == 0:
            salt = rng.integers(1, 2**63, dtype=np.uint64).tobytes()
            salt = np.frombuffer(salt, np.uint8)
        fresh = np.frombuffer(bytes(data), np.uint8).copy()
        fresh[ids] ^= salt
        start = np.ascontiguousarray(fresh[times]).view("<u8") + np.uint64(number * DAY_NS // count)
        fresh[times] = start.view(np.uint8).reshape(times.shape)
        yield fresh.tobytes()


def _marks(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where the first eight bytes of ids are, and where start and end are."""
    ids, times, at = [], [], 0
    for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
        for span in resource.scope_spans[0].spans:
            at = data.index(span.trace_id, at)
            ids.append(at)
            ids += [data.index(one, at) for one in (span.span_id, span.parent_span_id) if one]
            instants = (span.start_time_unix_nano, span.end_time_unix_nano)
            times += [data.index(instant.to_bytes(8, "little"), at) for instant in instants]
    return np.array(ids)[:, None] + np.arange(8), np.array(times)[:, None] + np.arange(8)


def _insert(base: list[bytes]) -> Ratio:
    ours, theirs = [], []
    for _ in range(3):
        payload = list(spread(base, FEW))
        with tempfile.TemporaryDirectory() as folder:
            ours.append(FEW * SPANS / cpu_seconds(lambda: asyncio.run(_fill(payload, Path(folder)))))  # noqa: B023
        with tempfile.TemporaryDirectory() as folder:
            theirs.append(FEW * SPANS / cpu_seconds(lambda: _plain_fill(payload, Path(folder) / "plain.db")))  # noqa: B023
    return ratio(ours, theirs)


async def _fill(payload: list[bytes], folder: Path) -> None:
    async with EmbeddedTraces(folder, 2**31, keep_s=0) as store:
        for data in payload:
            store.append(data, SPANS)
        store.flush()


def _plain_fill(payload: list[bytes], path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "CREATE TABLE span (trace BLOB, id BLOB, app TEXT, name TEXT, start INT, took INT, failed INT, body BLOB);"
            "CREATE INDEX by_app ON span (app, start); CREATE INDEX by_trace ON span (trace);"
        )
        for data in payload:
            database.execute("BEGIN")
            database.executemany("INSERT INTO span VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _plain_rows(data))
            database.execute("COMMIT")


def _plain_rows(data: bytes) -> Iterator[tuple]:
    for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
        app = next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
        for span in resource.scope_spans[0].spans:
            start, took = span.start_time_unix_nano, span.end_time_unix_nano - span.start_time_unix_nano
            body = span.SerializeToString()
            yield span.trace_id, span.span_id, app, span.name, start, took, span.status.code, body


async def _at_a_million(payload: list[bytes], folder: Path) -> Iterator[str]:
    lines = []
    count = len(payload) * SPANS
    async with EmbeddedTraces(folder / "ours", 2**31, keep_s=0) as store:
        for start in range(0, len(payload), 100):
            for data in payload[start : start + 100]:
                store.append(data, SPANS)
            store.flush()
        await asyncio.to_thread(_plain_fill, payload, folder / "plain.db")
        ours, theirs = _disk(folder / "ours") / count, (folder / "plain.db").stat().st_size / count
        lines.append(
            f"trace store, room, wide: {ours:.0f} B/span, SQLite with a row per span: {theirs:.0f} B/span,"
            f" ratio {ours / theirs:.2f}"
        )
        for name, query in SEARCHES.items():
            found, took_ms = await _timed(store, query)
            lines.append(f"trace store, search of {count:,} spans, {name}: {took_ms:.0f} ms of CPU, {found} found")
        lines.append(await _beside_plain(store, folder / "plain.db"))
    return lines


async def _timed(store: EmbeddedTraces, query: TraceQuery) -> tuple[int, float]:
    took, found = [], []
    for _ in range(5):
        started = time.process_time()
        found = await store.search(query)
        took.append((time.process_time() - started) * 1000)
    return len(found), statistics.median(took)


async def _beside_plain(store: EmbeddedTraces, path: Path) -> str:
    key = b"order.id"
    with closing(sqlite3.connect(path)) as database:
        plain = "SELECT DISTINCT trace FROM span WHERE instr(body, ?) ORDER BY start DESC LIMIT 50"
        theirs = [cpu_seconds(lambda: database.execute(plain, (key,)).fetchall()) * 1000 for _ in range(3)]
    ours = [(await _timed(store, TraceQuery(tag="order.id=4711")))[1] for _ in range(3)]
    return ratio(ours, theirs).line("trace store, search for a tag that is nowhere", "ms", "SQLite with a row per span")


def _disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


if __name__ == "__main__":
    for line in report():
        print(line, flush=True)
