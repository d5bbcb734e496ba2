"""What one proxy is to have: resources packed once, versioned by content, consistent before they are served."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain, combinations
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

import orjson

from mesh_runtime.xds import protos

Envoy = Mapping[str, Any]
"""An Envoy resource in its JSON form. Never changed once built: proxies share it."""
Group = tuple["Envoy | Group", ...]
"""Resources of one type that belong together. Proxies share the group itself where they can.

A large one is made of smaller ones, so that a change in it costs no more than the smaller one where it is.
"""

NOWHERE = "BlackHoleCluster"
"""The one cluster that routes may name though it never exists: what leads there is answered and counted."""
RELAY = "fluentd"
"""A cluster of every bootstrap, and the internal listener it leads to: Envoy sends to Fluentd by such a one only."""


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
    wire: bytes
    """A serialized DeltaDiscoveryResponse with this resource alone: concatenating them makes a larger one."""
    needs: frozenset[Reference]
    content: Envoy = field(repr=False)
    hosts: tuple[Part, ...] = field(repr=False)
    """The virtual hosts that it was joined from; they live as long as it does."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Part:
    """A resource, or one virtual host of a resource with routes."""

    content: Envoy
    value: bytes
    """Its message, serialized. Messages of one type join by their bytes."""
    digest: bytes
    needs: frozenset[Reference]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class PackedGroup:
    """Resources that are packed together, once for all proxies that share them."""

    contents: Group
    named: Mapping[str, Packed]
    needs: Mapping[Kind, frozenset[str]]
    groups: tuple[PackedGroup, ...] = ()
    """What it is made of, if it is made of smaller ones."""
    _lacking: WeakKeyDictionary[PackedGroup, frozenset[str]] = field(default_factory=WeakKeyDictionary)
    _changed: WeakKeyDictionary[PackedGroup, tuple[str, ...]] = field(default_factory=WeakKeyDictionary)

    def lacking(self, kind: Kind, offered: PackedGroup) -> frozenset[str]:
        """Name what this needs of a kind and the group, which is of that kind, does not have."""
        if offered not in self._lacking:
            self._lacking[offered] = self.needs.get(kind, frozenset()) - offered.named.keys()
        return self._lacking[offered]

    def changed_since(self, old: PackedGroup) -> tuple[str, ...]:
        """Name what is new, other or gone in comparison to an older group."""
        if old not in self._changed:
            new = [name for name in self._not_of(old) if old.named.get(name) is not self.named[name]]
            gone = sorted(name for name in old._not_of(self) if name not in self.named)
            self._changed[old] = (*new, *gone)
        return self._changed[old]

    def _not_of(self, other: PackedGroup) -> Iterable[str]:
        """Name what this has, without the smaller groups that both share."""
        if not self.groups:
            return self.named
        shared = set(other.groups)
        return chain.from_iterable(group.named for group in self.groups if group not in shared)


class Offer(Mapping[str, Packed]):
    """All resources of one type that one proxy is to have, by name, as groups that proxies share."""

    __slots__ = ("contents", "groups")

    def __init__(self, groups: tuple[PackedGroup, ...], contents: Sequence[Group] = ()) -> None:
        self.groups = groups
        self.contents = contents or tuple(group.contents for group in groups)

    def __getitem__(self, name: str) -> Packed:
        for group in self.groups:
            if name in group.named:
                return group.named[name]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(name in group.named for group in self.groups)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(group.named for group in self.groups)

    def __len__(self) -> int:
        return sum(len(group.named) for group in self.groups)

    def is_of(self, contents: Sequence[Group]) -> bool:
        """Whether it was made of these very groups."""
        if contents is self.contents:
            return True
        return len(contents) == len(self.contents) and all(map(operator.is_, self.contents, contents))

    def changed_since(self, old: Offer) -> Iterable[str]:
        """Name at least what is new, other or gone in comparison to an older offer."""
        if len(self.groups) != len(old.groups):
            return (*self, *old)
        pairs = zip(self.groups, old.groups, strict=True)
        return [name for mine, theirs in pairs if mine is not theirs for name in mine.changed_since(theirs)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything one proxy is to have, at one revision of the config."""

    revision: int
    resources: Mapping[Kind, Offer]


class InconsistentSnapshotError(Exception):
    """A resource needs another that is not there, or two share a name. It was not served."""


class Packer:
    """Packs each distinct resource once, however many proxies and pushes share it.

    What is the same object as before is not looked at again, and what is equal is not packed again, as long as some
    snapshot is kept that has it.
    """

    def __init__(self) -> None:
        # By identity, which is its own as long as what is found holds the object.
        self._groups = WeakValueDictionary[tuple[Kind, int], PackedGroup]()
        self._same = WeakValueDictionary[tuple[Kind, int], Packed]()
        self._hosts = WeakValueDictionary[int, Part]()
        # By content.
        self._equal = WeakValueDictionary[tuple[Kind, str, str], Packed]()
        self._equal_hosts = WeakValueDictionary[bytes, Part]()

    def snapshot(
        self, revision: int, resources: Mapping[Kind, Sequence[Group]], before: Snapshot | None = None
    ) -> Snapshot:
        """Pack what one proxy is to have; a dangling reference is an :class:`InconsistentSnapshotError`.

        Where it had the same groups *before*, its offer stays the same object, and is not checked again.
        """
        offers: dict[Kind, Offer] = {}
        fresh: list[Kind] = []
        for kind in Kind:
            groups = resources.get(kind, ())
            known = before.resources[kind] if before else None
            if known is not None and known.is_of(groups):
                offers[kind] = known
            else:
                fresh.append(kind)
                offers[kind] = Offer(tuple(self._group(kind, one) for one in groups), groups)
                _refuse_twice(kind, offers[kind])
        missing = sorted(set(_missing(offers, fresh)))
        if missing:
            raise InconsistentSnapshotError("; ".join(_dangling(offers, missing)))
        return Snapshot(revision=revision, resources=offers)

    def _group(self, kind: Kind, contents: Group) -> PackedGroup:
        group = self._groups.get((kind, id(contents)))
        if group is None:
            smaller = [one for one in contents if isinstance(one, tuple)]
            if smaller:
                group = _joined(kind, contents, tuple(self._group(kind, one) for one in smaller))
            else:
                group = _grouped(kind, contents, [self._pack(kind, one) for one in each_of((contents,))])
            self._groups[kind, id(contents)] = group
        return group

    def _pack(self, kind: Kind, content: Envoy) -> Packed:
        packed = self._same.get((kind, id(content)))
        if packed is None:
            parts = tuple(_parts(kind, content, self._host))
            key = kind, _name(kind, content), _version(parts)
            equal = self._equal.get(key)
            packed = replace(equal, content=content, hosts=parts[1:]) if equal else _packed(kind, content, parts)
            self._equal[key] = self._same[kind, id(content)] = packed
        return packed

    def _host(self, host: Envoy) -> Part:
        part = self._hosts.get(id(host))
        if part is None:
            digest = _digest(host)
            equal = self._equal_hosts.get(digest)
            part = _host_part(host) if equal is None else replace(equal, content=host)
            self._equal_hosts[digest] = self._hosts[id(host)] = part
        return part


def vhds_name(table: str, host: str) -> str:
    """Name a virtual host of a table as a resource: what is before the last slash tells Envoy the table."""
    return f"{table}/{host.replace('/', '_')}"


def whole_tables(tables: Iterable[Envoy], hosts: Iterable[Envoy]) -> Iterator[Envoy]:
    """Yield tables of routes with the virtual hosts in them that are sent by themselves, under their own names."""
    found: dict[str, list[Envoy]] = {}
    for host in hosts:
        table, _, name = host["name"].rpartition("/")
        found.setdefault(table, []).append({**host, "name": name})
    for one in tables:
        yield {**one, "virtual_hosts": found.get(one["name"], [])} if "vhds" in one else one


def split_table(table: Envoy) -> tuple[Envoy, Group]:
    """Return what is sent of a whole table, and the virtual hosts that are sent by themselves."""
    if "vhds" not in table:
        return table, ()
    name, hosts = table["name"], table.get("virtual_hosts", ())
    # Envoy would wait for virtual hosts where there are to be none.
    kept = {field: value for field, value in table.items() if field not in {"virtual_hosts", "vhds"}}
    if not hosts:
        return kept, ()
    return {**kept, "vhds": table["vhds"]}, tuple({**host, "name": vhds_name(name, host["name"])} for host in hosts)


def each_of(groups: Iterable[Group]) -> Iterator[Envoy]:
    """Yield the resources of groups, in order."""
    for group in groups:
        for one in group:
            if isinstance(one, tuple):
                yield from each_of((one,))
            else:
                yield one


def _grouped(kind: Kind, contents: Group, found: Sequence[Packed]) -> PackedGroup:
    named = {packed.name: packed for packed in found}
    if len(named) < len(found):
        raise _twice(kind, [packed.name for packed in found])
    needs: dict[Kind, set[str]] = {}
    for packed in found:
        for need in packed.needs:
            needs.setdefault(need.kind, set()).add(need.name)
    return PackedGroup(contents=contents, named=named, needs={kind: frozenset(names) for kind, names in needs.items()})


def _joined(kind: Kind, contents: Group, groups: tuple[PackedGroup, ...]) -> PackedGroup:
    named: dict[str, Packed] = {}
    for group in groups:
        named.update(group.named)
    if len(named) < sum(len(group.named) for group in groups):
        raise _twice(kind, [name for group in groups for name in group.named])
    kinds = {kind for group in groups for kind in group.needs}
    needs = {kind: frozenset().union(*(group.needs.get(kind, ()) for group in groups)) for kind in kinds}
    return PackedGroup(contents=contents, named=named, needs=needs, groups=groups)


def _refuse_twice(kind: Kind, offer: Offer) -> None:
    pairs = combinations(offer.groups, 2)
    if not all(one.named.keys().isdisjoint(other.named.keys()) for one, other in pairs):
        raise _twice(kind, list(offer))


def _twice(kind: Kind, names: Sequence[str]) -> InconsistentSnapshotError:
    repeated = sorted({name for name in names if names.count(name) > 1})
    return InconsistentSnapshotError(f"{kind} {', '.join(repeated)} is there twice")


def _missing(offers: Mapping[Kind, Offer], fresh: Collection[Kind]) -> Iterator[Reference]:
    """Yield what is needed and nobody offers, where either of both is fresh."""
    for kind, offer in offers.items():
        for group in offer.groups:
            for needed in group.needs:
                if kind in fresh or needed in fresh:
                    yield from _missing_of(group, needed, offers[needed])


def _missing_of(group: PackedGroup, kind: Kind, offer: Offer) -> Iterator[Reference]:
    """Yield what a group needs of an offer that is not in it. What the largest group offers was found out before."""
    largest = max(offer.groups, key=_size, default=None)
    left = group.needs[kind] if largest is None else group.lacking(kind, largest)
    yield from (Reference(kind, name) for name in left if name not in offer and name not in (NOWHERE, RELAY))


def _size(group: PackedGroup) -> int:
    return len(group.named)


def _dangling(offers: Mapping[Kind, Offer], missing: Sequence[Reference]) -> Iterator[str]:
    for need in missing:
        for kind, offer in offers.items():
            for resource in offer.values():
                if need in resource.needs:
                    yield f"{kind} {resource.name} needs {need.kind} {need.name}, which is not there"


def pack(kind: Kind, content: Envoy) -> Packed:
    """Pack one resource. What Envoy's API does not have in it is an :class:`InconsistentSnapshotError`."""
    return _packed(kind, content, tuple(_parts(kind, content, _host_part)))


def _packed(kind: Kind, content: Envoy, parts: tuple[Part, ...]) -> Packed:
    name, version = _name(kind, content), _version(parts)
    response = protos.message_class(protos.DELTA_RESPONSE)()
    resource = response.resources.add(name=name, version=version)  # type: ignore[attr-defined]
    resource.resource.type_url = kind.type_url
    resource.resource.value = b"".join(part.value for part in parts)
    return Packed(
        name=name,
        version=version,
        wire=response.SerializeToString(deterministic=True),
        needs=frozenset().union(*(part.needs for part in parts)),
        content=content,
        hosts=parts[1:],
    )


def _name(kind: Kind, content: Envoy) -> str:
    name: str = content["cluster_name"] if kind is Kind.EDS else content["name"]
    return name


def _version(parts: Sequence[Part]) -> str:
    return hashlib.blake2b(b"".join(part.digest for part in parts), digest_size=8).hexdigest()


def _parts(kind: Kind, content: Envoy, host: Callable[[Envoy], Part]) -> Iterator[Part]:
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
        raise InconsistentSnapshotError(f"{kind} {_name(kind, content)}: {str(error).splitlines()[0]}") from error
    return Part(
        content=content,
        value=value,
        digest=_digest(content),
        needs=frozenset(_needs(kind, content)),
    )


def _host_part(host: Envoy) -> Part:
    return _part(Kind.RDS, host, {"virtual_hosts": [host]})


def _digest(content: Envoy) -> bytes:
    # Not of the packed bytes: inside an Any the order of a map is any, too.
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


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
                case _:
                    yield from _references(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _references(inner)
