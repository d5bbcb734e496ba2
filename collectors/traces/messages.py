"""OTLP's trace requests down to where their spans begin; the spans themselves stay encoded."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "meshscope.traces"
Field = descriptor_pb2.FieldDescriptorProto

MESSAGES: dict[str, list[tuple[int, str, Any, bool]]] = {
    # Each field: number, name, type (or the message it holds), whether it repeats.
    "Request": [(1, "resource_spans", "ResourceSpans", True)],
    "ResourceSpans": [(1, "resource", Field.TYPE_BYTES, False), (2, "scope_spans", "ScopeSpans", True)],
    "ScopeSpans": [(1, "scope", Field.TYPE_BYTES, False), (2, "spans", Field.TYPE_BYTES, True)],
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="meshscope/traces.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field, kind, repeated in fields:
            nested = isinstance(kind, str)
            message.field.add(
                name=field,
                number=number,
                type=Field.TYPE_MESSAGE if nested else kind,
                label=Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL,
                type_name=f".{PACKAGE}.{kind}" if nested else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


Request = _classes()["Request"]
