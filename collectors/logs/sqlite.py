"""The embedded log store: lines wait in memory for the file they are written to, and readers follow them meanwhile."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self

from collectors.errors import CollectorError
from collectors.logs.database import LogDatabase, Position
from collectors.logs.feed import Feed
from collectors.logs.matching import matcher
from graph.model import WorkloadRef
from graph.ports import Clock, LogLine, LogNews, LogPage, LogQuery, LogSource, LogStoreState

log = logging.getLogger(__name__)

WAITING_BYTES = 32 * 1024 * 1024
"""Lines that wait to be written; what exceeds them is not taken."""
LINE_BYTES = 400
"""About what a line takes in memory beside its text."""
FLUSH_S = 2.0


class SqliteLogs:
    """Implements :class:`graph.ports.LogStore` in a folder of its own. Use it as an async context manager.

    ``append`` may be called from any thread and never waits for the disk. Run it as a service, which writes.
    """

    name = "log store"

    def __init__(
        self,
        folder: Path | str,
        clock: Clock,
        *,
        capacity_bytes: int,
        workload_bytes: int = 0,
        retention_s: float = 7 * 86_400,
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.retention_s = retention_s
        self.lost = 0
        """Lines that were not stored: more came than could be written, or the disk failed."""
        self.error = ""
        self._clock = clock
        self._database = LogDatabase(
            Path(folder) / "logs.db",
            clock,
            capacity_bytes=capacity_bytes,
            stream_bytes=workload_bytes or capacity_bytes,
            retention_s=retention_s,
        )
        self._feed: Feed[LogLine] = Feed()
        self._waiting: list[LogLine] = []
        self._positions: dict[str, Position] = {}
        self._waiting_bytes = 0
        self._taking = threading.Lock()
        self._writing = threading.Lock()

    async def __aenter__(self) -> Self:
        """Open the file, or make it; raises :class:`CollectorError` when it cannot be used."""
        await asyncio.to_thread(self._database.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits, and close."""
        await asyncio.to_thread(self._close)

    async def run(self, ready: Callable[[], None]) -> None:
        """Write every two seconds what has come, until cancelled."""
        ready()
        try:
            async for _ in self._clock.every(FLUSH_S):
                await asyncio.to_thread(self.flush)
        finally:
            await asyncio.to_thread(self.flush)

    @property
    def readers(self) -> int:
        """How many follow."""
        return self._feed.readers

    def append(self, lines: Iterable[LogLine], positions: Mapping[str, Position] | None = None) -> bool:
        """Take lines, and how far the files they are from have thereby been read.

        False, and nothing is taken, when too much waits already.
        """
        taken = list(lines)
        size = sum(len(one.text) + LINE_BYTES for one in taken)
        with self._taking:
            if self._waiting and self._waiting_bytes + size > WAITING_BYTES:
                return False
            self._waiting += taken
            self._waiting_bytes += size
            self._positions.update(positions or {})
        self._feed.publish(taken)
        return True

    def lose(self, count: int) -> None:
        """Count lines that somebody had to give up."""
        with self._taking:
            self.lost += count

    def positions(self) -> Mapping[str, Position]:
        """Return how far each file has been read, as far as it is on disk."""
        return self._database.positions()

    def flush(self) -> None:
        """Write everything taken so far; a failure costs these lines, is counted and told by ``state``."""
        with self._writing:
            with self._taking:
                lines, self._waiting = self._waiting, []
                positions, self._positions = self._positions, {}
                self._waiting_bytes = 0
            try:
                self._database.write(lines, positions)
            except CollectorError as trouble:
                if not self.error:
                    log.exception("logs not stored")
                self.error = str(trouble)
                self.lose(len(lines))
            else:
                self.error = ""

    async def search(self, query: LogQuery) -> LogPage:
        """Find the newest lines that match. A search through very much gives up after five seconds, and says so."""
        test = matcher(query)
        await asyncio.to_thread(self.flush)
        return await asyncio.to_thread(self._database.search, query, test)

    async def follow(self, query: LogQuery) -> AsyncGenerator[LogNews, None]:
        """Yield matching lines as they come, from now on; times and limit of the query do not count."""
        async with aclosing(self._feed.read(matcher(query))) as batches:
            async for batch in batches:
                yield LogNews(lines=batch.items, missed=batch.missed)

    async def workloads(self) -> Mapping[WorkloadRef, Sequence[LogSource]]:
        """Who has logs, and of which kind."""
        return await asyncio.to_thread(self._database.workloads)

    async def state(self) -> LogStoreState:
        """How full it is."""
        usage = await asyncio.to_thread(self._database.usage)
        return LogStoreState(
            lines=usage.lines,
            bytes=usage.bytes,
            capacity_bytes=self.capacity_bytes,
            oldest_ms=usage.oldest_ms,
            workloads=usage.streams,
            dropped_lines=usage.dropped_lines,
            lost_lines=self.lost,
            error=self.error,
        )

    def _close(self) -> None:
        self.flush()
        with self._writing:
            self._database.close()
