"""Several clusters as one graph: where one's way out is another's way in, the two halves become one path.

A cluster sees a call of another one as a call to a host outside, and the other sees it come from nobody. Observations
stay as they are: here the caller's half is led to whom the host belongs to, and of what nobody's callers counted only
the rest is left that no caller is known for. What nobody can tell, because several clusters own a host, stays as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from graph.arrays import Flags, Floats, Ints
from graph.joins import is_unknown
from graph.model import PEER_PREFIX, EdgeKey, Inventory, NodeKind, Protocol, Service, ServiceRef, WorkloadRef
from graph.series import SeriesKey

SLACK = 0.1
"""Share by which two reporters' counts of the same traffic may differ, because they are not read at the same moment."""
SLACK_REQUESTS = 5.0


class Owner(NamedTuple):
    """Whom a host of another cluster belongs to: a gateway, or a service and the only workload behind it."""

    service: ServiceRef | None
    target: WorkloadRef | None

    @property
    def cluster(self) -> str:
        """The cluster that it is in."""
        return self.target.cluster if self.target else self.service.cluster if self.service else ""


class Seam(NamedTuple):
    """A finest edge of callers that its cluster cannot name, and those of other clusters' callers that are among them."""

    unknown: int
    callers: Ints


class Stitcher:
    """Leads edges out of a cluster to where they arrive. Made of one inventory; immutable."""

    def __init__(self, inventory: Inventory) -> None:
        self._services = inventory.services
        self._by_name: defaultdict[str, set[Owner]] = defaultdict(set)
        """By host and by address."""
        self._wide: list[tuple[str, Owner]] = []
        """Gateways by what their hosts end with."""
        self._behind: dict[WorkloadRef, ServiceRef] = {}
        self._gateways = frozenset(ref for ref, one in inventory.workloads.items() if one.kind is NodeKind.GATEWAY)
        inside = [one for one in inventory.services.values() if not _is_declared(one)]
        for service in sorted(inside, key=lambda one: one.ref):
            for ref in service.workloads:
                self._behind.setdefault(ref, service.ref)
            owner = Owner(service.ref, service.workloads[0] if len(service.workloads) == 1 else None)
            for name in (*service.hosts, *service.addresses, f"{service.ref.name}.{service.ref.namespace}.global"):
                self._by_name[name].add(owner)
        for gateway in self._gateways:
            self._serve(inventory.workloads[gateway].hosts, Owner(self._behind.get(gateway), gateway))

    def edge(self, key: EdgeKey, host: str = "") -> EdgeKey:
        """Return the edge as it is when all clusters are known; ``host`` is what was asked for, where it is told."""
        if key.target is not None and not _is_peer(key.target):
            return self._with_own_service(key, key.target)
        names = self._names(key, host)
        owners = next(filter(None, (self._owners(name, key.source.cluster) for name in names)), frozenset())
        if len(owners) != 1:
            return key
        (owner,) = owners
        return key._replace(service=owner.service, target=owner.target)

    def _serve(self, hosts: Iterable[str], owner: Owner) -> None:
        for host in hosts:
            if host.startswith("*."):
                self._wide.append((host[1:], owner))
            elif host != "*":
                self._by_name[host].add(owner)

    def _with_own_service(self, key: EdgeKey, target: WorkloadRef) -> EdgeKey:
        """Both ends are known, by trace or by label: the service is the callee's, not the caller's name for it."""
        declared = key.service is not None and key.service.cluster == key.source.cluster != target.cluster
        return key._replace(service=self._behind.get(target)) if declared else key

    def _names(self, key: EdgeKey, host: str) -> Iterator[str]:
        """Yield what the caller calls it by, if it is something outside its cluster."""
        if key.target is not None:
            yield _bare(key.target.app.partition(":")[2])
        if key.service is None:
            return
        known = self._services.get(key.service)
        if known is not None and not _is_declared(known):
            return
        yield from map(_bare, (host, key.service.name))
        if known is not None:
            yield from (*known.hosts, *known.addresses)

    def _owners(self, name: str, caller: str) -> frozenset[Owner]:
        found = self._by_name.get(name) or {owner for end, owner in self._wide if name.endswith(end)}
        near = any(owner.cluster == caller for owner in found)
        gateways = {owner for owner in found if owner.target in self._gateways}
        return frozenset(() if near else gateways or found)


def stitched(keys: Sequence[SeriesKey], inventory: Inventory) -> list[SeriesKey]:
    """Lead series to where their requests arrive, where that is in another cluster; they keep the host asked for."""
    stitcher = Stitcher(inventory)
    known: dict[tuple[EdgeKey, str], EdgeKey] = {}
    found = []
    for key in keys:
        asked = (key.edge, key.host)
        edge = known.get(asked) or known.setdefault(asked, stitcher.edge(*asked))
        name = key.edge.service.name if key.edge.service else ""
        found.append(key if edge == key.edge else key._replace(edge=edge, host=key.host or name))
    return found


def seams(edges: Sequence[EdgeKey], stitched: Collection[EdgeKey]) -> tuple[Seam, ...]:
    """Find the edges of unnamed callers that stitched ones are among: those to the same callee in its own cluster."""
    into: defaultdict[tuple[WorkloadRef | ServiceRef | None, Protocol], list[int]] = defaultdict(list)
    for number, edge in enumerate(edges):
        if edge in stitched:
            into[edge.target or edge.service, edge.protocol].append(number)
    return tuple(
        Seam(number, np.array(callers, np.int64))
        for number, edge in enumerate(edges)
        if is_unknown(edge.source) and edge not in stitched and (callers := _callers(edge, into))
    )


def rest(
    found: Iterable[Seam], cells: tuple[Ints, Ints], counts: Floats, kinds: Sequence[Flags]
) -> tuple[Floats, frozenset[int]]:
    """Leave of what unnamed callers counted the part that no stitched caller did; and say of which edges none is left.

    ``cells`` are the finest edge and the column of each of ``counts``; ``kinds`` tell which columns are requests, and which
    are TCP's, whose counts must agree for nothing to be left.
    """
    left, cell_finest, cell_column = counts.copy(), *cells
    covered = set()
    for seam in found:
        known = _by_column(np.isin(cell_finest, seam.callers), cell_column, counts, len(kinds[0]))
        mine = cell_finest == seam.unknown
        said = _by_column(mine, cell_column, counts, len(kinds[0]))
        beyond = np.clip(said - known, 0, None)
        left[mine] *= np.divide(beyond, said, out=np.zeros(len(said)), where=said > 0)[cell_column[mine]]
        if known.any() and all(agree(said[kind].sum(), beyond[kind].sum()) for kind in kinds):
            left[mine] = 0
            covered.add(seam.unknown)
    return left, frozenset(covered)


def _by_column(wanted: Flags, cell_column: Ints, counts: Floats, columns: int) -> Floats:
    return np.bincount(cell_column[wanted], counts[wanted], columns).astype(np.float64, copy=False)


def agree(said: float, beyond: float) -> bool:
    """Tell whether what one counted beyond the other is no more than their moments of reading explain."""
    return beyond <= max(SLACK * said, SLACK_REQUESTS)


def _callers(
    edge: EdgeKey, into: defaultdict[tuple[WorkloadRef | ServiceRef | None, Protocol], list[int]]
) -> list[int]:
    places = {edge.target, edge.service} - {None}
    return sorted({number for place in places for number in into.get((place, edge.protocol), ())})


def _is_declared(service: Service) -> bool:
    """Whether its cluster only names it, and somebody else may run it."""
    return service.kind is NodeKind.EXTERNAL or bool(service.entry)


def _is_peer(ref: WorkloadRef) -> bool:
    """Whether it is a host that only its caller's telemetry names."""
    kind, colon, _ = ref.app.partition(":")
    return bool(colon) and not ref.workload and PEER_PREFIX.get(kind) == NodeKind.EXTERNAL


def _bare(host: str) -> str:
    """Leave the port away; an IPv6 address has colons of its own."""
    return (host.partition(":")[0] if host.count(":") == 1 else host).lower()
