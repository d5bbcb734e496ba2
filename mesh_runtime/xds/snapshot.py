"""What one proxy is to have: resources packed once, versioned by content, consistent before they are served."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from mesh_runtime.xds import protos

Envoy = Mapping[str, Any]
"""An Envoy resource in its JSON form. Never changed once built: proxies share it."""
Group = tuple[Envoy, ...]
"""Resources of one type that belong together. Proxies share the group itself where they can."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _PackedGroup:
    contents: Group
    named: Mapping[str, Packed]
    needs: frozenset[Reference]


class InconsistentSnapshotError(Exception):
    """A resource needs another that is not there, or two share a name. It was not served."""


class Packer:
    """Packs each distinct resource once, however many proxies and pushes share it.

    Call :meth:`begin` at the start of each push: what neither this push nor the one before it used is let go.
    """

    def __init__(self) -> None:
        self._recent: dict[tuple[Kind, bytes], Packed] = {}
        self._current: dict[tuple[Kind, bytes], Packed] = {}
        self._groups: dict[int, _PackedGroup] = {}

    def begin(self) -> None:
        """Start a push."""
        self._recent, self._current = self._current, {}
        self._groups = {}

    def snapshot(self, revision: int, resources: Mapping[Kind, Iterable[Group]]) -> Snapshot:
        """Pack what one proxy is to have; a dangling reference is an :class:`InconsistentSnapshotError`."""
        groups = {kind: [self._group(kind, contents) for contents in resources.get(kind, ())] for kind in Kind}
        packed = {kind: _joined(kind, groups[kind]) for kind in Kind}
        needs = frozenset[Reference]().union(*(group.needs for found in groups.values() for group in found))
        missing = sorted(need for need in needs if need.name not in packed[need.kind] and need.name != NOWHERE)
        if missing:
            raise InconsistentSnapshotError("; ".join(_dangling(packed, missing)))
        return Snapshot(revision=revision, resources=packed)

    def _group(self, kind: Kind, contents: Group) -> _PackedGroup:
        known = self._groups.get(id(contents))
        if known is None:
            found = [self._pack(kind, content) for content in contents]
            named = {packed.name: packed for packed in found}
            if len(named) < len(found):
                raise _twice(kind, [packed.name for packed in found])
            needs = frozenset(need for packed in found for need in packed.needs)
            # Holding the contents keeps their id their own.
            known = self._groups[id(contents)] = _PackedGroup(contents=contents, named=named, needs=needs)
        return known

    def _pack(self, kind: Kind, content: Envoy) -> Packed:
        key = kind, _canonical(content)
        packed = self._current.get(key) or self._recent.get(key) or pack(kind, content)
        self._current[key] = packed
        return packed


def _joined(kind: Kind, groups: Sequence[_PackedGroup]) -> Mapping[str, Packed]:
    if len(groups) == 1:
        return groups[0].named
    joined = {name: packed for group in groups for name, packed in group.named.items()}
    if len(joined) < sum(len(group.named) for group in groups):
        raise _twice(kind, [name for group in groups for name in group.named])
    return joined


def _twice(kind: Kind, names: Sequence[str]) -> InconsistentSnapshotError:
    repeated = sorted({name for name in names if names.count(name) > 1})
    return InconsistentSnapshotError(f"{kind} {', '.join(repeated)} is there twice")


def _dangling(packed: Mapping[Kind, Mapping[str, Packed]], missing: Sequence[Reference]) -> Iterator[str]:
    for need in missing:
        for kind, named in packed.items():
            for resource in named.values():
                if need in resource.needs:
                    yield f"{kind} {resource.name} needs {need.kind} {need.name}, which is not there"


def pack(kind: Kind, content: Envoy) -> Packed:
    """Pack one resource. What Envoy's API does not have in it is an :class:`InconsistentSnapshotError`."""
    name = content["cluster_name"] if kind is Kind.EDS else content["name"]
    try:
        value = _value(kind, content)
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


def _value(kind: Kind, content: Envoy) -> bytes:
    """Serialize a resource; of routes only the virtual hosts that are new, since messages join by their bytes."""
    if kind is not Kind.RDS:
        return protos.pack(kind.message, content)
    head = {name: value for name, value in content.items() if name != "virtual_hosts"}
    hosts = (_virtual_host(_canonical(host)) for host in content.get("virtual_hosts", ()))
    return b"".join((protos.pack(kind.message, head), *hosts))


@lru_cache(maxsize=4096)
def _virtual_host(canonical: bytes) -> bytes:
    return protos.pack(protos.ROUTES, {"virtual_hosts": [orjson.loads(canonical)]})


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
