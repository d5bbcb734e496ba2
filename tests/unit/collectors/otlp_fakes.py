"""OTLP requests as programs send them, built with the plain protobuf classes."""

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
START_NS = 1_790_000_000_000_000_000


def value(of) -> AnyValue:
    if isinstance(of, bool):
        return AnyValue(bool_value=of)
    if isinstance(of, int):
        return AnyValue(int_value=of)
    if isinstance(of, float):
        return AnyValue(double_value=of)
    return AnyValue(string_value=of)


def pairs(attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=value(of)) for key, of in attributes.items()]


def resource(app: str, *, version: str = "", namespace: str = "shop", **more) -> dict:
    named = {"service.name": app, "service.namespace": namespace, "service.version": version}
    return {key: of for key, of in named.items() if of} | more


def span(
    kind: str,
    number: int,
    *,
    parent: int = 0,
    trace: int = 1,
    ms: float = 10,
    error: bool = False,
    name: str = "GET /",
    start_ns: int = START_NS,
    message: str = "",
    **attributes,
) -> Span:
    made = Span(
        trace_id=trace.to_bytes(16),
        span_id=number.to_bytes(8),
        parent_span_id=parent.to_bytes(8) if parent else b"",
        name=name,
        kind=KINDS[kind],
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + int(ms * 1e6),
        attributes=pairs({key.replace("__", "."): of for key, of in attributes.items()}),
    )
    if error:
        made.status.code = 2
        made.status.message = message
    return made


def request(*parts: tuple[dict, list[Span]]) -> bytes:
    """Each part: a resource's attributes and its spans."""
    message = ExportTraceServiceRequest()
    for attributes, spans in parts:
        of = message.resource_spans.add()
        of.resource.attributes.extend(pairs(attributes))
        scope = of.scope_spans.add()
        scope.scope.name = "tests"
        scope.spans.extend(spans)
    return message.SerializeToString()
