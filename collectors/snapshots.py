"""The graph's history on disk: frames, as they come, for as long as they are kept."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from collectors.errors import CollectorError


class SqliteSnapshots:
    """Implements :class:`graph.ports.SnapshotStore` in one SQLite file. Use it as an async context manager."""

    def __init__(self, path: Path | str, retention_s: float = 3600) -> None:
        self._path = Path(path)
        self._retention_ms = int(retention_s * 1000)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        """Open the file, or make it; raises :class:`CollectorError` when it cannot be used."""
        await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await asyncio.to_thread(self._close)

    async def append(self, at_ms: int, frame: bytes) -> None:
        """Keep a frame, a later one of the same instant instead of the earlier; let go those that are too old."""

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("INSERT OR REPLACE INTO frame (at_ms, body) VALUES (?, ?)", (at_ms, frame))
                connection.execute("DELETE FROM frame WHERE at_ms < ?", (at_ms - self._retention_ms,))

        await self._run(write)

    async def at(self, at_ms: int) -> tuple[int, bytes] | None:
        """Read the newest frame not later than the instant."""
        question = "SELECT at_ms, body FROM frame WHERE at_ms <= ? ORDER BY at_ms DESC LIMIT 1"
        found: tuple[int, bytes] | None = await self._run(lambda open_: open_.execute(question, (at_ms,)).fetchone())
        return found

    async def span(self) -> tuple[int, int] | None:
        """Read the instants of the oldest and the newest frame."""
        oldest, newest = await self._run(
            lambda open_: open_.execute("SELECT min(at_ms), max(at_ms) FROM frame").fetchone()
        )
        return None if oldest is None else (oldest, newest)

    async def _run(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return await asyncio.to_thread(self._guarded, work)

    def _guarded(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        with self._lock:
            if self._connection is None:
                raise CollectorError("the snapshot store is closed")
            try:
                return work(self._connection)
            except sqlite3.Error as trouble:
                raise CollectorError(f"snapshot store {self._path}: {trouble}") from trouble

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(self._path, check_same_thread=False, timeout=10)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("CREATE TABLE IF NOT EXISTS frame (at_ms INTEGER PRIMARY KEY, body BLOB NOT NULL)")
        except sqlite3.Error as trouble:
            raise CollectorError(f"snapshot store {self._path}: {trouble}") from trouble

    def _close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
