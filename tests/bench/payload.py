"""OTLP batches as a mesh of services would send them: pairs of client and server spans, shuffled."""

from __future__ import annotations

import random

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

CLIENT = Span.SPAN_KIND_CLIENT
SERVER = Span.SPAN_KIND_SERVER


def batches(*, count: int, spans: int, services: int, seed: int = 1) -> list[bytes]:
    """*count* requests of *spans* spans; both ends of a call are within the whole, not within one batch."""
    rng = random.Random(seed)
    half_edges = []
    for _ in range(count * spans // 2):
        source, target = rng.sample(range(services), 2)
        half_edges.extend(_call(rng, source, target))
    rng.shuffle(half_edges)
    return [_request(half_edges[start : start + spans]) for start in range(0, count * spans, spans)]


def _call(rng: random.Random, source: int, target: int) -> list[tuple[int, Span]]:
    trace, client, server = rng.randbytes(16), rng.randbytes(8), rng.randbytes(8)
    start = 1_700_000_000_000_000_000 + rng.randrange(10**9)
    took = rng.randrange(1_000_000, 200_000_000)
    attributes = [
        _text("http.request.method", "GET"),
        _text("server.address", f"service-{target}.shop"),
        _text("url.path", f"/items/{rng.randrange(40)}"),
        _text("network.protocol.version", "1.1"),
        _text("user_agent.original", "load/1.0"),
        _number("http.response.status_code", rng.choice((200, 200, 200, 200, 404, 500))),
        _number("server.port", 80),
    ]
    ends = {"start_time_unix_nano": start, "end_time_unix_nano": start + took, "name": "GET /items/{id}"}
    return [
        (source, Span(trace_id=trace, span_id=client, kind=CLIENT, attributes=attributes, **ends)),
        (
            target,
            Span(trace_id=trace, span_id=server, parent_span_id=client, kind=SERVER, attributes=attributes, **ends),
        ),
    ]


def _request(half_edges: list[tuple[int, Span]]) -> bytes:
    request = ExportTraceServiceRequest()
    by_service: dict[int, list[Span]] = {}
    for service, span in half_edges:
        by_service.setdefault(service, []).append(span)
    for service, spans in by_service.items():
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(
            [
                _text("service.name", f"service-{service}"),
                _text("service.namespace", "shop"),
                _text("service.version", "v1"),
                _text("service.instance.id", f"service-{service}-0"),
                _text("telemetry.sdk.language", "python"),
            ]
        )
        resource.scope_spans.add(spans=spans).scope.name = "bench"
    return request.SerializeToString()


def _text(key: str, value: str) -> KeyValue:
    pair = KeyValue(key=key)
    pair.value.string_value = value
    return pair


def _number(key: str, value: int) -> KeyValue:
    pair = KeyValue(key=key)
    pair.value.int_value = value
    return pair
