"""OTLP's JSON form to its protobuf form."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.otlp.limits import MalformedError

ID_FIELDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")
NOT_THAT_SHAPE = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What the protobuf library raises, beside its own error, for JSON of another shape."""


def to_protobuf(body: bytes) -> bytes:
    """Translate an ``ExportTraceServiceRequest``; unknown fields are ignored, ids are hex, as OTLP says."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as trouble:
        raise MalformedError(f"not JSON: {trouble}") from trouble
    try:
        for resource in _each(request, "resourceSpans", "resource_spans"):
            for scope in _each(resource, "scopeSpans", "scope_spans"):
                for span in _each(scope, "spans"):
                    _translate_ids(span)
                    for link in _each(span, "links"):
                        _translate_ids(link)
        message = json_format.ParseDict(request, ExportTraceServiceRequest(), ignore_unknown_fields=True)
        return bytes(message.SerializeToString())
    except (json_format.Error, *NOT_THAT_SHAPE) as trouble:
        raise MalformedError(f"not an OTLP trace request: {trouble}"[:500]) from trouble


def _each(parent: Any, *names: str) -> list[Any]:
    if not isinstance(parent, dict):
        raise TypeError(f"an object was expected, not {type(parent).__name__}")
    found: Any = next((parent[name] for name in names if parent.get(name) is not None), [])
    if not isinstance(found, list):
        raise TypeError(f"{names[0]} must be a list, not {type(found).__name__}")
    return found


def _translate_ids(span: Any) -> None:
    if not isinstance(span, dict):
        raise TypeError(f"an object was expected, not {type(span).__name__}")
    for field in ID_FIELDS:
        if field in span:
            try:
                span[field] = base64.b64encode(binascii.unhexlify(span[field])).decode()
            except (binascii.Error, TypeError, ValueError):
                raise ValueError(f"{field} must be hexadecimal, not {str(span[field])[:50]!r}") from None
