"""Jaeger's Thrift batches written as OTLP. Pure.

Field numbers are those of ``jaeger.thrift`` (jaegertracing/jaeger-idl). Thrift's binary form says of each field what
it is; so a batch is read without its schema, with every value counted before it can take much memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from thriftpy2.protocol import binary
from thriftpy2.protocol.exc import TProtocolException
from thriftpy2.thrift import TType

from collectors.otlp.limits import Limits, MalformedError, TooLargeError

THRIFT: Any = binary
"""Its functions have no types."""
VALUE_BYTES = 4
"""A value takes at least so much: a field's head and one byte."""
DEPTH = 8
"""A batch is six deep: batch, span, log, fields, tag."""
SCALARS = frozenset({TType.BOOL, TType.BYTE, TType.I16, TType.I32, TType.I64, TType.DOUBLE})
KINDS: Mapping[str, int] = {"client": 3, "server": 2, "producer": 4, "consumer": 5}
INTERNAL = 1
CHILD_OF = 0
LARGEST = 2**63 - 1

PROCESS, SPANS = 1, 2
LOW, HIGH, SPAN_ID, PARENT_ID, NAME, REFERENCES, START, DURATION, TAGS, LOGS = 1, 2, 3, 4, 5, 6, 8, 9, 10, 11

Fields = dict[int, Any]
MALFORMED = (
    struct.error,
    TProtocolException,
    EOFError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def of_thrift(body: bytes, limits: Limits) -> tuple[bytes, int]:
    """Translate a ``Batch``; raises a ``RefusedError``."""
    try:
        batch = _Reader(body).struct()
    except MALFORMED as trouble:
        raise MalformedError(
            f"not a Thrift batch of Jaeger's: {str(trouble)[:200] or type(trouble).__name__}"
        ) from trouble
    spans = _structs(batch.get(SPANS))
    process = batch.get(PROCESS)
    if not isinstance(process, dict) or SPANS not in batch:
        raise MalformedError("a Thrift batch of Jaeger's has a process (field 1) and spans (field 2)")
    if len(spans) > limits.request_spans:
        raise TooLargeError(f"more than {limits.request_spans} spans in one request; send smaller batches")
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add()
    part.resource.attributes.append(_pair("service.name", _text(process.get(1))))
    part.resource.attributes.extend(_tag(tag, RESOURCE_NAMES) for tag in _structs(process.get(2)))
    scope = part.scope_spans.add()
    for span in spans:
        _fill(scope.spans.add(), span)
    return bytes(request.SerializeToString()), len(spans)


RESOURCE_NAMES: Mapping[str, str] = {"hostname": "host.name", "ip": "host.ip"}
"""Jaeger clients' own names of what OTLP calls otherwise."""


class _Reader:
    """Reads Thrift's binary form into numbered fields; every value is counted."""

    def __init__(self, body: bytes) -> None:
        self._buffer = _Exact(body)
        self._left = 16 + len(body) // VALUE_BYTES

    def struct(self, depth: int = DEPTH) -> Fields:
        found: Fields = {}
        while True:
            kind, number = THRIFT.read_field_begin(self._buffer)
            if kind == TType.STOP:
                return found
            found[number] = self._value(kind, depth - 1)

    def _value(self, kind: int, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise MalformedError("more values than so many bytes of a Thrift batch can hold")
        if depth < 0:
            raise MalformedError("a Thrift batch of Jaeger's is not nested so deep")
        if kind == TType.STRUCT:
            return self.struct(depth)
        if kind in {TType.LIST, TType.SET}:
            of, size = THRIFT.read_list_begin(self._buffer)
            return [self._value(of, depth - 1) for _ in range(size)]
        if kind == TType.MAP:
            key, value, size = THRIFT.read_map_begin(self._buffer)
            for _ in range(size):
                self._value(key, depth - 1)
                self._value(value, depth - 1)
            return None
        if kind in SCALARS:
            return THRIFT.read_val(self._buffer, kind)
        if kind == TType.STRING:
            return THRIFT.read_val(self._buffer, TType.BINARY)
        raise MalformedError(f"Thrift has no type {kind}")


class _Exact(BytesIO):
    """Bytes that tell when they end."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read exactly so much."""
        data = super().read(size)
        if size is None or len(data) != size:
            raise EOFError("it ends too early")
        return data


def _structs(value: Any) -> list[Fields]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _fill(into: Span, span: Fields) -> None:
    tags = _structs(span.get(TAGS))
    plain = {_text(tag.get(1)): _value(tag) for tag in tags}
    into.trace_id = _id(span.get(HIGH)) + _id(span.get(LOW))
    into.span_id = _id(span.get(SPAN_ID))
    into.parent_span_id = _parent(span)
    into.name = _text(span.get(NAME))
    into.kind = KINDS.get(str(plain.get("span.kind", "")).lower(), INTERNAL)  # type: ignore[assignment]
    start = _micros(span.get(START))
    into.start_time_unix_nano = start * 1000
    into.end_time_unix_nano = min(start + _micros(span.get(DURATION)), LARGEST // 1000) * 1000
    into.attributes.extend(_tag(tag, {}) for tag in tags if _text(tag.get(1)) != "span.kind")
    for reference in _structs(span.get(REFERENCES)):
        if _id(reference.get(4)) != into.parent_span_id:
            into.links.add(trace_id=_id(reference.get(3)) + _id(reference.get(2)), span_id=_id(reference.get(4)))
    for log in _structs(span.get(LOGS)):
        fields = _structs(log.get(2))
        named = next((_text(one.get(3)) for one in fields if _text(one.get(1)) in {"event", "message"}), "log")
        into.events.add(
            time_unix_nano=_micros(log.get(1)) * 1000, name=named, attributes=[_tag(one, {}) for one in fields]
        )
    if plain.get("error") in {True, "true"} or plain.get("otel.status_code") == "ERROR":
        into.status.code = Status.STATUS_CODE_ERROR
        into.status.message = str(plain.get("otel.status_description", ""))


def _parent(span: Fields) -> bytes:
    """Return the parent's id: Jaeger's own field, else the first span of this trace that it is a child of."""
    parent = _id(span.get(PARENT_ID))
    if any(parent):
        return parent
    own = span.get(HIGH), span.get(LOW)
    children = (
        _id(one.get(4))
        for one in _structs(span.get(REFERENCES))
        if one.get(1) == CHILD_OF and (one.get(3), one.get(2)) == own
    )
    return next(children, b"")


def _tag(tag: Fields, names: Mapping[str, str]) -> KeyValue:
    key, value = _text(tag.get(1)), _value(tag)
    return _pair(names.get(key, key), value)


def _value(tag: Fields) -> str | float | bool | bytes:
    """Read a tag's value, of the type it says it has."""
    kind = tag.get(2)
    found = tag.get({0: 3, 1: 4, 2: 5, 3: 6, 4: 7}.get(kind if isinstance(kind, int) else 0, 3))
    if kind == 4:
        return found if isinstance(found, bytes) else b""
    if isinstance(found, bytes):
        return _text(found)
    return found if isinstance(found, bool | int | float) else ""


def _pair(key: str, value: str | float | bool | bytes) -> KeyValue:
    match value:
        case bool():
            return KeyValue(key=key, value=AnyValue(bool_value=value))
        case int():
            return KeyValue(key=key, value=AnyValue(int_value=value))
        case float():
            return KeyValue(key=key, value=AnyValue(double_value=value))
        case bytes():
            return KeyValue(key=key, value=AnyValue(bytes_value=value))
        case _:
            return KeyValue(key=key, value=AnyValue(string_value=value))


def _id(number: Any) -> bytes:
    return (number if isinstance(number, int) else 0).to_bytes(8, signed=True)


def _micros(number: Any) -> int:
    return min(max(number if isinstance(number, int) else 0, 0), LARGEST // 1000)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def paths() -> Mapping[str, Mapping[str, Callable[[bytes, Limits], tuple[bytes, int]]]]:
    """Return what is served where."""
    forms = dict.fromkeys(("application/vnd.apache.thrift.binary", "application/x-thrift"), of_thrift)
    return {"/api/traces": forms}
