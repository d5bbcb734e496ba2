"""Envoy's messages from a private descriptor pool, so that nothing else's ``envoy`` or ``google`` package is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.json_format import ParseError
from google.protobuf.message import Message

from mesh_runtime.xds import newer
from mesh_runtime.xds.building import UnusualError, build

__all__ = ["ParseError", "any_of", "content", "merge", "message", "message_class", "option", "pack", "plain"]

TYPE_PREFIX = "type.googleapis.com/"

CLUSTER = "envoy.config.cluster.v3.Cluster"
ENDPOINTS = "envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a message's name
LISTENER = "envoy.config.listener.v3.Listener"
ROUTES = "envoy.config.route.v3.RouteConfiguration"
VIRTUAL_HOST = "envoy.config.route.v3.VirtualHost"
MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
DURATION = "google.protobuf.Duration"
ANY = "google.protobuf.Any"
DELTA_REQUEST = "envoy.service.discovery.v3.DeltaDiscoveryRequest"
DELTA_RESPONSE = "envoy.service.discovery.v3.DeltaDiscoveryResponse"


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    """Load the build's descriptor set once (about 30 ms)."""
    files = descriptor_pb2.FileDescriptorSet.FromString(
        resources.files("mesh_runtime.xds").joinpath("envoy.fds").read_bytes()
    )
    newer.complete(files)
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


@cache
def message_class(name: str) -> type[Message]:
    """Return the class of a message by its full name; an unknown name is a :class:`KeyError`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


def message(name: str, fields: Mapping[str, Any]) -> Any:
    """Build a message from its JSON form. An unknown or mistyped field is a :class:`ParseError`."""
    try:
        return json_format.ParseDict(dict(fields), message_class(name)(), descriptor_pool=_pool())
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # what the parser itself stumbles over
        raise ParseError(f"is not the JSON of {name}") from error


def with_durations(name: str, written: Any, read: Callable[[str], str]) -> Any:
    """Return a message's JSON form with each duration that is text, also in what an ``Any`` holds, as *read* has it."""
    try:
        return _with_durations(message_class(name).DESCRIPTOR, written, read)
    except KeyError:  # the parser will say so, and where
        return written


def _with_durations(kind: Any, written: Any, read: Callable[[str], str]) -> Any:
    if isinstance(written, list):
        return [_with_durations(kind, item, read) for item in written]
    if isinstance(written, str) and kind.full_name == DURATION:
        return read(written)
    if not isinstance(written, dict):
        return written
    if kind.GetOptions().map_entry:
        held = dict.fromkeys(written, kind.fields_by_name["value"])
    elif kind.full_name == ANY:
        return with_durations(str(written.get("@type")).rpartition("/")[2], written, read)
    else:
        held = {name: field for field in kind.fields for name in (field.name, field.json_name)}
    kinds = {name: field.message_type for name, field in held.items()}
    return {
        name: _with_durations(kinds[name], item, read) if kinds.get(name) else item for name, item in written.items()
    }


def pack(name: str, content: Mapping[str, Any]) -> bytes:
    """Return the bytes of a message in its JSON form; what is wrong with that is a :class:`ParseError`."""
    try:
        built = build(message_class(name), content)
    except UnusualError:
        built = message(name, content)
    return built.SerializeToString(deterministic=True)


def plain(built: Message) -> dict[str, Any]:
    """Return a message's JSON form, with the names of its ``.proto`` file."""
    return json_format.MessageToDict(built, preserving_proto_field_name=True, descriptor_pool=_pool())


def content(packed: Any) -> Any:
    """Return what an ``Any`` holds; ``None``: nothing, or of a type that is not in Envoy's API."""
    try:
        kind = message_class(packed.type_url.rpartition("/")[2])
    except KeyError:
        return None
    return kind.FromString(packed.value)


def merge(into: Any, added: Message, *, replace_lists: bool = False) -> None:
    """Merge a message into another as Istio does.

    Fields that are set replace, lists are appended (or replaced), maps get entries, messages are merged inside;
    durations and what an ``Any`` holds are replaced whole.
    """
    for field, value in added.ListFields():
        if field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry:
            _merge_map(getattr(into, field.name), value, field.message_type.fields_by_name["value"])
        elif field.is_repeated:
            if replace_lists:
                into.ClearField(field.name)
            getattr(into, field.name).extend(value)
        elif field.message_type is None:
            setattr(into, field.name, value)
        elif field.message_type.full_name in _WHOLE:
            getattr(into, field.name).CopyFrom(value)
        else:
            getattr(into, field.name).SetInParent()
            merge(getattr(into, field.name), value, replace_lists=replace_lists)


_WHOLE = frozenset({DURATION, ANY})


def _merge_map(into: Any, added: Any, value_field: Any) -> None:
    for key, value in added.items():
        if value_field.message_type is None:
            into[key] = value
        else:
            into[key].CopyFrom(value)


def option(described: Any, kind: str, name: str) -> Any:
    """Return an extension among the options of a field or another part of a message; ``None``: it has none."""
    extension = _pool().FindExtensionByName(name)
    options: Any = message_class(f"google.protobuf.{kind}").FromString(described.GetOptions().SerializeToString())
    return options.Extensions[extension] if options.HasExtension(extension) else None


def any_of(name: str, **content: Any) -> dict[str, Any]:
    """Return the JSON form of an ``Any`` that holds the named message."""
    return {"@type": TYPE_PREFIX + name, **content}
