"""The one way in for spans: decoded, paired and counted where they arrive, and handed to the store as they came."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from collectors.inventory import DEFAULT_CLUSTER
from collectors.otlp.decode import Decoder
from collectors.otlp.limits import Drop, Drops, Limits, counted
from collectors.otlp.pairing import Call, Pairing
from collectors.otlp.tallies import Tallies
from collectors.peers import Peers
from collectors.poll import Live
from collectors.traces.intake import SpanSink
from graph.model import Inventory, Observation
from graph.ports import Clock

DEFAULT_LIMITS = Limits()
EMIT_S = 1.0
ORIGIN = "OTLP spans"
OBSERVED_AT_ONCE = 40
"""So many readings are folded into the graph before others have their turn in its loop: a few milliseconds."""
READ_AT_ONCE = 10 * OBSERVED_AT_ONCE
"""So many readings exist beside those that the graph holds: were it all of them, memory would follow the worst second."""
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
    counted_spans: int
    """Spans that are in the graph's numbers. Every span taken is one of these, no side of a call, still waiting, or
    dropped for a reason."""
    internal_spans: int
    """Spans that are no side of a call."""
    pending_spans: int
    sampled_spans: int
    """Counted spans that stand for others that were not sent: what is counted of them is an estimate."""
    edges: int
    series: int
    """Edges by operation."""
    other_operations: int
    """Calls counted under the edge's one other operation, because there are too many names."""
    unremembered_calls: int
    """Calls that would be counted again if their spans came again."""


class Ingest:
    """Turns OTLP requests into trace observations, once a second, and hands whole spans to a store.

    ``ingest`` may be called from any thread. It never waits for the graph or the disk, only for other requests: a
    sender that is too fast is answered late, and nothing piles up here. Run it as a service.
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
        self._pairing = Pairing(most=limits.pending_spans, wait_s=limits.pending_s, remembered=limits.remembered_calls)
        self._tallies = Tallies(epoch=clock.now_ms(), instance="otlp", origin=ORIGIN, limits=limits)
        self._counting = threading.Lock()
        """Guards pairing, tallies, readings and the counts below."""
        self._decoding = threading.Lock()
        """One request after the other: only one thread runs Python, and two by turns take each other's cache away."""
        self._emitting = asyncio.Lock()
        self._unread: Iterator[Observation] = iter(())
        self._readings: list[Observation] = []
        """Not in the graph yet, as what is unread: a cancelled emission leaves both to the next."""
        self._requests = 0
        self._spans = 0
        self._last_ms = 0

    @property
    def drops(self) -> Mapping[str, int]:
        """Spans, or whole requests, that did not become evidence, by reason."""
        return self._drops.by_reason()

    @property
    def state(self) -> IngestState:
        """How it does now."""
        with self._counting:
            return IngestState(
                requests=self._requests,
                spans=self._spans,
                last_ms=self._last_ms,
                counted_spans=self._tallies.counted,
                internal_spans=self._pairing.internal,
                pending_spans=self._pairing.pending,
                sampled_spans=self._tallies.sampled,
                edges=len(self._tallies),
                series=self._tallies.series,
                other_operations=self._tallies.unnamed,
                unremembered_calls=self._pairing.unremembered,
            )

    def refuse(self, reason: Drop) -> None:
        """Count a request that a receiver refused before it came here."""
        self._drops.add(reason)

    def ingest(self, data: bytes) -> Accepted:
        """Take one ``ExportTraceServiceRequest``; raises a :class:`RefusedError` and counts it.

        When it returns the spans are taken: they are counted or wait for their other side, and the
        store has them, or their loss is visible in ``drops`` or in the store's state.
        """
        with self._decoding:
            return self._ingest(data)

    def _ingest(self, data: bytes) -> Accepted:
        with counted(self._drops.add):
            batch = self._decoder.decode(data)
        with self._counting:
            now_ms = self._clock.now_ms()
            self._count(self._pairing.pair(batch.spans, self._clock.steady_ms() // 1000))
            self._requests += 1
            self._spans += len(batch.spans)
            self._last_ms = now_ms
        if self._traces is not None and batch.spans:
            self._traces.append(data, len(batch.spans))
        self._drops.add(Drop.INVALID_ID, batch.rejected)
        reason = "spans without a valid trace id and span id" if batch.rejected else ""
        return Accepted(len(batch.spans), batch.rejected, reason)

    async def run(self, ready: Callable[[], None]) -> None:
        """Hand what is counted to the graph until cancelled, and once more then."""
        ready()
        try:
            async for _ in self._clock.every(EMIT_S):
                await self._emit()
        finally:
            await self._emit()

    async def flush(self) -> None:
        """Wait until everything taken so far is in the graph and in the store; raises what the store raises."""
        await self._emit()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.flush)

    async def _emit(self) -> None:
        async with self._emitting:
            await asyncio.to_thread(self._close)
            while readings := self._readings or await asyncio.to_thread(self._read):
                self._live.observe(readings[:OBSERVED_AT_ONCE])
                del readings[:OBSERVED_AT_ONCE]
                await asyncio.sleep(0)

    def _close(self) -> None:
        now_ms = self._clock.now_ms()
        with self._counting:
            self._count(self._pairing.expire(self._clock.steady_ms() // 1000))
            self._unread = chain(self._unread, self._tallies.observations(now_ms))

    def _read(self) -> list[Observation]:
        with self._counting:
            self._readings += islice(self._unread, READ_AT_ONCE)
        return self._readings

    def _count(self, calls: Iterable[Call]) -> None:
        pairing = self._pairing
        refused, duplicates = pairing.refused, pairing.duplicates
        dropped = self._tallies.count(calls, self._peers())
        dropped[Drop.PENDING_FULL] += pairing.refused - refused
        dropped[Drop.DUPLICATE] += pairing.duplicates - duplicates
        for reason, spans in dropped.items():
            self._drops.add(reason, spans)
