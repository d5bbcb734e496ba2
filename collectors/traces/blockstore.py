"""A folder of blocks of spans, and the head: what is in no block yet, kept in memory and in a journal.

When the head is large or old enough it becomes a block, and the journal starts anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import orjson

from collectors.errors import CollectorError
from collectors.inventory import DEFAULT_CLUSTER
from collectors.traces import blockfile
from collectors.traces.blockfile import Block, DamagedError, Recent
from collectors.traces.columns import Chunk, Tables, chunk_of
from collectors.traces.journal import Journal, recovered
from collectors.traces.parts import HeadPart, Part
from collectors.traces.searching import Search
from collectors.traces.walk import Buffer
from graph.ports import TraceStoreState

log = logging.getLogger(__name__)

HEAD_SPANS = 65_536
HEAD_SHARE = 16
"""The head becomes a block when its journal has this part of the capacity."""
HEAD_JOURNAL_BYTES = 8 * 1024 * 1024
HEAD_RAW_BYTES = 64 * 1024 * 1024
"""Or when its requests are that large: what compresses well takes room in memory."""
HEAD_S = 3600.0
"""How long a span waits for its block at most, and a twentieth of the age at which it is let go."""
RECENT_BYTES = 64 * 1024 * 1024
"""Of columns that searches have read last."""


class _Head:
    """What is in no block yet."""

    def __init__(self, folder: Path, number: int, arrived_ms: int) -> None:
        self.number = number
        self.journal = Journal(folder / f"{number:012d}.journal")
        self.began_ms = arrived_ms
        self.spans = 0
        self.raw_bytes = 0
        self._tables = Tables()
        self._chunks: tuple[Chunk, ...] = ()
        self._part: HeadPart | None = None

    def add(self, requests: Buffer) -> None:
        """Take in what the journal has."""
        chunk = chunk_of(requests, self._tables)
        self.raw_bytes += len(requests.content)
        if chunk.spans:
            self._chunks = (*self._chunks, chunk)
            self.spans += chunk.spans
            self._part = None

    def part(self) -> HeadPart | None:
        """Give it as a search sees it; ``None`` while it is empty."""
        chunks, part = self._chunks, self._part
        if part is None and chunks:
            self._part = part = HeadPart(chunks, self._tables, DEFAULT_CLUSTER)
        return part


class BlockStore:
    """One thread adds; any may read. Spans older than *keep_s* are let go; 0: none."""

    def __init__(self, folder: Path, capacity_bytes: int, *, keep_s: float, now_ms: Callable[[], int]) -> None:
        self._folder = folder
        self._capacity_bytes = capacity_bytes
        self._keep_s = keep_s
        self._now_ms = now_ms
        self._lock = threading.Lock()
        """Guards head and blocks, which change together, and the counts."""
        self._blocks: tuple[Block, ...] = ()
        """The oldest first."""
        self._head: _Head | None = None
        self._recent = Recent(RECENT_BYTES)
        self._damaged: dict[Path, str] = {}
        self._dropped_spans = 0
        self.lost_spans = 0
        self.error = ""

    def open(self) -> None:
        """Read what is there; raises :class:`CollectorError` where the folder cannot be used."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._read_counts()
            self._open_blocks()
            self._recover()
        except OSError as trouble:
            raise CollectorError(f"trace store {self._folder}: {trouble}") from trouble

    def close(self) -> None:
        """Close the journal: what is in no block yet is read from it again."""
        if self._head is not None:
            self._head.journal.close()

    def add(self, requests: Sequence[bytes], spans: int) -> None:
        """Write requests, and make them searchable."""
        head = self._head
        assert head is not None, "the trace store is not open"
        buffer = Buffer(requests)
        record = head.journal.record(buffer.content, spans)
        if len(record) > self._capacity_bytes // 2:
            raise CollectorError(f"a batch of {len(record)} bytes is more than half of what the trace store may keep")
        self._make_room(len(record))
        head.journal.write(record)
        head.add(buffer)
        self.error = ""
        self._seal_if_due(head)
        self._let_go_of_old()

    def lose(self, spans: int, why: str) -> None:
        """Count spans that are not stored, and tell why until others are."""
        with self._lock:
            self.lost_spans += spans
            if not self.error:
                log.error("%s", why)
            self.error = why

    def parts(self) -> Sequence[Part]:
        """Everything that can be read, the newest first."""
        with self._lock:
            head, blocks = self._head, self._blocks
        part = head.part() if head else None
        readable = sorted(
            (block for block in blocks if block.path not in self._damaged), key=lambda block: -block.summary.to_ns
        )
        return [*((part,) if part else ()), *(block.opened() for block in readable)]

    def search(self) -> Search:
        """Search in all that is there now; a block that turns out to be damaged is left out."""
        return Search(self.parts(), self._note_damage)

    def state(self) -> TraceStoreState:
        """How full it is."""
        with self._lock:
            head, blocks = self._head, self._blocks
        part = head.part() if head else None
        parts: list[Part] = [*blocks, *((part,) if part else ())]
        traces = sum(block.new_traces for block in blocks)
        if part:
            traces += _new_traces(part, blocks[-1] if blocks else None)
        return TraceStoreState(
            traces=traces,
            spans=sum(one.summary.spans for one in parts),
            bytes=self._bytes(),
            capacity_bytes=self._capacity_bytes,
            oldest_ms=min((one.summary.from_ns for one in parts), default=0) // 1_000_000,
            dropped_spans=self._dropped_spans,
            lost_spans=self.lost_spans,
            error=self.error or next(iter(self._damaged.values()), ""),
        )

    def _bytes(self) -> int:
        return sum(block.bytes for block in self._blocks) + (self._head.journal.bytes if self._head else 0)

    def _open_blocks(self) -> None:
        for draft in self._folder.glob("*.draft"):
            draft.unlink()
        for path in sorted(self._folder.glob("*.block")):
            try:
                self._blocks = (*self._blocks, Block(path, DEFAULT_CLUSTER, self._recent))
            except DamagedError as trouble:
                aside = path.with_suffix(".damaged")
                log.exception("a block of traces cannot be read and is put aside as %s", aside.name)
                self._damaged[path] = f"{trouble}; it was put aside as {aside.name}, delete it when you do not need it"
                path.replace(aside)

    def _recover(self) -> None:
        """Read the journal that the last process left; what is in a block already is only removed."""
        sealed = int(self._blocks[-1].path.stem) if self._blocks else 0
        left = []
        for path in sorted(self._folder.glob("*.journal")):
            if int(path.stem) <= sealed:
                path.unlink()
            else:
                left.append(path)
        for path in left or [self._folder / f"{sealed + 1:012d}.journal"]:
            records = [requests for requests, _ in recovered(path)] if path.exists() else []
            self._head = _Head(self._folder, int(path.stem), self._now_ms())
            self._head.add(Buffer(records))
            self._seal_if_due(self._head, more=path != left[-1] if left else False)

    def _seal_if_due(self, head: _Head, *, more: bool = False) -> None:
        most = min(HEAD_JOURNAL_BYTES, self._capacity_bytes // HEAD_SHARE)
        longest_s = min(HEAD_S, self._keep_s / 20 if self._keep_s else HEAD_S)
        old = self._now_ms() - head.began_ms >= longest_s * 1000
        full = head.spans >= HEAD_SPANS or head.journal.bytes >= most or head.raw_bytes >= HEAD_RAW_BYTES
        if more or old or full:
            self._seal(head)

    def _seal(self, head: _Head) -> None:
        """Make a block of the head, and begin a new one."""
        part = head.part()
        if part is None:
            return
        last = self._blocks[-1] if self._blocks else None
        content = blockfile.encoded(part, arrived_ms=self._now_ms(), new_traces=_new_traces(part, last))
        self._make_room(len(content))
        path = self._folder / f"{head.number:012d}.block"
        blockfile.write(path, content)
        fresh = _Head(self._folder, head.number + 1, self._now_ms())
        with self._lock:
            self._blocks = (*self._blocks, Block(path, DEFAULT_CLUSTER, self._recent))
            self._head = fresh
        head.journal.close()
        head.journal.path.unlink()

    def _make_room(self, size: int) -> None:
        while self._blocks and self._bytes() + size > self._capacity_bytes:
            self._drop_oldest()

    def _let_go_of_old(self) -> None:
        oldest_ms = self._now_ms() - self._keep_s * 1000
        while self._keep_s and self._blocks and self._blocks[0].arrived_ms < oldest_ms:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        with self._lock:
            oldest, *rest = self._blocks
            self._blocks = tuple(rest)
            self._dropped_spans += oldest.summary.spans
        oldest.path.unlink(missing_ok=True)
        self._write_counts()

    def _note_damage(self, part: Part, trouble: DamagedError) -> None:
        """Leave a block out of every further search."""
        if isinstance(part, Block) and part.path not in self._damaged:
            log.error("%s", trouble)
            self._damaged[part.path] = f"{trouble}; its {part.summary.spans} spans are left out"

    def _read_counts(self) -> None:
        try:
            self._dropped_spans = int(orjson.loads((self._folder / "counts.json").read_bytes())["dropped_spans"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            self._dropped_spans = 0

    def _write_counts(self) -> None:
        draft = self._folder / "counts.draft"
        draft.write_bytes(orjson.dumps({"dropped_spans": self._dropped_spans}))
        draft.replace(self._folder / "counts.json")


def _new_traces(part: Part, last: Block | None) -> int:
    """Count a part's traces that the block before it has none of."""
    if last is None:
        return part.summary.traces
    try:
        known = last.trace_ids()
    except DamagedError:
        return part.summary.traces
    ids = part.trace_ids()
    both = np.intersect1d(ids[:, 1] ^ ids[:, 0], known[:, 1] ^ known[:, 0])
    return part.summary.traces - len(both)
