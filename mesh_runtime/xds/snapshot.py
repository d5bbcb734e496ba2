"""What one proxy is to have: resources packed once, versioned by content, consistent before they are served."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from mesh_runtime.xds import protos

Envoy = Mapping[str, Any]
"""An Envoy resource in its JSON form. Never changed once built: proxies share it."""

NOWHERE = "BlackHoleCluster"
"""The one cluster that routes may name though it never exists: what leads there is answered and counted."""


class Kind(StrEnum):
    """The xDS types, in the order in which they are pushed."""

    CDS = "CDS"
    EDS = "EDS"
    SDS = "SDS"
    LDS = "LDS"
    RDS = "RDS"

    @property
    def message(self) -> str:
        """The full name of the resource's message."""
        return _MESSAGES[self]

    @property
    def type_url(self) -> str:
        """The type on the wire."""
        return protos.TYPE_PREFIX + self.message


_MESSAGES = {
    Kind.CDS: protos.CLUSTER,
    Kind.EDS: protos.ENDPOINTS,
    Kind.SDS: protos.SECRET,
    Kind.LDS: protos.LISTENER,
    Kind.RDS: protos.ROUTES,
}
KIND_OF_TYPE = {kind.type_url: kind for kind in Kind}


class Reference(NamedTuple):
    """One resource's need of another."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """One resource, ready to send."""

    name: str
    version: str
    """A hash of the content: the same after a restart of the control plane."""
    wire: bytes
    """A serialized DeltaDiscoveryResponse with this resource alone: concatenating them makes a larger one."""
    needs: frozenset[Reference]
    content: Envoy = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything one proxy is to have, at one revision of the config."""

    revision: int
    resources: Mapping[Kind, Mapping[str, Packed]]


class InconsistentSnapshotError(Exception):
    """A resource needs another that is not there, or two share a name. It was not served."""


class Packer:
    """Packs each distinct resource once, however many proxies and pushes share it.

    Call :meth:`begin` at the start of each push: what neither this push nor the one before it used is let go.
    """

    def __init__(self) -> None:
        self._recent: dict[tuple[Kind, bytes], Packed] = {}
        self._current: dict[tuple[Kind, bytes], Packed] = {}
        self._same_object: dict[int, tuple[Envoy, Packed]] = {}

    def begin(self) -> None:
        """Start a push."""
        self._recent, self._current = self._current, {}
        self._same_object = {}

    def snapshot(self, revision: int, resources: Mapping[Kind, Iterable[Envoy]]) -> Snapshot:
        """Pack what one proxy is to have; a dangling reference is an :class:`InconsistentSnapshotError`."""
        packed = {kind: self._named(kind, resources.get(kind, ())) for kind in Kind}
        dangling = sorted(
            f"{kind} {resource.name} needs {need.kind} {need.name}"
            for kind, by_name in packed.items()
            for resource in by_name.values()
            for need in resource.needs
            if need.name not in packed[need.kind] and need.name != NOWHERE
        )
        if dangling:
            raise InconsistentSnapshotError(f"{'; '.join(dangling)}: not there")
        return Snapshot(revision=revision, resources=packed)

    def _named(self, kind: Kind, contents: Iterable[Envoy]) -> dict[str, Packed]:
        by_name: dict[str, Packed] = {}
        for content in contents:
            resource = self._pack(kind, content)
            if resource.name in by_name:
                raise InconsistentSnapshotError(f"{kind} {resource.name} is there twice")
            by_name[resource.name] = resource
        return by_name

    def _pack(self, kind: Kind, content: Envoy) -> Packed:
        known = self._same_object.get(id(content))
        if known is not None:
            return known[1]
        key = kind, _canonical(content)
        packed = self._current.get(key) or self._recent.get(key) or pack(kind, content)
        self._current[key] = packed
        self._same_object[id(content)] = content, packed  # holding the object keeps its id its own
        return packed


def pack(kind: Kind, content: Envoy) -> Packed:
    """Pack one resource. What Envoy's API does not have in it is an :class:`InconsistentSnapshotError`."""
    name = content["cluster_name"] if kind is Kind.EDS else content["name"]
    try:
        value = protos.pack(kind.message, content)
    except protos.ParseError as error:
        raise InconsistentSnapshotError(f"{kind} {name}: {str(error).splitlines()[0]}") from error
    # Not of the packed bytes: inside an Any the order of a map is any, too.
    version = hashlib.blake2b(_canonical(content), digest_size=8).hexdigest()
    response = protos.message_class(protos.DELTA_RESPONSE)()
    resource = response.resources.add(name=name, version=version)  # type: ignore[attr-defined]
    resource.resource.type_url = kind.type_url
    resource.resource.value = value
    return Packed(
        name=name,
        version=version,
        wire=response.SerializeToString(deterministic=True),
        needs=frozenset(_needs(kind, content)),
        content=content,
    )


def _canonical(content: Envoy) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def _needs(kind: Kind, content: Envoy) -> Iterator[Reference]:
    if kind is Kind.CDS and content.get("type") == "EDS":
        yield Reference(Kind.EDS, content["name"])
    if kind is Kind.EDS:
        yield Reference(Kind.CDS, content["cluster_name"])
    else:
        yield from _references(content)


def _references(value: Any) -> Iterator[Reference]:
    """Find what a resource names, wherever in it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            match key:
                case "cluster" if isinstance(inner, str):
                    yield Reference(Kind.CDS, inner)
                case "weighted_clusters":
                    yield from (Reference(Kind.CDS, choice["name"]) for choice in inner["clusters"])
                case "route_config_name":
                    yield Reference(Kind.RDS, inner)
                case "tls_certificate_sds_secret_configs":
                    yield from (Reference(Kind.SDS, secret["name"]) for secret in inner)
                case "validation_context_sds_secret_config":
                    yield Reference(Kind.SDS, inner["name"])
                case "metadata" | "filter_metadata":
                    pass
                case _:
                    yield from _references(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _references(inner)
