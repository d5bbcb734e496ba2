"""The graph types: projections of the finest edges onto the nodes that a user asked for.

Every finest edge becomes part of exactly one projected edge, so a projection adds up to the whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from graph.health import ANNOTATION, judge_workload, worst
from graph.joins import is_unknown
from graph.model import (
    OUTSIDE_HOSTS,
    PEER_PREFIX,
    UNKNOWN,
    EdgeKey,
    GraphType,
    Health,
    Inventory,
    Node,
    NodeKind,
    Protocol,
    ServiceRef,
    Workload,
    WorkloadRef,
)
from graph.strangers import CALLER_KINDS, UNLABELLED, is_stranger, stranger_of

if TYPE_CHECKING:
    from graph.strands import Strand

ESCAPES: Mapping[str, NodeKind] = {
    "PassthroughCluster": NodeKind.PASSTHROUGH,
    "InboundPassthroughCluster": NodeKind.PASSTHROUGH,
    "BlackHoleCluster": NodeKind.BLACK_HOLE,
}
"""What Envoy calls traffic to hosts that nobody declared."""


Asked = Mapping[EdgeKey, Collection[str]]
"""Per edge of an unnamed caller the operations that are told of it."""
NOTHING: Asked = {}


class Naming(NamedTuple):
    """All that the nodes of a projection were named by, beside the inventory."""

    keys: Sequence[EdgeKey]
    """The edges that met a node, or what stands behind one, first."""
    asked: Asked
    behind: Mapping[WorkloadRef, ServiceRef]


class ProjectedEdge(NamedTuple):
    """One edge of a projection before it has numbers; ``source`` and ``target`` are positions in ``nodes``."""

    id: str
    source: int
    target: int
    protocol: Protocol
    service: str
    keys: tuple[EdgeKey, ...]
    operation: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A graph type's nodes (without signals) and edges, and which finest edge went where."""

    type: GraphType
    nodes: tuple[Node, ...]
    edges: tuple[ProjectedEdge, ...]
    edge_of: tuple[int, ...]
    standing: frozenset[str]
    """The nodes that the inventory knows: they are there without traffic, too."""
    naming: Naming | None = None
    """What :func:`renew` goes by, where it can."""


def project(kind: GraphType, keys: Sequence[EdgeKey], inventory: Inventory, asked: Asked = NOTHING) -> Projection:
    """Project the edges, and add what exists without traffic."""
    behind = _services_of(keys, inventory) if kind is GraphType.SERVICE else {}
    nodes = _Nodes(kind, behind, inventory, asked)
    ends, naming = [], []
    for key in keys:
        met = nodes.met
        ends.append((nodes.source(key), nodes.target(key), key.protocol))
        if nodes.met > met:
            naming.append(key)
    standing = nodes.add_idle()
    members: defaultdict[tuple[str, str, Protocol], list[EdgeKey]] = defaultdict(list)
    for end, key in zip(ends, keys, strict=True):
        members[end].append(key)
    position = {node: number for number, node in enumerate(nodes.found)}
    number_of = {end: number for number, end in enumerate(members)}
    edges = tuple(
        ProjectedEdge(
            f"{source}>{target}>{protocol}", position[source], position[target], protocol, _called(of), tuple(of)
        )
        for (source, target, protocol), of in members.items()
    )
    return Projection(
        type=kind,
        nodes=tuple(nodes.found.values()),
        edges=edges,
        edge_of=tuple(number_of[end] for end in ends),
        standing=standing,
        naming=Naming(naming, asked, behind),
    )


def renew(projection: Projection, naming: Naming, inventory: Inventory) -> Projection:
    """Project anew for an inventory that calls everything the same (:func:`graph.series_table.same_names`): edges stay."""
    nodes = _Nodes(projection.type, naming.behind, inventory, naming.asked)
    for key in naming.keys:
        nodes.source(key)
        nodes.target(key)
    standing = nodes.add_idle()
    return replace(projection, nodes=tuple(nodes.found.values()), standing=standing)


def unravel(kind: GraphType, strands: Sequence[Strand], inventory: Inventory, asked: Asked = NOTHING) -> Projection:
    """Project strands: onto operations between caller and callee, or each onto an edge of its own."""
    keys = [strand.edge for strand in strands]
    nodes = _Nodes(GraphType.WORKLOAD, {}, inventory, asked)
    ends = []
    for strand, key in zip(strands, keys, strict=True):
        source, target = nodes.source(key), nodes.target(key)
        if kind is GraphType.OPERATION and strand.operation:
            between = nodes.operation(target, strand.operation)
            source, target = (between, target) if strand.leg else (source, between)
        ends.append((source, target, key if kind is GraphType.FINEST else None, strand))
    return _gathered(kind, nodes, ends)


def _gathered(kind: GraphType, nodes: _Nodes, ends: Sequence[tuple[str, str, EdgeKey | None, Strand]]) -> Projection:
    """Put together the strands that become one edge."""
    standing = nodes.add_idle()
    position = {node: number for number, node in enumerate(nodes.found)}
    members: dict[str, list[Strand]] = defaultdict(list)
    places: dict[str, tuple[str, str]] = {}
    ids = []
    for source, target, key, strand in ends:
        id_ = f"{source}>{target}>{strand.edge.protocol}"
        if key:
            service = f"{key.service.namespace}/{key.service.name}" if key.service else ""
            id_ += f">{service}>{key.service.cluster if key.service else ''}>{strand.operation}>{strand.host}"
        ids.append(id_)
        members[id_].append(strand)
        places[id_] = (source, target)
    number_of = {id_: number for number, id_ in enumerate(members)}
    edges = [_strand_edge(id_, position, places[id_], tuple(of)) for id_, of in members.items()]
    return Projection(
        type=kind,
        nodes=tuple(nodes.found.values()),
        edges=tuple(edges),
        edge_of=tuple(number_of[id_] for id_ in ids),
        standing=standing,
    )


def _strand_edge(
    id_: str, position: Mapping[str, int], place: tuple[str, str], of: tuple[Strand, ...]
) -> ProjectedEdge:
    keys = tuple(dict.fromkeys(strand.edge for strand in of))
    source, target = place
    return ProjectedEdge(
        id_, position[source], position[target], keys[0].protocol, _called(keys), keys, of[0].operation, of[0].host
    )


def _called(keys: Iterable[EdgeKey]) -> str:
    services = {key.service for key in keys}
    only = services.pop()
    return f"{only.namespace}/{only.name}" if only and not services else ""


class _Nodes:
    """The nodes met so far, by id."""

    def __init__(
        self, kind: GraphType, behind: Mapping[WorkloadRef, ServiceRef], inventory: Inventory, asked: Asked
    ) -> None:
        self._asked = asked
        self.found: dict[str, Node] = {}
        self.inventory = inventory
        self.kind = kind
        self._place: Callable[[WorkloadRef], Node] = {
            GraphType.APP: self._app,
            GraphType.VERSIONED_APP: self._versioned,
            GraphType.WORKLOAD: self._workload,
            GraphType.SERVICE: self._behind_service,
        }[kind]
        self._behind = behind
        self._ids: dict[WorkloadRef | ServiceRef, str] = {}

    @property
    def met(self) -> int:
        """Count the nodes, and what stands behind them."""
        return len(self.found) + len(self._ids)

    def source(self, key: EdgeKey) -> str:
        if is_unknown(key.source):
            return self._of_stranger(key)
        return self._of_workload(key.source)

    def _of_stranger(self, key: EdgeKey) -> str:
        stranger = stranger_of(key, self.inventory, self._asked.get(key, ()))
        id_ = f"{'unknown' if stranger is UNLABELLED else stranger.aspect}:{key.source.cluster}"
        if id_ not in self.found:
            node = _node(id_, stranger.kind, key.source, stranger.aspect, namespace=UNKNOWN)
            self.found[id_] = node._replace(reason=stranger.reason)
        return id_

    def target(self, key: EdgeKey) -> str:
        if key.service and (key.target is None or self.kind is GraphType.SERVICE or self._is_external(key.service)):
            return self._of_service(key.service)
        if key.target is None:
            return self._of_workload(WorkloadRef(key.source.cluster, UNKNOWN, UNKNOWN, UNKNOWN, ""))
        return self._of_workload(key.target)

    def operation(self, target: str, operation: str) -> str:
        """Add what is asked of a node."""
        asked = self.found[target]
        id_ = f"op:{target}/{operation}"
        if id_ not in self.found:
            self.found[id_] = Node(
                id=id_,
                kind=NodeKind.OPERATION,
                cluster=asked.cluster,
                namespace=asked.namespace,
                label=operation,
                app=asked.app,
                workload=asked.workload,
                service=asked.service,
            )
        return id_

    def add_idle(self) -> frozenset[str]:
        """Add what exists, traffic or not, and say which nodes that are."""
        of_workloads = {self._of_workload(workload) for workload in self.inventory.workloads}
        return frozenset(
            of_workloads
            | {
                self._of_service(service.ref)
                for service in self.inventory.services.values()
                if self.kind is GraphType.SERVICE or not service.workloads or service.kind is NodeKind.EXTERNAL
            }
        )

    def _of_workload(self, ref: WorkloadRef) -> str:
        known = self._ids.get(ref)
        if known is None:
            known = self._ids[ref] = self._add(self._special(ref) or self._place(ref), ref)
        return known

    def _of_service(self, ref: ServiceRef) -> str:
        known = self._ids.get(ref)
        if known is None:
            known = self._ids[ref] = self._add(self._service(ref), None)
        return known

    def _add(self, node: Node, ref: WorkloadRef | None) -> str:
        """Put the node in, or what this workload adds to it."""
        workload = self.inventory.workloads.get(ref) if ref else None
        known = self.found.get(node.id, node)
        # An app may be many workloads: it is judged by none of theirs alone.
        ref_alone = self.kind is not GraphType.APP and node.kind is not NodeKind.SERVICE
        if workload:
            known = known._replace(
                kind=workload.kind if workload.kind is not NodeKind.WORKLOAD else known.kind,
                replicas=(known.replicas or 0) + workload.replicas
                if node.kind is not NodeKind.SERVICE
                else known.replicas,
                badges=_union(known.badges, workload.badges),
                health=worst((known.health, _by_replicas(workload))),
                tolerances=known.tolerances or (workload.annotations.get(ANNOTATION, "") if ref_alone else ""),
                hosts=_union(known.hosts, workload.hosts),
                labels=tuple(sorted({*known.labels, *workload.labels.items()})),
                principals=_union(known.principals, _principals(workload.ref, workload.service_account)),
            )
        self.found[node.id] = known
        return node.id

    def _special(self, ref: WorkloadRef) -> Node | None:
        prefix, colon, peer = ref.app.partition(":")
        if is_unknown(ref):
            return _node(f"unknown:{ref.cluster}", NodeKind.UNKNOWN, ref, UNKNOWN, namespace=UNKNOWN)
        if is_stranger(ref):
            node = _node(f"{prefix}:{ref.cluster}/{peer}", CALLER_KINDS[prefix], ref, peer, namespace=UNKNOWN)
            return node._replace(reason=f"It introduces itself as {peer}.")
        if colon and prefix in PEER_PREFIX and not ref.workload:
            id_ = f"{prefix}:{ref.cluster}/{ref.namespace}/{peer}"
            return _node(id_, NodeKind(PEER_PREFIX[prefix]), ref, peer.partition("@")[0] or peer)
        return None

    def _app(self, ref: WorkloadRef) -> Node:
        app = ref.app or ref.workload
        return _node(f"app:{ref.cluster}/{ref.namespace}/{app}", NodeKind.APP, ref, app, app=app)

    def _versioned(self, ref: WorkloadRef) -> Node:
        app = ref.app or ref.workload
        version = f"/{ref.version}" if ref.version else ""
        id_ = f"vapp:{ref.cluster}/{ref.namespace}/{app}{version}"
        return _node(id_, NodeKind.APP, ref, app, app=app, version=ref.version, workload=ref.workload)

    def _workload(self, ref: WorkloadRef) -> Node:
        name = ref.workload or ref.app
        id_ = f"wl:{ref.cluster}/{ref.namespace}/{name}"
        return _node(id_, NodeKind.WORKLOAD, ref, name, app=ref.app, version=ref.version, workload=name)

    def _behind_service(self, ref: WorkloadRef) -> Node:
        service = self._behind.get(ref)
        return self._service(service) if service else self._workload(ref)

    def _service(self, ref: ServiceRef) -> Node:
        known = self.inventory.services.get(ref)
        kind = ESCAPES.get(ref.name, known.kind if known else NodeKind.SERVICE)
        prefix = "ext" if kind in OUTSIDE_HOSTS else "svc"
        return Node(
            id=f"{prefix}:{ref.cluster}/{ref.namespace}/{ref.name}",
            kind=kind,
            cluster=ref.cluster,
            namespace=ref.namespace,
            label=ref.name,
            service=ref.name,
            badges=known.badges if known else (),
            tolerances=known.annotations.get(ANNOTATION, "") if known else "",
            hosts=known.hosts if known and kind in OUTSIDE_HOSTS else (),
            labels=tuple(sorted(known.labels.items())) if known else (),
        )

    def _is_external(self, ref: ServiceRef) -> bool:
        known = self.inventory.services.get(ref)
        return known is not None and known.kind is NodeKind.EXTERNAL


def _node(
    id_: str,
    kind: NodeKind,
    ref: WorkloadRef,
    label: str,
    *,
    namespace: str = "",
    app: str = "",
    version: str = "",
    workload: str = "",
) -> Node:
    return Node(
        id=id_,
        kind=kind,
        cluster=ref.cluster,
        namespace=namespace or ref.namespace,
        label=label,
        app=app,
        version=version,
        workload=workload,
    )


def _services_of(keys: Sequence[EdgeKey], inventory: Inventory) -> dict[WorkloadRef, ServiceRef]:
    """The one service each workload stands behind: of several the one named as its app, else the first by name."""
    of: defaultdict[WorkloadRef, set[ServiceRef]] = defaultdict(set)
    for service in inventory.services.values():
        for workload in service.workloads:
            of[workload].add(service.ref)
    for key in keys:
        if key.service and key.target:
            of[key.target].add(key.service)
    return {ref: min(services, key=lambda service: (service.name != ref.app, service)) for ref, services in of.items()}


def _principals(ref: WorkloadRef, account: str) -> tuple[str, ...]:
    return (f"spiffe://cluster.local/ns/{ref.namespace}/sa/{account}",) if account else ()


def _by_replicas(workload: Workload) -> Health:
    """Health by what an orchestrator wants and has of a workload; idle where nobody told what is wanted."""
    return Health.IDLE if workload.desired is None else judge_workload(workload)


def _union(some: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return (*some, *(one for one in more if one not in some))
