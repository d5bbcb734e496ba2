"""The log files that agents write, read as they grow."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from collectors.inventory import DEFAULT_CLUSTER
from collectors.logs import access, lines
from collectors.logs.database import Position
from collectors.logs.sqlite import SqliteLogs
from graph.model import WorkloadRef
from graph.ports import Clock, LogLine, LogSource

POLL_S = 0.5
CHUNK_BYTES = 256 * 1024
"""Read from one file at a time."""
ROUND_BYTES = 4 * 1024 * 1024
"""Read in one round, so that a search waits for no longer than that takes."""
ROUNDS = 16
"""In a row; then the store gets a chance to write."""
HEAD_BYTES = 256
"""So much of a file's beginning tells it from another one."""
LINE_BYTES = 64 * 1024
"""A line without end is taken as a line after so much."""
FILE = re.compile(r"(?P<namespace>[^.]+)\.(?P<workload>.+)~(?P<number>[^.~]+)\.(?P<what>command|proxy)\.log")


class Reader(Protocol):
    """Who else wants to know of new lines: the tap, of access logs."""

    def __call__(self, found: Sequence[LogLine], /) -> object:
        """Take lines that have just been read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TailState:
    """How reading the files goes."""

    files: int = 0
    behind_bytes: int = 0
    """What is in the files and has not been read yet."""


@dataclass(slots=True)
class _File:
    position: Position
    before: lines.Read | None = None


class Tail:
    """Follows ``<namespace>.<workload>~<n>.{command,proxy}.log`` in a folder. Run it as a service.

    Agents keep these files small by copying one away and cutting it to nothing; the rest of the copy is read first.
    """

    name = "log files"

    def __init__(
        self,
        folder: Path,
        store: SqliteLogs,
        clock: Clock,
        *,
        who: Callable[[str], WorkloadRef | None] = lambda _: None,
        also: Reader = lambda _: None,
    ) -> None:
        self.state = TailState()
        self._folder = folder
        self._store = store
        self._clock = clock
        self._who = who
        self._also = also
        self._files: dict[str, _File] = {}

    async def run(self, ready: Callable[[], None]) -> None:
        """Read until cancelled."""
        await asyncio.to_thread(self._recall)
        ready()
        async for _ in self._clock.every(POLL_S):
            await asyncio.to_thread(self._catch_up)

    def _catch_up(self) -> None:
        for _ in range(ROUNDS):
            if not self.once():
                return

    def once(self) -> bool:
        """Read what was added; True when there is more."""
        paths = sorted(path for path in self._folder.glob("*.log") if FILE.fullmatch(path.name))
        room, behind = ROUND_BYTES, 0
        for path in paths:
            room -= self._read(path) if room > 0 else 0
            behind += self._unread(path)
        self._files = {name: one for name, one in self._files.items() if (self._folder / name).exists()}
        self.state = TailState(files=len(paths), behind_bytes=behind)
        return room <= 0

    def _recall(self) -> None:
        self._files = {file: _File(position) for file, position in self._store.positions().items()}

    def _unread(self, path: Path) -> int:
        known = self._files.get(path.name)
        try:
            return max(0, path.stat().st_size - (known.position.offset if known else 0))
        except FileNotFoundError:
            return 0

    def _read(self, path: Path) -> int:
        """Read one chunk of a file; returns how many bytes."""
        known = self._files.get(path.name)
        try:
            size, head = path.stat().st_size, _head(path, known.position.offset if known else 0)
        except OSError:
            return 0
        if known is None:
            known = self._files[path.name] = _File(Position(0, ""))
        place = known.position
        if place.head and (size < place.offset or head != place.head):
            if self._was_moved(path, place):
                return self._chunk(path.with_name(f"{path.name}.1"), known, path.name, last=True)
            return self._begin(known)
        return self._chunk(path, known, path.name) if size > place.offset else 0

    def _was_moved(self, path: Path, place: Position) -> bool:
        older = path.with_name(f"{path.name}.1")
        try:
            return older.stat().st_size > place.offset and _head(older, place.offset) == place.head
        except OSError:
            return False

    @staticmethod
    def _begin(known: _File) -> int:
        known.position, known.before = Position(0, ""), None
        return 1  # come back at once

    def _chunk(self, path: Path, known: _File, name: str, *, last: bool = False) -> int:
        with path.open("rb") as file:
            file.seek(known.position.offset)
            data = file.read(CHUNK_BYTES)
        end = data.rfind(b"\n") + 1
        if not end:
            if len(data) < LINE_BYTES and not (last and data):
                return 0
            end = len(data)
        place = Position(known.position.offset + end, _head(path, known.position.offset + end))
        found, before = self._lines(name, data[:end], known.before)
        if not self._store.append(found, {name: place}):
            return 0  # too much waits to be written: it stays in the file until then
        known.position, known.before = place, before
        self._also([one for one in found if one.source is LogSource.ACCESS])
        return end

    def _lines(self, name: str, data: bytes, before: lines.Read | None) -> tuple[list[LogLine], lines.Read | None]:
        match = FILE.fullmatch(name)
        assert match is not None
        instance = f"{match['workload']}~{match['number']}"
        workload = self._who(f"{match['namespace']}/{instance}") or _guess(match["namespace"], match["workload"])
        plain = LogLine(at_ns=0, text="", source=LogSource.OUTPUT, workload=workload, instance=instance)
        now_ns = self._clock.now_ms() * 1_000_000
        found = []
        for raw in data.splitlines():
            text = raw[: 4 * lines.TEXT_CHARS].decode(errors="replace")[: lines.TEXT_CHARS]
            if not text.strip():
                continue
            source = LogSource.OUTPUT
            if match["what"] == "proxy":
                source = LogSource.ACCESS if access.is_access(text) else LogSource.PROXY
            before = lines.read(text, now_ns, before)
            level = access.level(access.of_line(text)) if source is LogSource.ACCESS else before.level
            found.append(
                replace(
                    plain,
                    at_ns=before.at_ns,
                    text=text,
                    source=source,
                    level=level,
                    trace_id=before.trace_id,
                    span_id=before.span_id,
                )
            )
        return found, before


def _head(path: Path, read: int) -> str:
    """Digest a file's beginning, of as much as has been read of it: what is added later does not change it."""
    if not read:
        return ""
    with path.open("rb") as file:
        return hashlib.blake2b(file.read(min(read, HEAD_BYTES)), digest_size=8).hexdigest()


def _guess(namespace: str, workload: str) -> WorkloadRef:
    """Name a workload that is not in the registry any more."""
    return WorkloadRef(DEFAULT_CLUSTER, namespace, workload, workload, "")
