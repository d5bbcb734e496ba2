"""The graph's history on disk: frames, finer for the recent past, coarser for the old."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from collectors.errors import CollectorError
from graph.frames import Frame, FrameError, decode
from graph.health import DEFAULT, Tolerance
from graph.history import Stamp, is_watched, legs, reaching_s, rebuild
from graph.model import GraphType, Snapshot
from graph.ports import Kept, SnapshotStore
from graph.retention import surplus

THIN_EVERY_MS = 60_000

MEBIBYTE = 1024 * 1024

KEYS = 4
"""Complete frames that are kept unpacked."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS moment (
    at_ms INTEGER PRIMARY KEY, run INTEGER NOT NULL, key_ms INTEGER NOT NULL, body BLOB NOT NULL
)
"""


class SqliteSnapshots:
    """Implements :class:`graph.ports.SnapshotStore` in one SQLite file. Use it as an async context manager.

    A frame is there whole or not at all, whatever ends the process.
    """

    def __init__(self, path: Path | str, retention_s: float = 3600, capacity: int = 512 * MEBIBYTE) -> None:
        self._path = Path(path)
        self._retention_ms = int(retention_s * 1000)
        self._capacity = capacity
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._index: list[Kept] = []
        self._thinned_ms = 0

    async def __aenter__(self) -> Self:
        """Open the file, or make it; raises :class:`CollectorError` when it cannot be used."""
        await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await asyncio.to_thread(self._close)

    async def append(self, kept: Kept, body: bytes) -> None:
        """Keep a frame, a later one of the same instant instead of the earlier; let go those that are too many.

        Nothing of its run stays that is later: the clock by which it was kept has been set back since. What other runs
        kept does stay, or one start by a wrong clock would cost the whole history.
        """

        def write(connection: sqlite3.Connection) -> None:
            stays = [one for one in self._index if one.at_ms < kept.at_ms or one.run != kept.run]
            remaining = sorted([*(one for one in stays if one.at_ms != kept.at_ms), kept])
            gone = self._surplus(remaining, kept.at_ms)
            with connection:
                connection.execute("DELETE FROM moment WHERE at_ms > ? AND run = ?", (kept.at_ms, kept.run))
                connection.execute(
                    "INSERT OR REPLACE INTO moment (at_ms, run, key_ms, body) VALUES (?, ?, ?, ?)",
                    (kept.at_ms, kept.run, kept.key_ms, body),
                )
                connection.executemany("DELETE FROM moment WHERE at_ms = ?", [(at_ms,) for at_ms in gone])
            self._index = [frame for frame in remaining if frame.at_ms not in gone]

        await self._run(write)

    async def index(self) -> Sequence[Kept]:
        """Say what there is, oldest first."""
        return tuple(self._index)

    async def bodies(self, instants: Collection[int]) -> Mapping[int, bytes]:
        """Read frames by their instants; those let go meanwhile are missing."""
        question = f"SELECT at_ms, body FROM moment WHERE at_ms IN ({', '.join('?' * len(instants))})"  # noqa: S608
        rows = await self._run(lambda open_: open_.execute(question, tuple(instants)).fetchall())
        return dict(rows)

    def _surplus(self, kept: Sequence[Kept], at_ms: int) -> set[int]:
        if 0 <= at_ms - self._thinned_ms < THIN_EVERY_MS:
            return set()
        self._thinned_ms = at_ms
        return surplus(kept, at_ms, self._retention_ms, self._capacity)

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
            self._connection.execute(SCHEMA)
            question = "SELECT at_ms, run, key_ms, length(body) FROM moment ORDER BY at_ms"
            self._index = [Kept(*row) for row in self._connection.execute(question)]
        except sqlite3.Error as trouble:
            raise CollectorError(f"snapshot store {self._path}: {trouble}") from trouble

    def _close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


class FrameHistory:
    """Implements :class:`graph.ports.GraphHistory` on the frames of a store, and on the newest one, not yet in it."""

    def __init__(
        self,
        store: SnapshotStore,
        newest: Callable[[], Frame] | None = None,
        tolerances: Sequence[Tolerance] = DEFAULT,
    ) -> None:
        self._store = store
        self._newest = newest
        self._tolerances = tolerances
        self._reading = asyncio.Lock()
        self._keys: OrderedDict[tuple[int, int], Frame] = OrderedDict()
        """Complete frames that were read lately: most questions are about neighbouring moments."""

    async def snapshot(self, kind: GraphType, window_s: int, at_ms: int) -> Snapshot | None:
        """Return the window that ends at the instant, or at the newest frame before it.

        Where the server restarted in it, it is put together from what each of its runs counted. ``None`` for a time
        in which nobody watched. Raises :class:`CollectorError` where frames cannot be read.
        """
        newest = self._newest() if self._newest else None
        kept = {Stamp(one.run, one.at_ms): one for one in await self._store.index()}
        stamps = {*kept, Stamp(newest.run, newest.at_ms)} if newest else set(kept)
        if not is_watched(stamps, window_s, at_ms):
            return None
        end = max((stamp for stamp in stamps if stamp.at_ms <= at_ms), key=lambda stamp: stamp.at_ms)
        frames = await self._frames([kept[end]]) if end in kept else [newest] if newest else []
        reach_s = max((reaching_s(frame, window_s) for frame in frames), default=window_s)
        others = {stamp for leg in legs(stamps, reach_s, at_ms) for stamp in leg} - {end}
        frames += await self._frames([kept[stamp] for stamp in others if stamp in kept])
        return await asyncio.to_thread(rebuild, frames, kind, window_s, at_ms, self._tolerances)

    async def reach(self) -> tuple[int, int] | None:
        """Return the instants of the oldest and the newest frame."""
        index = await self._store.index()
        instants = [one.at_ms for one in (*index[:1], *index[-1:])]
        if self._newest:
            instants.append(self._newest().at_ms)
        return (min(instants), max(instants)) if instants else None

    async def _frames(self, needed: Sequence[Kept]) -> list[Frame]:
        async with self._reading:
            bodies = await self._store.bodies({instant for one in needed for instant in (one.at_ms, one.key_ms)})
            there = [one for one in needed if {one.at_ms, one.key_ms} <= bodies.keys()]
            return await asyncio.to_thread(lambda: [self._decoded(one, bodies) for one in there])

    def _decoded(self, one: Kept, bodies: Mapping[int, bytes]) -> Frame:
        try:
            key = self._keys.get((one.run, one.key_ms)) or decode(bodies[one.key_ms])
            self._keys[one.run, one.key_ms] = key
            self._keys.move_to_end((one.run, one.key_ms))
            while len(self._keys) > KEYS:
                self._keys.popitem(last=False)
            return key if one.key_ms == one.at_ms else decode(bodies[one.at_ms], key)
        except FrameError as trouble:
            raise CollectorError(f"the history's frame of {one.at_ms} (Unix ms) cannot be read: {trouble}") from trouble
