"""OTLP's trace messages with just the fields that edges are made of; everything deeper stays bytes.

Most of the time of a plain decode goes into Python objects for attributes that nobody looks at. Here resource,
attributes, links and status are bytes (protobuf allows to read a message field as such). ``Whole`` reads a request in
one go; ``Request`` and what is below it, which is the same for every signal, leave the levels above the spans bytes,
too, so that a large request cannot blow up into millions of empty messages before they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from collectors.otlp.limits import TooLargeError
from collectors.protobuf import messages

_CLASSES = messages(
    "meshscope.spans",
    {
        "Whole": [(1, "resource_spans", "*WholeResource")],
        # One, where many may come: protobuf puts them together then, and one list has the spans of all scopes.
        "WholeResource": [(1, "resource", "bytes"), (2, "scope_spans", "ScopeSpans")],
        "Request": [(1, "resources", "*bytes")],
        "Resource": [(1, "resource", "bytes"), (2, "scopes", "*bytes")],
        "Count": [(2, "spans", "*bytes")],
        "ScopeSpans": [(2, "spans", "*Span")],
        "Link": [(1, "trace_id", "bytes"), (2, "span_id", "bytes")],
        "Span": [
            (1, "trace_id", "bytes"),
            (2, "span_id", "bytes"),
            (3, "trace_state", "bytes"),
            (4, "parent_span_id", "bytes"),
            (5, "name", "bytes"),
            (6, "kind", "int32"),
            (7, "start", "fixed64"),
            (8, "end", "fixed64"),
            (9, "attributes", "*bytes"),
            (11, "events", "*bytes"),
            (13, "links", "*bytes"),
            (15, "status", "bytes"),
        ],
    },
)
Whole, WholeResource, Request, Resource, Count, ScopeSpans, Link = (
    _CLASSES[name] for name in ("Whole", "WholeResource", "Request", "Resource", "Count", "ScopeSpans", "Link")
)


def resources(data: bytes, most: int) -> Iterator[tuple[bytes, Sequence[bytes]]]:
    """Yield each resource of a request of any signal, and its scopes, all encoded.

    Raises :class:`TooLargeError` for more than *most* resources, before they take memory.
    """
    parts = Request.FromString(data).resources
    if len(parts) > most:
        raise TooLargeError(f"{len(parts)} resources in one request; {most} are taken")
    for part in parts:
        found = Resource.FromString(part)
        yield found.resource, found.scopes


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
