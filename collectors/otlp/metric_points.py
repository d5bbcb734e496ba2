"""Metrics of an OTLP request, and what their data points say; a point that cannot be what it says is refused. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1 import metrics_pb2

from collectors.otlp import wire
from collectors.otlp.distribution import BUCKETS, Distribution, Explicit, Exponential
from collectors.otlp.limits import TooLargeError
from collectors.protobuf import messages

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
POINT_BYTES = 64 * 1024


class RejectedError(Exception):
    """A point cannot be what it says."""


class Metric(NamedTuple):
    """One metric of one process; its points are encoded."""

    resource: bytes
    name: str
    unit: str
    kind: str
    temporality: int
    points: Sequence[bytes]


class HistogramPoint(NamedTuple):
    """A histogram's point: requests since its start, their durations added up and spread, in the metric's own unit."""

    start_ns: int
    at_ns: int
    requests: float
    total: float
    spread: Distribution


def metrics_of(data: bytes, most: int) -> Iterator[Metric]:
    """Yield the metrics of a request, having counted their points before they take memory.

    Raises :class:`TooLargeError` for more than *most* points, and ``DecodeError``.
    """
    count = 0
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


def _metric(resource: bytes, encoded: bytes) -> Metric | None:
    metric = _CLASSES["Metric"].FromString(encoded)
    kind = next((one for one in KINDS if getattr(metric, one)), None)
    if kind is None:
        return None
    points = _CLASSES["Points"].FromString(getattr(metric, kind))
    name = metric.name[:256].decode(errors="replace")
    return Metric(resource, name, metric.unit.decode(errors="replace"), kind, points.temporality, points.points)


def decoded(kind: str, encoded: bytes) -> Any:
    """Decode a point; raises :class:`RejectedError`, as what follows does."""
    if len(encoded) > POINT_BYTES:
        raise RejectedError(f"a point of more than {POINT_BYTES} bytes")
    try:
        return POINTS[kind].FromString(encoded)
    except DecodeError as trouble:
        raise RejectedError("a point that cannot be read") from trouble


def attributes_key(point: Any) -> tuple[bytes, ...]:
    """Tell points of one metric apart, in whatever order their attributes are."""
    return tuple(sorted(pair.SerializeToString(deterministic=True) for pair in point.attributes))


def histogram_point(kind: str, point: Any) -> HistogramPoint:
    """Read a histogram's point."""
    spread = _explicit(point) if kind == "histogram" else _exponential(point)
    if not math.isfinite(point.sum) or point.sum < 0:
        raise RejectedError("a sum of durations that is negative or no number")
    return HistogramPoint(point.start_time_unix_nano, point.time_unix_nano, float(point.count), point.sum, spread)


def _explicit(point: Any) -> Explicit:
    bounds, counts = tuple(point.explicit_bounds), tuple(map(float, point.bucket_counts))
    if len(counts) > BUCKETS:
        raise RejectedError(f"more than {BUCKETS} buckets")
    if not counts and not bounds:
        return Explicit((), (float(point.count),))
    if len(counts) != len(bounds) + 1 or any(not low < high for low, high in pairwise(bounds)):
        raise RejectedError("bounds that do not rise, or not one bucket more than bounds")
    if sum(counts) != point.count:
        raise RejectedError("buckets that do not add up to the count")
    return Explicit(bounds, counts)


def _exponential(point: Any) -> Exponential:
    if not -10 <= point.scale <= 20:
        raise RejectedError(f"scale {point.scale}; -10 to 20 are possible")
    if len(point.positive.bucket_counts) > BUCKETS:
        raise RejectedError(f"more than {BUCKETS} buckets")
    if any(point.negative.bucket_counts):
        raise RejectedError("durations below zero")
    counts = {
        point.positive.offset + number: float(count)
        for number, count in enumerate(point.positive.bucket_counts)
        if count
    }
    if sum(counts.values()) + point.zero_count != point.count:
        raise RejectedError("buckets that do not add up to the count")
    return Exponential(point.scale, float(point.zero_count), counts)


def samples_of(metric: Metric, point: Any) -> Iterator[tuple[str, str, float]]:
    """Write a point as Prometheus would: names, the label ``le``, values."""
    if metric.kind == "sum":
        value = float(point.as_int) if point.HasField("as_int") else point.as_double
        yield metric.name, "", _finite(value)
        return
    if metric.kind != "histogram":
        raise RejectedError("an exponential histogram of a mesh's metric; send classic buckets")
    spread = _explicit(point)
    yield from _cumulated(metric.name, spread)
    yield f"{metric.name}_sum", "", _finite(point.sum)
    yield f"{metric.name}_count", "", float(point.count)


def _cumulated(name: str, spread: Explicit) -> Iterable[tuple[str, str, float]]:
    bounds = [*(f"{bound:g}" for bound in spread.bounds), "+Inf"]
    return ((f"{name}_bucket", bound, count) for bound, count in zip(bounds, accumulate(spread.counts), strict=True))


def _finite(value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise RejectedError("a count that is negative or no number")
    return value
