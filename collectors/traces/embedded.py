"""The embedded trace store: a folder of blocks, capped in bytes and in age, and a journal of what is in none yet.

Spans come in as requests, are written to the journal, and become searchable, by one thread. A killed process loses
what it had not written: at most what came in the last second.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from collectors.errors import CollectorError
from collectors.traces.blockstore import BlockStore
from collectors.traces.waiting import Waiting
from graph.ports import Dependency, Operation, Span, TraceQuery, TraceStoreState, TraceSummary

log = logging.getLogger(__name__)

WRITE_BYTES = 8 * 1024 * 1024
"""No more than that is taken apart at once, unless it is one request: with twice as much it takes a fifth longer per
span, since the arrays no longer fit the processor's cache."""
WEEK_S = 7 * 24 * 3600


class EmbeddedTraces:
    """Implements :class:`graph.ports.TraceStore` and :class:`collectors.traces.intake.SpanSink` in a folder of its own.

    Use it as an async context manager. *keep_s* is the age at which spans are let go; 0: none.
    """

    def __init__(
        self,
        folder: Path | str,
        capacity_bytes: int,
        *,
        keep_s: float = WEEK_S,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self._waiting = Waiting(min(WRITE_BYTES, capacity_bytes // 8))
        self._store = BlockStore(Path(folder), capacity_bytes, keep_s=keep_s, now_ms=now_ms)
        self._writer = threading.Thread(target=self._write, name="traces", daemon=True)

    async def __aenter__(self) -> Self:
        """Open the folder, or make it; raises :class:`CollectorError` when it cannot be used."""
        await asyncio.to_thread(self._store.open)
        self._writer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits, and close."""
        await asyncio.to_thread(self._close)

    def append(self, raw: bytes, spans: int) -> None:
        """Take a request; see :class:`collectors.traces.intake.SpanSink`."""
        if not self._waiting.add(raw, spans):
            self._store.lose(spans, "spans come faster than they can be stored; send fewer, or sample")

    def flush(self) -> None:
        """Wait until everything appended so far can be searched; raises :class:`CollectorError` if some is lost."""
        lost = self._store.lost_spans
        self._waiting.settle()
        if self._store.lost_spans > lost:
            raise CollectorError(self._store.error)

    async def search(self, query: TraceQuery) -> Sequence[TraceSummary]:
        """Find traces, newest first. A long search gives up after five seconds with what it has."""
        return await asyncio.to_thread(lambda: self._store.search().found(query))

    async def trace(self, trace_id: str) -> Sequence[Span]:
        """All spans of a trace ordered by start; empty when it is not (or no longer) here."""
        try:
            wanted = bytes.fromhex(trace_id.zfill(32))
        except ValueError:
            return ()
        if len(wanted) != 16:
            return ()
        return await asyncio.to_thread(lambda: self._store.search().trace(wanted))

    async def state(self) -> TraceStoreState:
        """How full it is."""
        return await asyncio.to_thread(self._store.state)

    async def apps(self) -> Sequence[str]:
        """Whose spans are here."""
        return await asyncio.to_thread(lambda: sorted({app for part in self._store.parts() for app in part.apps()}))

    async def operations(self, app: str) -> Sequence[Operation]:
        """Which span names an app uses."""
        return await asyncio.to_thread(self._operations, app)

    async def dependencies(self, since_ms: int, until_ms: int) -> Sequence[Dependency]:
        """Who called whom."""
        return await asyncio.to_thread(lambda: self._store.search().dependencies(since_ms, until_ms))

    def _operations(self, app: str) -> list[Operation]:
        parts = (part for part in self._store.parts() if app in part.apps())
        found = {Operation(one.name, one.kind) for part in parts for one in part.operations() if one.app == app}
        return sorted(found)

    def _write(self) -> None:
        while (requests := self._waiting.take()) is not None:
            raws, spans = requests
            try:
                self._store.add(raws, spans)
            except (OSError, CollectorError) as trouble:
                self._store.lose(spans, f"spans are not stored: {trouble}")
            except Exception:
                log.exception("spans not stored")
                self._store.lose(spans, "spans are not stored; the server's log has the details")
            finally:
                self._waiting.done()

    def _close(self) -> None:
        self._waiting.close()
        self._writer.join()
        self._store.close()
