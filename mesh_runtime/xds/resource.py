"""One resource of Envoy's: its type, its bytes, and what it needs of others."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from mesh_runtime.xds import protos

Envoy = Mapping[str, Any]
"""An Envoy resource in its JSON form. Never changed once built: proxies share it."""


class Kind(StrEnum):
    """The xDS types, in the order in which they are pushed."""

    CDS = "CDS"
    EDS = "EDS"
    SDS = "SDS"
    LDS = "LDS"
    RDS = "RDS"
    VHDS = "VHDS"
    """The virtual hosts of tables of routes that say ``vhds``, each by itself as ``TABLE/NAME``."""

    @property
    def message(self) -> str:
        """The full name of the resource's message."""
        return _MESSAGES[self]

    @property
    def type_url(self) -> str:
        """The type on the wire."""
        return _TYPES[self]


_MESSAGES = {
    Kind.CDS: protos.CLUSTER,
    Kind.EDS: protos.ENDPOINTS,
    Kind.SDS: protos.SECRET,
    Kind.LDS: protos.LISTENER,
    Kind.RDS: protos.ROUTES,
    Kind.VHDS: protos.VIRTUAL_HOST,
}
_TYPES = {kind: protos.TYPE_PREFIX + message for kind, message in _MESSAGES.items()}
KIND_OF_TYPE = {url: kind for kind, url in _TYPES.items()}


_LARGE = 4096
"""What is larger is kept compressed. Mostly these are listeners, which each proxy has of its own and is rarely sent:
they shrink to a ninth."""


class Reference(NamedTuple):
    """One resource's need of another."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Packed:
    """One resource, ready to send."""

    name: str
    version: str
    """A hash of the content: the same after a restart of the control plane."""
    needs: frozenset[Reference]
    content: Envoy = field(repr=False)
    hosts: tuple[Part, ...] = field(repr=False)
    """The virtual hosts that it was joined from; they live as long as it does."""
    plain: bytes = field(repr=False)
    """What is sent, or nothing where it is kept compressed."""
    compressed: bytes = field(repr=False)

    @property
    def wire(self) -> bytes:
        """A serialized DeltaDiscoveryResponse with this resource alone: concatenating them makes a larger one."""
        return self.plain or zlib.decompress(self.compressed)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Part:
    """A resource, or one virtual host of a resource with routes."""

    content: Envoy
    value: bytes
    """Its message, serialized. Messages of one type join by their bytes."""
    digest: bytes
    needs: frozenset[Reference]


class InconsistentSnapshotError(Exception):
    """A resource needs another that is not there, or two share a name. It was not served."""


def pack(kind: Kind, content: Envoy) -> Packed:
    """Pack one resource. What Envoy's API does not have in it is an :class:`InconsistentSnapshotError`."""
    return joined(kind, content, tuple(parts_of(kind, content, host_part)))


def joined(kind: Kind, content: Envoy, parts: tuple[Part, ...]) -> Packed:
    """Join a resource from its parts."""
    name, version = name_of(kind, content), version_of(parts)
    response = protos.message_class(protos.DELTA_RESPONSE)()
    resource = response.resources.add(name=name, version=version)  # type: ignore[attr-defined]
    resource.resource.type_url = kind.type_url
    resource.resource.value = b"".join(part.value for part in parts)
    wire = response.SerializeToString(deterministic=True)
    large = len(wire) > _LARGE
    return Packed(
        name=name,
        version=version,
        plain=b"" if large else wire,
        compressed=zlib.compress(wire, level=1) if large else b"",
        needs=frozenset().union(*(part.needs for part in parts)),
        content=content,
        hosts=parts[1:],
    )


def name_of(kind: Kind, content: Envoy) -> str:
    """Return a resource's name."""
    name: str = content["cluster_name"] if kind is Kind.EDS else content["name"]
    return name


def version_of(parts: Sequence[Part]) -> str:
    """Return the version of what is joined from parts: a hash of their content."""
    return hashlib.blake2b(b"".join(part.digest for part in parts), digest_size=8).hexdigest()


def parts_of(kind: Kind, content: Envoy, host: Callable[[Envoy], Part]) -> Iterator[Part]:
    """Yield what a resource is joined from: of routes, what is around the virtual hosts, and each of these."""
    if kind is not Kind.RDS:
        yield _part(kind, content, content)
        return
    head = {name: value for name, value in content.items() if name != "virtual_hosts"}
    yield _part(kind, head, head)
    yield from map(host, content.get("virtual_hosts", ()))


def _part(kind: Kind, content: Envoy, fields: Envoy) -> Part:
    try:
        value = protos.pack(kind.message, fields)
    except protos.ParseError as error:
        raise InconsistentSnapshotError(f"{kind} {name_of(kind, content)}: {str(error).splitlines()[0]}") from error
    return Part(
        content=content,
        value=value,
        digest=digest_of(content),
        needs=frozenset(_needs(kind, content)),
    )


def host_part(host: Envoy) -> Part:
    """Pack one virtual host as part of the routes that have it."""
    return _part(Kind.RDS, host, {"virtual_hosts": [host]})


def digest_of(content: Envoy) -> bytes:
    """Return a hash of content, whatever the order it was written in."""
    # Not of the packed bytes: inside an Any the order of a map is any, too.
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _needs(kind: Kind, content: Envoy) -> Iterator[Reference]:
    if kind is Kind.CDS and content.get("type") == "EDS":
        yield Reference(Kind.EDS, content["name"])
    if kind is Kind.EDS:
        yield Reference(Kind.CDS, content["cluster_name"])
    else:
        yield from _references(content)


_CONTAINERS = (dict, list, tuple)


def _references(value: Any) -> Iterator[Reference]:
    """Find what a resource, or a container in it, names anywhere."""
    if isinstance(value, dict):
        for key, inner in value.items():
            match key:
                case "cluster" if isinstance(inner, str):
                    yield Reference(Kind.CDS, inner)
                case "envoy_grpc":
                    yield Reference(Kind.CDS, inner["cluster_name"])
                case "weighted_clusters":
                    yield from (Reference(Kind.CDS, choice["name"]) for choice in inner["clusters"])
                case "route_config_name":
                    yield Reference(Kind.RDS, inner)
                case "tls_certificate_sds_secret_configs":
                    yield from (Reference(Kind.SDS, secret["name"]) for secret in inner)
                case "validation_context_sds_secret_config":
                    yield Reference(Kind.SDS, inner["name"])
                case "metadata" | "filter_metadata" | "json_format" | "record":
                    pass
                case _ if isinstance(inner, _CONTAINERS):
                    yield from _references(inner)
    else:
        for inner in value:
            if isinstance(inner, _CONTAINERS):
                yield from _references(inner)
