"""What one proxy is to have: resources packed once, versioned by content, consistent before they are served."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple
from weakref import ReferenceType, WeakValueDictionary, ref

from mesh_runtime.xds.resource import (
    KIND_OF_TYPE,
    Envoy,
    InconsistentSnapshotError,
    Kind,
    Packed,
    Part,
    Reference,
    digest_of,
    host_part,
    joined,
    name_of,
    pack,
    parts_of,
    version_of,
)

__all__ = [
    "KIND_OF_TYPE",
    "NOWHERE",
    "RELAY",
    "Envoy",
    "Group",
    "InconsistentSnapshotError",
    "Kind",
    "Offer",
    "Packed",
    "Packer",
    "Snapshot",
    "each_of",
    "pack",
    "split_table",
    "vhds_name",
    "whole_tables",
]

Group = tuple["Envoy | Group", ...]
"""Resources of one type that belong together. Proxies share the group itself where they can.

A large one is made of smaller ones, so that a change in it costs no more than the smaller one where it is.
"""

NOWHERE = "BlackHoleCluster"
"""The one cluster that routes may name though it never exists: what leads there is answered and counted."""
RELAY = "fluentd"
"""A cluster of every bootstrap, and the internal listener it leads to: Envoy sends to Fluentd by such a one only."""
_ELSEWHERE = frozenset({NOWHERE, RELAY})


_MANY = 32
"""From so many names on it pays to put what they are looked for in together."""


class Difference(NamedTuple):
    """What tells a group from an older one."""

    changed: tuple[str, ...]
    """What is new, other or gone."""
    new: frozenset[str]
    """What is there once more than before."""
    gone: frozenset[str]
    needs: Mapping[Kind, frozenset[str]]
    """What nothing that it replaces needed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Run:
    """A few resources that are packed together, once for all proxies that share them."""

    contents: Group
    named: Mapping[str, Packed]
    needs: Mapping[Kind, frozenset[str]]


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class PackedGroup:
    """A packed group. Its runs are all there is to it, so that a change costs what the run costs where it is."""

    contents: Group
    runs: tuple[Run, ...]
    _since: tuple[ReferenceType[PackedGroup], Difference] | None = None
    """What it was last compared with: that is the same for all proxies but the slowest."""

    def since(self, old: PackedGroup) -> Difference:
        """Tell what is different from an older group; no name is twice in either."""
        if self._since is None or self._since[0]() is not old:
            kept = set(self.runs).intersection(old.runs)
            fresh, lost = ([run for run in group.runs if run not in kept] for group in (self, old))
            self._since = ref(old), _difference(fresh, lost)
        return self._since[1]


def _difference(fresh: Sequence[Run], lost: Sequence[Run]) -> Difference:
    had = {name: packed for run in lost for name, packed in run.named.items()}
    has = {name: packed for run in fresh for name, packed in run.named.items()}
    times = Counter(chain.from_iterable(run.named for run in fresh))
    gone = had.keys() - has
    needed = _needed(lost)
    return Difference(
        changed=(*(name for name, packed in has.items() if had.get(name) is not packed), *sorted(gone)),
        new=frozenset(name for name, count in times.items() if count > (name in had)),
        gone=frozenset(gone),
        needs={kind: more for kind, names in _needed(fresh).items() if (more := names - needed.get(kind, frozenset()))},
    )


def _needed(runs: Sequence[Run]) -> Mapping[Kind, frozenset[str]]:
    kinds = {kind for run in runs for kind in run.needs}
    return {kind: frozenset().union(*(run.needs.get(kind, ()) for run in runs)) for kind in kinds}


class Offer(Mapping[str, Packed]):
    """All resources of one type that one proxy is to have, by name, as groups that proxies share."""

    __slots__ = ("contents", "groups")

    def __init__(self, groups: tuple[PackedGroup, ...], contents: Sequence[Group] = ()) -> None:
        self.groups = groups
        self.contents = contents or tuple(group.contents for group in groups)

    @property
    def runs(self) -> Iterator[Run]:
        """All of all groups."""
        return chain.from_iterable(group.runs for group in self.groups)

    def __getitem__(self, name: str) -> Packed:
        for run in self.runs:
            if name in run.named:
                return run.named[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(run.named for run in self.runs)

    def __len__(self) -> int:
        return sum(len(run.named) for run in self.runs)

    def every(self) -> dict[str, Packed]:
        """Return all of it."""
        return dict(chain.from_iterable(run.named.items() for run in self.runs))

    def for_all(self, names: Collection[str]) -> Mapping[str, Packed]:
        """Return it in the form in which these names are found soonest."""
        return self if len(names) < _MANY else self.every()

    def is_of(self, contents: Sequence[Group]) -> bool:
        """Whether it was made of these very groups."""
        if contents is self.contents:
            return True
        return len(contents) == len(self.contents) and all(map(operator.is_, self.contents, contents))

    def since(self, old: Offer | None) -> Sequence[Difference] | None:
        """Tell group by group what is different from an older offer; ``None``: its groups are others altogether."""
        if old is None or len(self.groups) != len(old.groups):
            return None
        pairs = zip(self.groups, old.groups, strict=True)
        return [mine.since(theirs) for mine, theirs in pairs if mine is not theirs]

    def changed_since(self, old: Offer) -> Iterable[str]:
        """Name at least what is new, other or gone in comparison to an older offer."""
        found = self.since(old)
        return (*self, *old) if found is None else chain.from_iterable(one.changed for one in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything one proxy is to have, at one revision of the config."""

    revision: int
    resources: Mapping[Kind, Offer]


class Packer:
    """Packs each distinct resource once, however many proxies and pushes share it.

    What is the same object as before is not looked at again, and what is equal is not packed again, as long as some
    snapshot is kept that has it.
    """

    def __init__(self) -> None:
        # By identity, which is its own as long as what is found holds the object.
        self._groups = WeakValueDictionary[tuple[Kind, int], PackedGroup]()
        self._runs = WeakValueDictionary[tuple[Kind, int], Run]()
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
        known = before.resources if before else {}
        offers = {kind: self._offer(kind, resources.get(kind, ()), known.get(kind)) for kind in Kind}
        since = {kind: offer.since(known.get(kind)) for kind, offer in offers.items() if offer is not known.get(kind)}
        for kind, found in since.items():
            _refuse_twice(kind, offers[kind], found)
        missing = sorted(set(_missing(offers, since)))
        if missing:
            raise InconsistentSnapshotError("; ".join(_dangling(offers, missing)))
        return Snapshot(revision=revision, resources=offers)

    def _offer(self, kind: Kind, groups: Sequence[Group], known: Offer | None) -> Offer:
        if known is not None and known.is_of(groups):
            return known
        return Offer(tuple(self._group(kind, one) for one in groups), groups)

    def _group(self, kind: Kind, contents: Group) -> PackedGroup:
        group = self._groups.get((kind, id(contents)))
        if group is None:
            group = PackedGroup(contents=contents, runs=tuple(self._packed_runs(kind, contents)))
            self._groups[kind, id(contents)] = group
        return group

    def _packed_runs(self, kind: Kind, contents: Group) -> Iterator[Run]:
        """Yield the runs that a group is made of; one that is made of resources is itself all there is."""
        known = self._runs.get((kind, id(contents)))
        smaller = () if known else [one for one in contents if isinstance(one, tuple)]
        for one in smaller:
            yield from self._packed_runs(kind, one)
        if not smaller:
            yield known or self._run(kind, contents)

    def _run(self, kind: Kind, contents: Group) -> Run:
        run = _joined_run(kind, contents, [self._pack(kind, one) for one in each_of((contents,))])
        self._runs[kind, id(contents)] = run
        return run

    def _pack(self, kind: Kind, content: Envoy) -> Packed:
        packed = self._same.get((kind, id(content)))
        if packed is None:
            parts = tuple(parts_of(kind, content, self._host))
            key = kind, name_of(kind, content), version_of(parts)
            equal = self._equal.get(key)
            packed = replace(equal, content=content, hosts=parts[1:]) if equal else joined(kind, content, parts)
            self._equal[key] = self._same[kind, id(content)] = packed
        return packed

    def _host(self, host: Envoy) -> Part:
        part = self._hosts.get(id(host))
        if part is None:
            digest = digest_of(host)
            equal = self._equal_hosts.get(digest)
            part = host_part(host) if equal is None else replace(equal, content=host)
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


_NOBODY: Envoy = {"name": "nobody", "domains": ["nobody.invalid"]}
"""Stands in a table without virtual hosts: Envoy would wait for some, and keep those of before if it were not to."""


def split_table(table: Envoy) -> tuple[Envoy, Group]:
    """Return what is sent of a whole table, and the virtual hosts that are sent by themselves."""
    if "vhds" not in table:
        return table, ()
    name, hosts = table["name"], table.get("virtual_hosts") or (_NOBODY,)
    kept = {field: value for field, value in table.items() if field != "virtual_hosts"}
    return kept, tuple({**host, "name": vhds_name(name, host["name"])} for host in hosts)


def each_of(groups: Iterable[Group]) -> Iterator[Envoy]:
    """Yield the resources of groups, in order."""
    for group in groups:
        for one in group:
            if isinstance(one, tuple):
                yield from each_of((one,))
            else:
                yield one


def _joined_run(kind: Kind, contents: Group, found: Sequence[Packed]) -> Run:
    named = {packed.name: packed for packed in found}
    if len(named) < len(found):
        raise _twice(kind, [packed.name for packed in found])
    needs: dict[Kind, set[str]] = {}
    for need in chain.from_iterable(packed.needs for packed in found):
        needs.setdefault(need.kind, set()).add(need.name)
    return Run(contents=contents, named=named, needs={kind: frozenset(names) for kind, names in needs.items()})


_Since = Sequence[Difference] | None
"""What is different in an offer; ``None``: it cannot be compared with the one before."""


def _refuse_twice(kind: Kind, offer: Offer, since: _Since) -> None:
    """Refuse names that are there twice. Only what is new is looked for."""
    if since is None:
        if len(offer.every()) < len(offer):
            raise _twice(kind, list(offer))
        return
    for name in chain.from_iterable(one.new for one in since):
        if sum(name in run.named for run in offer.runs) > 1:
            raise _twice(kind, list(offer))


def _twice(kind: Kind, names: Sequence[str]) -> InconsistentSnapshotError:
    repeated = sorted({name for name in names if names.count(name) > 1})
    return InconsistentSnapshotError(f"{kind} {', '.join(repeated)} is there twice")


def _missing(offers: Mapping[Kind, Offer], since: Mapping[Kind, _Since]) -> Iterator[Reference]:
    """Yield what is needed and nobody offers; before what is different nothing was missing."""
    for kind, found in since.items():
        if found is None:
            yield from _missing_at_all(offers)
            return
        for difference in found:
            yield from _newly_missing(offers, kind, difference)


def _newly_missing(offers: Mapping[Kind, Offer], kind: Kind, difference: Difference) -> Iterator[Reference]:
    for needed, names in difference.needs.items():
        yield from (Reference(needed, name) for name in names - _ELSEWHERE if name not in offers[needed])
    lost = {name for name in difference.gone if name not in offers[kind]}
    for run in chain.from_iterable(offer.runs for offer in offers.values()) if lost else ():
        yield from (Reference(kind, name) for name in lost.intersection(run.needs.get(kind, ())))


def _missing_at_all(offers: Mapping[Kind, Offer]) -> Iterator[Reference]:
    for offer in offers.values():
        for kind, names in _needed(tuple(offer.runs)).items():
            yield from (Reference(kind, name) for name in names.difference(offers[kind].every(), _ELSEWHERE))


def _dangling(offers: Mapping[Kind, Offer], missing: Sequence[Reference]) -> Iterator[str]:
    for need in missing:
        for kind, offer in offers.items():
            for resource in offer.values():
                if need in resource.needs:
                    yield f"{kind} {resource.name} needs {need.kind} {need.name}, which is not there"
