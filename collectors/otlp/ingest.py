"""The one way in for spans: decoded where they arrive, counted and stored by one worker behind a bounded queue."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from collectors.errors import CollectorError
from collectors.inventory import DEFAULT_CLUSTER
from collectors.otlp.decode import Batch, Decoder
from collectors.otlp.edges import edge_of
from collectors.otlp.limits import BusyError, Drop, Drops, Limits, MalformedError, TooLargeError
from collectors.otlp.pairing import Call, Pairing
from collectors.otlp.tallies import Tallies
from collectors.peers import Peers
from collectors.poll import Live
from collectors.traces.intake import SpanSink
from graph.model import Inventory, Observation
from graph.ports import Clock

log = logging.getLogger(__name__)

DEFAULT_LIMITS = Limits()
EMIT_S = 1.0
IDLE_S = 0.1
ORIGIN = "OTLP spans"
SPAN_BYTES = 600
"""About what a decoded span takes in memory while it waits."""
SETTLE_S = 30.0
STORED_AT_ONCE = 4096
NOBODY = Peers(Inventory())
"""No inventory: every address is a stranger's."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a request."""

    spans: int
    rejected: int = 0
    reason: str = ""
    """Why some were rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestState:
    """How the receiver does, for the page that shows signals."""

    requests: int
    spans: int
    last_ms: int
    """When the last spans came; 0: never."""
    queued_bytes: int
    pending_spans: int
    edges: int
    store_error: str


class Ingest:
    """Turns OTLP requests into trace observations, once a second, and hands whole spans to a store.

    ``ingest`` may be called from any thread and never waits for the graph or the disk. Run it as a service.
    """

    name = "spans"

    def __init__(
        self,
        live: Live,
        clock: Clock,
        *,
        peers: Callable[[], Peers] = lambda: NOBODY,
        traces: SpanSink | None = None,
        limits: Limits = DEFAULT_LIMITS,
        cluster: str = DEFAULT_CLUSTER,
    ) -> None:
        self.limits = limits
        self._live = live
        self._clock = clock
        self._peers = peers
        self._traces = traces
        self._drops = Drops()
        self._decoder = Decoder(limits, cluster=cluster)
        self._pairing = Pairing(most=limits.pending_spans, wait_s=limits.pending_s)
        self._tallies = Tallies(epoch=clock.now_ms(), instance="otlp", origin=ORIGIN, most=limits.edges)
        self._queue: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        self._lock = threading.Lock()
        """Guards the counts below."""
        self._counting = threading.Lock()
        """Guards pairing, tallies and the store."""
        self._idle = threading.Condition(self._lock)
        self._queued = 0
        self._queued_bytes = 0
        self._requests = 0
        self._spans = 0
        self._last_ms = 0
        self._store_error = ""
        self._unstored = 0

    @property
    def drops(self) -> Mapping[str, int]:
        """Spans, or whole requests, that did not become evidence, by reason."""
        return self._drops.by_reason()

    @property
    def state(self) -> IngestState:
        """How it does now."""
        with self._lock:
            return IngestState(
                requests=self._requests,
                spans=self._spans,
                last_ms=self._last_ms,
                queued_bytes=self._queued_bytes,
                pending_spans=self._pairing.pending,
                edges=len(self._tallies),
                store_error=self._store_error,
            )

    def refuse(self, reason: Drop) -> None:
        """Count a request that a receiver refused before it came here."""
        self._drops.add(reason)

    def ingest(self, data: bytes) -> Accepted:
        """Take one ``ExportTraceServiceRequest``; raises a :class:`RefusedError` and counts it.

        When it returns the spans are taken: they will be counted and stored, or their loss is visible in ``drops``.
        """
        try:
            batch = self._decoder.decode(data)
        except MalformedError:
            self._drops.add(Drop.MALFORMED)
            raise
        except TooLargeError:
            self._drops.add(Drop.TOO_LARGE)
            raise
        with self._lock:
            full = self._queued and self._queued_bytes + _weight(batch) > self.limits.queued_bytes
            if not full:
                self._queued += 1
                self._queued_bytes += _weight(batch)
                self._requests += 1
                self._spans += len(batch.spans)
                self._last_ms = self._clock.now_ms()
        if full:
            self._drops.add(Drop.QUEUE_FULL, len(batch.spans))
            raise BusyError("the receiver is behind; send again in a second")
        self._drops.add(Drop.INVALID_ID, batch.rejected)
        self._queue.put(batch)
        reason = "spans without a valid trace id and span id" if batch.rejected else ""
        return Accepted(len(batch.spans), batch.rejected, reason)

    async def run(self, ready: Callable[[], None]) -> None:
        """Count and store until cancelled; then finish what is queued."""
        worker = ThreadPoolExecutor(1, thread_name_prefix="spans")
        stop = threading.Event()
        working = worker.submit(self._work, stop)
        try:
            ready()
            async for _ in self._clock.every(EMIT_S):
                await self._emit()
                if working.done():
                    working.result()
        finally:
            stop.set()
            await asyncio.to_thread(worker.shutdown)
            await self._emit()

    async def flush(self) -> None:
        """Wait until everything taken so far is counted, in the graph and in the store. The worker must run."""
        await asyncio.to_thread(self._settle)
        await self._emit()

    async def _emit(self) -> None:
        self._live.observe(await asyncio.to_thread(self._collect))

    def _settle(self) -> None:
        with self._idle:
            if not self._idle.wait_for(lambda: not self._queued, SETTLE_S):
                raise CollectorError(f"{self._queued} requests are still uncounted after {SETTLE_S:.0f} s")

    def _collect(self) -> Sequence[Observation]:
        now_ms = self._clock.now_ms()
        with self._counting:
            self._count(self._pairing.expire(now_ms // 1000), now_ms)
            self._store()
            return self._tallies.observations(now_ms)

    def _work(self, stop: threading.Event) -> None:
        while True:
            try:
                batch = self._queue.get(timeout=IDLE_S)
            except queue.Empty:
                if stop.is_set():
                    return
                continue
            try:
                self._take(batch)
            finally:
                with self._idle:
                    self._queued -= 1
                    self._queued_bytes -= _weight(batch)
                    self._idle.notify_all()

    def _take(self, batch: Batch) -> None:
        now_ms = self._clock.now_ms()
        with self._counting:
            refused = self._pairing.refused
            self._count(self._pairing.pair(batch.spans, now_ms // 1000), now_ms)
            self._drops.add(Drop.PENDING_FULL, self._pairing.refused - refused)
            if self._traces is not None and batch.spans:
                self._traces.append(batch.data, len(batch.spans))
                self._unstored += len(batch.spans)
                if self._unstored >= STORED_AT_ONCE:
                    self._store()

    def _count(self, calls: Iterable[Call], now_ms: int) -> None:
        peers, longest = self._peers(), self.limits.name_chars
        refused = self._tallies.refused
        for call in calls:
            counted = edge_of(call, peers, longest=longest)
            if counted is not None:
                self._tallies.count(counted, now_ms)
            elif call.caller is not None:
                self._drops.add(Drop.UNPAIRED_CLIENT)
            elif call.callee is not None and call.callee.parent_id:
                self._drops.add(Drop.UNPAIRED_SERVER)
        self._drops.add(Drop.EDGES_FULL, self._tallies.refused - refused)

    def _store(self) -> None:
        if self._traces is None or not self._unstored:
            return
        try:
            self._traces.flush()
        except CollectorError as trouble:
            if not self._store_error:
                log.exception("spans not stored")
            self._store_error = str(trouble)
            self._drops.add(Drop.STORE_FAILED, self._unstored)
        else:
            self._store_error = ""
        self._unstored = 0


def _weight(batch: Batch) -> int:
    return len(batch.data) + SPAN_BYTES * len(batch.spans)
