"""OTLP's trace messages with just the fields that edges are made of; everything deeper stays bytes.

Most of the time of a plain decode goes into Python objects for attributes that nobody looks at. Here resource,
attributes, links and status are bytes (protobuf allows to read a message field as such). ``Whole`` reads a request in
one go; ``Request`` and what is below it leave the levels above the spans bytes, too, so that a large request cannot
blow up into millions of empty messages before they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

Field = descriptor_pb2.FieldDescriptorProto

MESSAGES: dict[str, list[tuple[int, str, int | str, bool]]] = {
    # Each field: number, name, type (a name: one of these messages), whether it repeats.
    "Whole": [(1, "resource_spans", "WholeResource", True)],
    # One, where many may come: protobuf puts them together then, and one list has the spans of all scopes.
    "WholeResource": [(1, "resource", Field.TYPE_BYTES, False), (2, "scope_spans", "ScopeSpans", False)],
    "Request": [(1, "resource_spans", Field.TYPE_BYTES, True)],
    "ResourceSpans": [(1, "resource", Field.TYPE_BYTES, False), (2, "scope_spans", Field.TYPE_BYTES, True)],
    "Count": [(2, "spans", Field.TYPE_BYTES, True)],
    "ScopeSpans": [(2, "spans", "Span", True)],
    "Link": [(1, "trace_id", Field.TYPE_BYTES, False), (2, "span_id", Field.TYPE_BYTES, False)],
    "Span": [
        (1, "trace_id", Field.TYPE_BYTES, False),
        (2, "span_id", Field.TYPE_BYTES, False),
        (3, "trace_state", Field.TYPE_BYTES, False),
        (4, "parent_span_id", Field.TYPE_BYTES, False),
        (5, "name", Field.TYPE_BYTES, False),
        (6, "kind", Field.TYPE_INT32, False),
        (7, "start", Field.TYPE_FIXED64, False),
        (8, "end", Field.TYPE_FIXED64, False),
        (9, "attributes", Field.TYPE_BYTES, True),
        (11, "events", Field.TYPE_BYTES, True),
        (13, "links", Field.TYPE_BYTES, True),
        (15, "status", Field.TYPE_BYTES, False),
    ],
}


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="meshscope/spans.proto", package="meshscope.spans", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field, type_, repeated in fields:
            message.field.add(
                name=field,
                number=number,
                type=Field.TYPE_MESSAGE if isinstance(type_, str) else type_,
                label=Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL,
                type_name=f".meshscope.spans.{type_}" if isinstance(type_, str) else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"meshscope.spans.{name}"))
        for name in MESSAGES
    }


_CLASSES = _messages()
Request, ResourceSpans, Count, ScopeSpans, Whole, WholeResource, Link = (
    _CLASSES[name] for name in ("Request", "ResourceSpans", "Count", "ScopeSpans", "Whole", "WholeResource", "Link")
)


def key_value(attribute: bytes) -> tuple[str, str] | None:
    """Decode a ``KeyValue``; ``None`` when it is malformed."""
    try:
        pair = KeyValue.FromString(attribute)
    except DecodeError:
        return None
    return pair.key, text(pair.value)


def attributes(encoded: Iterator[bytes] | list[bytes]) -> dict[str, str]:
    """Decode a span's, an event's or a resource's attributes; malformed ones are left out."""
    return dict(pair for pair in map(key_value, encoded) if pair)


def text(value: AnyValue) -> str:
    """Write an attribute's value as a reader expects it."""
    match value.WhichOneof("value"):
        case "string_value":
            return str(value.string_value)
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "int_value":
            return str(value.int_value)
        case "double_value":
            return repr(value.double_value)
        case "bytes_value":
            return str(value.bytes_value.hex())
        case "array_value":
            return "[" + ", ".join(text(one) for one in value.array_value.values) + "]"
        case "kvlist_value":
            return "{" + ", ".join(f"{one.key}: {text(one.value)}" for one in value.kvlist_value.values) + "}"
        case _:
            return ""
