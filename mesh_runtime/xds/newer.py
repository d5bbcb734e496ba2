"""Fields that the running Envoy (1.40) knows and the build's descriptor set does not: its source is released later.

Their numbers are those of Envoy's own API. An entry can go as soon as the build's ``xds-protos`` has the field:
it is left alone then.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

_DURATION: Final = "google.protobuf.Duration"


class _Newer(NamedTuple):
    """An optional field, and where it belongs."""

    file: str
    message: str
    """With the messages that it lies in."""
    name: str
    number: int
    kind: str = ""
    """The message that it holds; empty: it is a switch."""


_NEWER: Final = (
    _Newer(
        "envoy/config/cluster/v3/circuit_breaker.proto",
        "CircuitBreakers.Thresholds.RetryBudget",
        "budget_interval",
        3,
        _DURATION,
    ),
    _Newer(
        "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
        "HttpConnectionManager.Tracing",
        "no_context_propagation",
        13,
    ),
)
_FILES: Final = {_DURATION: "google/protobuf/duration.proto"}
"""Where the messages are that such fields hold."""


def complete(files: FileDescriptorSet) -> None:
    """Add the fields to the descriptors that lack them."""
    by_name = {file.name: file for file in files.file}
    for field in _NEWER:
        file = by_name[field.file]
        message = _message(file, field.message)
        if all(known.name != field.name for known in message.field):
            _add(file, message, field)


def _message(file: FileDescriptorProto, path: str) -> DescriptorProto:
    outer, *inner = path.split(".")
    found = next(message for message in file.message_type if message.name == outer)
    for name in inner:
        found = next(message for message in found.nested_type if message.name == name)
    return found


def _add(file: FileDescriptorProto, message: DescriptorProto, field: _Newer) -> None:
    described = message.field.add(
        name=field.name,
        number=field.number,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
        type=FieldDescriptorProto.TYPE_BOOL,
    )
    if field.kind:
        described.type = FieldDescriptorProto.TYPE_MESSAGE
        described.type_name = f".{field.kind}"
        if _FILES[field.kind] not in file.dependency:
            file.dependency.append(_FILES[field.kind])
