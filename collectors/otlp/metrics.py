"""OTLP metrics: what applications count of their calls, and what a Collector forwards of a mesh's own metrics.

A client's metric names its caller by the resource and its callee by ``server.address``: that is an edge. A server's
metric does not know who called, unless ``client.address`` is an address of the mesh. What makes no edge is not
dropped silently: it is counted by name, with the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from collectors.dialects import Dialect
from collectors.inventory import DEFAULT_CLUSTER
from collectors.otlp import json_form, wire
from collectors.otlp.forwarded import Forwarded, PointTime
from collectors.otlp.limits import Drop, Drops, Limits, counted, decoding
from collectors.otlp.metric_counts import Stream, Tally
from collectors.otlp.metric_edges import MetricEdges, Place
from collectors.otlp.metric_points import (
    DELTA,
    Metric,
    RejectedError,
    attributes_key,
    decoded,
    histogram_point,
    metrics_of,
    samples_of,
)
from collectors.otlp.resources import resource_attributes
from collectors.peers import Peers
from collectors.poll import Live
from graph.model import EdgeKey, Inventory, Observation
from graph.ports import Clock

UNIT_MS: Mapping[str, float] = {"s": 1000.0, "ms": 1.0, "us": 0.001, "ns": 0.000001}

CALLS: Mapping[str, float] = {
    # Newest spelling first: https://opentelemetry.io/docs/specs/semconv/; the number is the unit in milliseconds.
    "http.client.request.duration": 1000.0,
    "http.client.duration": 1.0,
    "rpc.client.call.duration": 1000.0,
    "rpc.client.duration": 1.0,
    "db.client.operation.duration": 1000.0,
    "db.client.connections.use_time": 0.0,
    "messaging.client.operation.duration": 1000.0,
    "messaging.publish.duration": 1000.0,
}
"""What callers measure. 0: about calls, but none of its points is one."""
SERVED: Mapping[str, float] = {
    "http.server.request.duration": 1000.0,
    "http.server.duration": 1.0,
    "rpc.server.call.duration": 1000.0,
    "rpc.server.duration": 1.0,
    "messaging.process.duration": 1000.0,
}
"""What callees measure."""
NAMES = 200
"""Names of unused metrics that are told; the others are counted together."""
OTHERS = "(others)"
STREAMS = 20_000
IDLE_MS = 3_600_000
EMIT_S = 1.0
NOBODY = Peers(Inventory())


class Unused(NamedTuple):
    """A metric that makes no edge."""

    points: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsState:
    """How receiving metrics does."""

    requests: int = 0
    points: int = 0
    """That became evidence."""
    unused_points: int = 0
    rejected_points: int = 0
    edges: int = 0
    last_ms: int = 0


class Metrics:
    """The way in for metrics, a :class:`collectors.otlp.doors.Door`; run it as a service, which observes each second."""

    name = "OTLP metrics"
    method = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    path = "/v1/metrics"

    def __init__(
        self,
        live: Live,
        clock: Clock,
        *,
        peers: Callable[[], Peers] = lambda: NOBODY,
        cluster: str = DEFAULT_CLUSTER,
        limits: Limits | None = None,
        dialects: Iterable[Dialect] | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.from_json = json_form.metrics
        self._live = live
        self._clock = clock
        self._began_ns = clock.now_ms() * 1_000_000
        self._edges = MetricEdges(peers, cluster=cluster, longest=self.limits.name_chars)
        self._forwarded = Forwarded(cluster=cluster, most=10 * STREAMS, dialects=dialects)
        self._lock = threading.Lock()
        self._drops = Drops()
        self._streams: dict[_StreamKey, Stream] = {}
        self._tallies: dict[tuple[EdgeKey, str], Tally] = {}
        self._unused: dict[str, Unused] = {}
        self._state = MetricsState()
        self._numbers = dict.fromkeys(("requests", "points", "unused_points", "rejected_points", "last_ms"), 0)

    @property
    def state(self) -> MetricsState:
        """How it is doing now."""
        with self._lock:
            return MetricsState(edges=len(self._tallies) + self._forwarded.series, **self._numbers)

    @property
    def unused(self) -> Mapping[str, Unused]:
        """Metrics that came and make no edge, by name, with the reason."""
        with self._lock:
            return dict(self._unused)

    @property
    def drops(self) -> Mapping[str, int]:
        """Requests that were refused, by reason."""
        found = self._drops.by_reason()
        return {reason.value: found[reason.value] for reason in (Drop.MALFORMED, Drop.TOO_LARGE, Drop.EDGES_FULL)}

    def refuse(self, reason: Drop) -> None:
        """Count a request that was refused before it was decoded."""
        self._drops.add(reason)

    def take(self, data: bytes) -> Message:
        """Take an ``ExportMetricsServiceRequest``; points that cannot be are rejected in part, with the reason."""
        with counted(self.refuse), decoding("metrics"):
            found = list(metrics_of(data, self.limits.request_spans))
        rejected: list[str] = []
        now_ms = self._clock.now_ms()
        with self._lock:
            for one in found:
                rejected += self._take(one, now_ms)
            self._numbers["requests"] += 1
            self._numbers["rejected_points"] += len(rejected)
            self._numbers["last_ms"] = now_ms
        reply = ExportMetricsServiceResponse()
        if rejected:
            reply.partial_success.rejected_data_points = len(rejected)
            reply.partial_success.error_message = "; ".join(dict.fromkeys(rejected))[:500]
        return reply

    async def run(self, ready: Callable[[], None]) -> None:
        """Hand what has come to the graph, until cancelled."""
        ready()
        async for now_ms in self._clock.every(EMIT_S):
            self._live.observe(self.collect(now_ms))

    def collect(self, now_ms: int) -> Sequence[Observation]:
        """Read the counters of edges that have been heard of since the last time."""
        with self._lock:
            self._forget(now_ms)
            heard = [(key, tally) for key, tally in self._tallies.items() if tally.heard]
            for _, tally in heard:
                tally.heard = False
            own = [tally.observation(edge, instance, self._began_ns // 1_000_000) for (edge, instance), tally in heard]
            return [*own, *self._forwarded.observations(now_ms)]

    def _forget(self, now_ms: int) -> None:
        self._streams = {key: one for key, one in self._streams.items() if now_ms - one.heard_ms <= IDLE_MS}
        self._tallies = {key: one for key, one in self._tallies.items() if now_ms - one.at_ms <= IDLE_MS}

    def _take(self, metric: Metric, now_ms: int) -> list[str]:
        """Count a metric's points; returns why some are rejected."""
        name = metric.name
        if self._forwarded.reads(name, metric.kind):
            return self._forward(metric, now_ms)
        unit = CALLS.get(name) or SERVED.get(name)
        if unit is None or metric.kind not in {"histogram", "exponential"}:
            self._skip(metric, _why_unused(name, metric.kind))
            return []
        rejected = []
        for encoded in metric.points:
            try:
                self._count(metric, encoded, UNIT_MS.get(metric.unit, unit), now_ms)
            except RejectedError as trouble:
                rejected.append(f"{name}: {trouble}")
        return rejected

    def _count(self, metric: Metric, encoded: bytes, unit_ms: float, now_ms: int) -> None:
        point = decoded(metric.kind, encoded)
        reading = histogram_point(metric.kind, point)
        key = _StreamKey(metric.resource, metric.name, attributes_key(point))
        place = self._edges.of(metric.resource, point.attributes, served=metric.name in SERVED)
        stream = self._streams.get(key)
        if stream is None:
            if len(self._streams) >= STREAMS:
                self._drops.add(Drop.EDGES_FULL)
                return
            stream = self._streams[key] = Stream()
        added = stream.read(reading, metric.temporality, self._began_ns, now_ms)
        if isinstance(place, str):
            self._skip(metric, place, points=1)
            return
        self._numbers["points"] += 1
        self._tally(place).add(place.outcome, added, unit_ms, now_ms)

    def _tally(self, place: Place) -> Tally:
        return self._tallies.setdefault((place.edge, place.instance), Tally(origin=f"OTLP metrics of {place.instance}"))

    def _forward(self, metric: Metric, now_ms: int) -> list[str]:
        rejected = []
        for encoded in metric.points:
            try:
                point = decoded(metric.kind, encoded)
                samples = list(samples_of(metric, point))
            except RejectedError as trouble:
                rejected.append(f"{metric.name}: {trouble}")
                continue
            labels = {pair.key: wire.text(pair.value) for pair in point.attributes}
            resource = resource_attributes(metric.resource)
            started_ms, at_ms = point.start_time_unix_nano // 1_000_000, point.time_unix_nano // 1_000_000
            when = PointTime(metric.temporality == DELTA, started_ms, at_ms)
            self._forwarded.take(labels, resource, samples, when, now_ms=now_ms)
            self._numbers["points"] += 1
        return rejected

    def _skip(self, metric: Metric, reason: str, points: int | None = None) -> None:
        count = len(metric.points) if points is None else points
        name = metric.name if metric.name in self._unused or len(self._unused) < NAMES else OTHERS
        known = self._unused.get(name, Unused(0, reason))
        self._unused[name] = Unused(known.points + count, reason)
        self._numbers["unused_points"] += count


class _StreamKey(NamedTuple):
    resource: bytes
    name: str
    attributes: tuple[bytes, ...]


def _why_unused(name: str, kind: str) -> str:
    if name in CALLS or name in SERVED:
        return f"a {kind} of it does not say how many requests there were; histograms do"
    return "not about requests between workloads"
