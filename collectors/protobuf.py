"""Protobuf messages with just the fields that are looked at, made at import; everything deeper stays bytes.

So a small request cannot blow up into millions of empty messages before they are counted, and no package of
generated code is needed for the few fields of a protocol that matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Field = descriptor_pb2.FieldDescriptorProto
TYPES = {
    "bytes": Field.TYPE_BYTES,
    "bool": Field.TYPE_BOOL,
    "int32": Field.TYPE_INT32,
    "uint32": Field.TYPE_UINT32,
    "uint64": Field.TYPE_UINT64,
    "int64": Field.TYPE_INT64,
    "sint32": Field.TYPE_SINT32,
    "sint64": Field.TYPE_SINT64,
    "fixed64": Field.TYPE_FIXED64,
    "double": Field.TYPE_DOUBLE,
}
REPEATED = "*"

Shape = Sequence[tuple[int, str, str]]
"""Fields as (number, name, type); a type is one of :data:`TYPES` or a message of the same call, ``*`` before it repeats."""


def messages(package: str, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Make message classes. Text is to be read as bytes: proto3 refuses a whole message for one bad letter."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for number, field, type_ in fields:
            kind = type_.removeprefix(REPEATED)
            message.field.add(
                name=field,
                number=number,
                type=TYPES.get(kind, Field.TYPE_MESSAGE),
                label=Field.LABEL_REPEATED if type_.startswith(REPEATED) else Field.LABEL_OPTIONAL,
                type_name=None if kind in TYPES else f".{package}.{kind}",
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in shapes}
