"""OTLP metrics: what applications count of their calls, and what a Collector forwards of a mesh's own metrics.

A client's metric names its caller by the resource and its callee by ``server.address``: that is an edge. A server's
metric does not know who called, unless ``client.address`` is an address of the mesh. What makes no edge is not
dropped silently: it is counted by name, with the reason.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.metrics.v1 import metrics_pb2

from collectors.dialects import Dialect
from collectors.inventory import DEFAULT_CLUSTER
from collectors.otlp import json_form, wire
from collectors.otlp.distribution import BUCKETS, Distribution, Explicit, Exponential
from collectors.otlp.forwarded import Forwarded, Reading
from collectors.otlp.limits import Drop, Drops, Limits, TooLargeError, counted, decoding
from collectors.otlp.metric_edges import MetricEdges, Place
from collectors.otlp.resources import resource_attributes
from collectors.otlp.tallies import BOUNDS_MS
from collectors.peers import Peers
from collectors.poll import Live
from collectors.protobuf import messages
from graph.model import Counters, EdgeKey, Histogram, Inventory, Observation, Outcome, Reporter
from graph.ports import Clock

_CLASSES = messages(
    "meshscope.metrics",
    {
        "Scope": [(2, "metrics", "*bytes")],
        "Metric": [
            (1, "name", "bytes"),
            (3, "unit", "bytes"),
            (5, "gauge", "bytes"),
            (7, "sum", "bytes"),
            (9, "histogram", "bytes"),
            (10, "exponential", "bytes"),
            (11, "summary", "bytes"),
        ],
        "Points": [(1, "points", "*bytes"), (2, "temporality", "int32"), (3, "monotonic", "bool")],
    },
)
KINDS = ("gauge", "sum", "histogram", "exponential", "summary")
POINTS: Mapping[str, Any] = {
    "sum": metrics_pb2.NumberDataPoint,
    "histogram": metrics_pb2.HistogramDataPoint,
    "exponential": metrics_pb2.ExponentialHistogramDataPoint,
}
DELTA, CUMULATIVE = 1, 2
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
POINT_BYTES = 64 * 1024
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
        self._streams: dict[_StreamKey, _Stream] = {}
        self._tallies: dict[tuple[EdgeKey, str], _Tally] = {}
        self._unused: dict[str, Unused] = {}
        self._state = MetricsState()
        self._numbers = dict.fromkeys(("requests", "points", "unused_points", "rejected_points", "last_ms"), 0)

    @property
    def state(self) -> MetricsState:
        """How it does now."""
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
            found = list(self._metrics(data))
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

    def _metrics(self, data: bytes) -> Iterator[_Metric]:
        """Yield the metrics of a request, having counted their points before they take memory."""
        most, count = self.limits.request_spans, 0
        for resource, scopes in wire.resources(data, most):
            for scope in scopes:
                metrics = _CLASSES["Scope"].FromString(scope).metrics
                count += 1 + len(metrics)
                for encoded in metrics:
                    metric = _metric(resource, encoded) if count <= most else None
                    count += len(metric.points) if metric else 0
                    if count > most:
                        raise TooLargeError(f"more than {most} points in one request; send smaller batches")
                    if metric:
                        yield metric

    def _take(self, metric: _Metric, now_ms: int) -> list[str]:
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
            except _RejectedError as trouble:
                rejected.append(f"{name}: {trouble}")
        return rejected

    def _count(self, metric: _Metric, encoded: bytes, unit_ms: float, now_ms: int) -> None:
        point = _decoded(metric.kind, encoded)
        reading = _reading(metric.kind, point)
        key = _StreamKey(metric.resource, metric.name, _attributes_key(point))
        place = self._edges.of(metric.resource, point.attributes, served=metric.name in SERVED)
        stream = self._streams.get(key)
        if stream is None:
            if len(self._streams) >= STREAMS:
                self._drops.add(Drop.EDGES_FULL)
                return
            stream = self._streams[key] = _Stream()
        added = stream.read(reading, metric.temporality, self._began_ns, now_ms)
        if isinstance(place, str):
            self._skip(metric, place, points=1)
            return
        self._numbers["points"] += 1
        self._tally(place).add(place.outcome, added, unit_ms, now_ms)

    def _tally(self, place: Place) -> _Tally:
        return self._tallies.setdefault(
            (place.edge, place.instance), _Tally(origin=f"OTLP metrics of {place.instance}")
        )

    def _forward(self, metric: _Metric, now_ms: int) -> list[str]:
        rejected = []
        for encoded in metric.points:
            try:
                point = _decoded(metric.kind, encoded)
                samples = list(_samples(metric, point))
            except _RejectedError as trouble:
                rejected.append(f"{metric.name}: {trouble}")
                continue
            labels = {pair.key: wire.text(pair.value) for pair in point.attributes}
            resource = resource_attributes(metric.resource)
            started_ms, at_ms = point.start_time_unix_nano // 1_000_000, point.time_unix_nano // 1_000_000
            reading = Reading(metric.temporality == DELTA, started_ms, at_ms)
            self._forwarded.take(labels, resource, samples, reading, now_ms=now_ms)
            self._numbers["points"] += 1
        return rejected

    def _skip(self, metric: _Metric, reason: str, points: int | None = None) -> None:
        count = len(metric.points) if points is None else points
        name = metric.name if metric.name in self._unused or len(self._unused) < NAMES else OTHERS
        known = self._unused.get(name, Unused(0, reason))
        self._unused[name] = Unused(known.points + count, reason)
        self._numbers["unused_points"] += count


class _RejectedError(Exception):
    """A point cannot be what it says."""


class _Metric(NamedTuple):
    resource: bytes
    name: str
    unit: str
    kind: str
    temporality: int
    points: Sequence[bytes]


class _StreamKey(NamedTuple):
    resource: bytes
    name: str
    attributes: tuple[bytes, ...]


class _Reading(NamedTuple):
    start_ns: int
    at_ns: int
    requests: float
    total: float
    spread: Distribution


@dataclass(slots=True)
class _Stream:
    """The last reading of one attribute set of one metric of one process."""

    last: _Reading | None = None
    heard_ms: int = 0

    def read(self, reading: _Reading, temporality: int, began_ns: int, now_ms: int) -> _Reading | None:
        """Return what a reading adds; ``None``: nothing, it is old, or counts what was before we listened."""
        last, self.heard_ms = self.last, now_ms
        if last is not None and reading.at_ns <= last.at_ns and reading.start_ns <= last.start_ns:
            return None
        self.last = reading
        if temporality == DELTA:
            return reading
        if last is not None and reading.start_ns == last.start_ns and reading.requests >= last.requests:
            spread = reading.spread.since(last.spread)
            if spread is not None:
                requests, total = reading.requests - last.requests, max(0.0, reading.total - last.total)
                return _Reading(last.at_ns, reading.at_ns, requests, total, spread)
        if last is None and reading.start_ns < began_ns:
            return None
        return reading


@dataclass(slots=True)
class _Tally:
    """What one process has counted on one edge since we listen."""

    origin: str
    at_ms: int = 0
    heard: bool = False
    requests: dict[Outcome, float] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    buckets: list[float] = field(default_factory=list)
    total: float = 0.0

    def add(self, outcome: Outcome, added: _Reading | None, unit_ms: float, now_ms: int) -> None:
        self.at_ms, self.heard = now_ms, True
        if added is None:
            return
        self.requests[outcome] = self.requests.get(outcome, 0.0) + added.requests
        spread = added.spread
        if not self.bounds:
            plain = isinstance(spread, Explicit) and bool(spread.bounds)
            self.bounds = (*(one * unit_ms for one in spread.bounds), math.inf) if plain else BOUNDS_MS  # type: ignore[union-attr]
            self.buckets = [0.0] * len(self.bounds)
        for value, count in spread.samples():
            self.buckets[bisect_left(self.bounds, value * unit_ms)] += count
        self.total += added.total * unit_ms

    def observation(self, edge: EdgeKey, instance: str, epoch: int) -> Observation:
        latency = Histogram(self.bounds, tuple(accumulate(self.buckets)), self.total) if self.bounds else None
        return Observation(
            edge=edge,
            reporter=Reporter.APPLICATION,
            instance=instance,
            epoch=epoch,
            at_ms=self.at_ms,
            counters=Counters(requests=dict(self.requests), latency_ms=latency),
            origin=self.origin,
        )


def _metric(resource: bytes, encoded: bytes) -> _Metric | None:
    metric = _CLASSES["Metric"].FromString(encoded)
    kind = next((one for one in KINDS if getattr(metric, one)), None)
    if kind is None:
        return None
    points = _CLASSES["Points"].FromString(getattr(metric, kind))
    name = metric.name[:256].decode(errors="replace")
    return _Metric(resource, name, metric.unit.decode(errors="replace"), kind, points.temporality, points.points)


def _why_unused(name: str, kind: str) -> str:
    if name in CALLS or name in SERVED:
        return f"a {kind} of it does not say how many requests there were; histograms do"
    return "not about requests between workloads"


def _decoded(kind: str, encoded: bytes) -> Any:
    if len(encoded) > POINT_BYTES:
        raise _RejectedError(f"a point of more than {POINT_BYTES} bytes")
    try:
        return POINTS[kind].FromString(encoded)
    except DecodeError as trouble:
        raise _RejectedError("a point that cannot be read") from trouble


def _attributes_key(point: Any) -> tuple[bytes, ...]:
    return tuple(sorted(pair.SerializeToString(deterministic=True) for pair in point.attributes))


def _reading(kind: str, point: Any) -> _Reading:
    spread = _explicit(point) if kind == "histogram" else _exponential(point)
    if not math.isfinite(point.sum) or point.sum < 0:
        raise _RejectedError("a sum of durations that is negative or no number")
    return _Reading(point.start_time_unix_nano, point.time_unix_nano, float(point.count), point.sum, spread)


def _explicit(point: Any) -> Explicit:
    bounds, counts = tuple(point.explicit_bounds), tuple(map(float, point.bucket_counts))
    if len(counts) > BUCKETS:
        raise _RejectedError(f"more than {BUCKETS} buckets")
    if not counts and not bounds:
        return Explicit((), (float(point.count),))
    if len(counts) != len(bounds) + 1 or any(not low < high for low, high in pairwise(bounds)):
        raise _RejectedError("bounds that do not rise, or not one bucket more than bounds")
    if sum(counts) != point.count:
        raise _RejectedError("buckets that do not add up to the count")
    return Explicit(bounds, counts)


def _exponential(point: Any) -> Exponential:
    if not -10 <= point.scale <= 20:
        raise _RejectedError(f"scale {point.scale}; -10 to 20 are possible")
    if len(point.positive.bucket_counts) > BUCKETS:
        raise _RejectedError(f"more than {BUCKETS} buckets")
    if any(point.negative.bucket_counts):
        raise _RejectedError("durations below zero")
    counts = {
        point.positive.offset + number: float(count)
        for number, count in enumerate(point.positive.bucket_counts)
        if count
    }
    if sum(counts.values()) + point.zero_count != point.count:
        raise _RejectedError("buckets that do not add up to the count")
    return Exponential(point.scale, float(point.zero_count), counts)


def _samples(metric: _Metric, point: Any) -> Iterator[tuple[str, str, float]]:
    """Write a point as Prometheus would: names, the label ``le``, values."""
    if metric.kind == "sum":
        value = float(point.as_int) if point.HasField("as_int") else point.as_double
        yield metric.name, "", _finite(value)
        return
    if metric.kind != "histogram":
        raise _RejectedError("an exponential histogram of a mesh's metric; send classic buckets")
    spread = _explicit(point)
    yield from _cumulated(metric.name, spread)
    yield f"{metric.name}_sum", "", _finite(point.sum)
    yield f"{metric.name}_count", "", float(point.count)


def _cumulated(name: str, spread: Explicit) -> Iterable[tuple[str, str, float]]:
    bounds = [*(f"{bound:g}" for bound in spread.bounds), "+Inf"]
    return ((f"{name}_bucket", bound, count) for bound, count in zip(bounds, accumulate(spread.counts), strict=True))


def _finite(value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise _RejectedError("a count that is negative or no number")
    return value
