"""Envoy's messages from a private descriptor pool, so that nothing else's ``envoy`` or ``google`` package is touched."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.json_format import ParseError
from google.protobuf.message import Message

__all__ = ["ParseError", "any_of", "message", "message_class", "pack"]

TYPE_PREFIX = "type.googleapis.com/"

CLUSTER = "envoy.config.cluster.v3.Cluster"
ENDPOINTS = "envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a message's name
LISTENER = "envoy.config.listener.v3.Listener"
ROUTES = "envoy.config.route.v3.RouteConfiguration"
BOOTSTRAP = "envoy.config.bootstrap.v3.Bootstrap"
DELTA_REQUEST = "envoy.service.discovery.v3.DeltaDiscoveryRequest"
DELTA_RESPONSE = "envoy.service.discovery.v3.DeltaDiscoveryResponse"


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    """Load the build's descriptor set once (about 30 ms)."""
    files = descriptor_pb2.FileDescriptorSet.FromString(
        resources.files("mesh_runtime.xds").joinpath("envoy.fds").read_bytes()
    )
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
    return json_format.ParseDict(dict(fields), message_class(name)(), descriptor_pool=_pool())


def pack(name: str, content: Mapping[str, Any]) -> bytes:
    """Return a message's bytes."""
    return message(name, content).SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def any_of(name: str, **content: Any) -> dict[str, Any]:
    """Return the JSON form of an ``Any`` that holds the named message."""
    return {"@type": TYPE_PREFIX + name, **content}
