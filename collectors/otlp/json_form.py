"""OTLP's JSON form to its protobuf form."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.otlp.limits import MalformedError

ID_FIELDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")
SPANS = (("resourceSpans", "resource_spans"), ("scopeSpans", "scope_spans"), ("spans",))
RECORDS = (("resourceLogs", "resource_logs"), ("scopeLogs", "scope_logs"), ("logRecords", "log_records"))
NOT_THAT_SHAPE = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What the protobuf library raises, beside its own error, for JSON of another shape."""

Way = tuple[tuple[str, ...], ...]
"""Which fields lead to the objects that have ids, with all their spellings."""


def traces(body: bytes) -> bytes:
    """Translate an ``ExportTraceServiceRequest``; unknown fields are ignored, ids are hex, as OTLP says."""
    return _translated(body, "trace", ExportTraceServiceRequest(), SPANS, (*SPANS, ("links",)))


def logs(body: bytes) -> bytes:
    """Translate an ``ExportLogsServiceRequest`` likewise."""
    return _translated(body, "logs", ExportLogsServiceRequest(), RECORDS)


def metrics(body: bytes) -> bytes:
    """Translate an ``ExportMetricsServiceRequest`` likewise."""
    return _translated(body, "metrics", ExportMetricsServiceRequest())


def _translated(body: bytes, signal: str, into: Message, *ways: Way) -> bytes:
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as trouble:
        raise MalformedError(f"not JSON: {trouble}") from trouble
    try:
        for way in ways:
            found = [request]
            for names in way:
                found = [child for parent in found for child in _each(parent, *names)]
            for one in found:
                _translate_ids(one)
        return bytes(json_format.ParseDict(request, into, ignore_unknown_fields=True).SerializeToString())
    except (json_format.Error, *NOT_THAT_SHAPE) as trouble:
        raise MalformedError(f"not an OTLP {signal} request: {trouble}"[:500]) from trouble


def _each(parent: Any, *names: str) -> list[Any]:
    if not isinstance(parent, dict):
        raise TypeError(f"an object was expected, not {type(parent).__name__}")
    found: Any = next((parent[name] for name in names if parent.get(name) is not None), [])
    if not isinstance(found, list):
        raise TypeError(f"{names[0]} must be a list, not {type(found).__name__}")
    return found


def _translate_ids(one: Any) -> None:
    if not isinstance(one, dict):
        raise TypeError(f"an object was expected, not {type(one).__name__}")
    for field in ID_FIELDS:
        if field in one:
            try:
                one[field] = base64.b64encode(binascii.unhexlify(one[field])).decode()
            except (binascii.Error, TypeError, ValueError):
                raise ValueError(f"{field} must be hexadecimal, not {str(one[field])[:50]!r}") from None
