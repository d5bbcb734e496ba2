"""Nodes and edges while a graph is made: Kiali's identities, and rates that are added up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graph.model import UNKNOWN, Edge

Places = AbstractSet[tuple[str, str]] | None
"""(cluster, namespace) pairs; ``None``: not told."""

AGGREGATE, APP, SERVICE, UNKNOWN_NODE, WORKLOAD = "aggregate", "app", "service", "unknown", "workload"
EGRESS_CLUSTERS = {"PassthroughCluster", "BlackHoleCluster"}


def is_ok(value: str) -> bool:
    """Whether telemetry says anything."""
    return value not in {"", UNKNOWN}


def is_version(value: str) -> bool:
    """Whether it is a version: ``latest`` is what Istio writes where there is none."""
    return value not in {"", UNKNOWN, "latest"}


class End(NamedTuple):
    """One end of a series, in Istio's words."""

    cluster: str
    service_namespace: str
    service: str
    namespace: str
    workload: str
    app: str
    version: str

    @property
    def place(self) -> str:
        """The namespace that counts: the workload's, where there is one."""
        return self.namespace if is_ok(self.namespace) else self.service_namespace


class Code(NamedTuple):
    """How the requests of a sample ended: ``-`` without an answer."""

    code: str
    flags: str
    host: str


@dataclass(slots=True)
class TrafficEdge:
    """One edge per source, target and protocol."""

    source: TrafficNode
    target: TrafficNode
    protocol: str
    rates: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    flags: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    hosts: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    finest: list[Edge] = field(default_factory=list)
    """What it is made of."""
    data: dict[str, Any] = field(default_factory=dict)
    """Further fields of its JSON."""
    waypoint: Waypoint | None = None

    def add(self, value: float, code: Code) -> None:
        """Add a sample's rate."""
        for rate in (self.protocol, *kinds(self.protocol, code.code)):
            self.rates[rate] += value
        word = code.code or "-"
        if code.flags:
            self.flags[word, code.flags] += value
        if code.host:
            self.hosts[word, code.host] += value

    def take(self, other: TrafficEdge) -> None:
        """Add another edge's traffic."""
        for mine, theirs in ((self.rates, other.rates), (self.flags, other.flags), (self.hosts, other.hosts)):
            for key, value in theirs.items():
                mine[key] += value  # type: ignore[index]
        self.finest.extend(other.finest)


@dataclass(slots=True)
class Waypoint:
    """What an edge has to do with a waypoint: it leads ``to`` or ``from`` one, ``back`` being the way back."""

    direction: str
    back: TrafficEdge | None = None


@dataclass(slots=True)
class TrafficNode:
    """One node; ``id`` is Kiali's before hashing."""

    id: str
    type: str
    cluster: str
    namespace: str
    workload: str = ""
    app: str = ""
    version: str = ""
    service: str = ""
    aggregate: str = ""
    edges: dict[tuple[str, str], TrafficEdge] = field(default_factory=dict)
    """By target and protocol."""
    rates: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    called: set[tuple[str, str, str]] = field(default_factory=set)
    """The services asked for: cluster, namespace, name."""
    injected: bool = False
    waypoint: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    """Further fields of its JSON."""

    @property
    def escapes(self) -> bool:
        """Whether it stands for hosts that nobody declared."""
        return self.service in EGRESS_CLUSTERS

    def edge_to(self, target: TrafficNode, protocol: str) -> TrafficEdge:
        """Find the edge, or begin one."""
        key = (target.id, protocol)
        if key not in self.edges:
            self.edges[key] = TrafficEdge(self, target, protocol)
        return self.edges[key]


class Traffic:
    """The graph so far."""

    def __init__(self, graph_type: str) -> None:
        self.graph_type = graph_type
        self.nodes: dict[str, TrafficNode] = {}

    def node(self, end: End) -> TrafficNode | None:
        """Find the node of this end, or add it; ``None`` where telemetry does not name anything."""
        found = identify(end, self.graph_type)
        if found is None:
            return None
        id_, kind = found
        if id_ not in self.nodes:
            self.nodes[id_] = _trimmed(id_, kind, end, self.graph_type)
        return self.nodes[id_]

    def edges(self) -> Iterator[TrafficEdge]:
        """All edges."""
        for node in self.nodes.values():
            yield from node.edges.values()

    def remove(self, ids: AbstractSet[str]) -> None:
        """Take nodes out, and the edges to them."""
        self.nodes = {id_: node for id_, node in self.nodes.items() if id_ not in ids}
        for node in self.nodes.values():
            node.edges = {key: edge for key, edge in node.edges.items() if edge.target.id not in ids}


def count(edge: TrafficEdge, value: float, code: Code) -> None:
    """Add a sample to an edge and to the nodes at its ends."""
    if value <= 0:
        return
    edge.add(value, code)
    protocol = edge.protocol
    edge.source.rates[f"{protocol}Out"] += value
    edge.target.rates[f"{protocol}In"] += value
    for kind in kinds(protocol, code.code):
        edge.target.rates[f"{protocol}In{kind.removeprefix(protocol)}"] += value


def kinds(protocol: str, code: str) -> tuple[str, ...]:
    """Name the rates of a protocol, besides its total, that requests with this code belong to."""
    if protocol == "tcp":
        return ()
    if code == "-":
        return (f"{protocol}NoResponse",)
    if protocol == "grpc":
        # Older meshes write HTTP's codes for gRPC.
        failed = code[0] in "45" if len(code) == 3 else code not in {"", "0"}
        return ("grpcErr",) if failed else ()
    return (f"http{code[0]}xx",) if code[:1] in {"3", "4", "5"} else ()


def identify(end: End, graph_type: str) -> tuple[str, str] | None:
    """Say the id and the type of an end's node."""
    cluster, place = end.cluster, end.place
    if {place, end.workload, end.app} == {UNKNOWN} and not end.service:
        return f"{cluster}_unknown_source", UNKNOWN_NODE
    if {end.workload, end.app, end.service} == {UNKNOWN}:
        # A request that no route wanted.
        return f"svc_{cluster}_{place}_unknown", SERVICE
    if not any(map(is_ok, (end.workload, end.app, end.service))):
        return None
    if graph_type in {"workload", "service"}:
        if is_ok(end.workload):
            return f"wl_{cluster}_{place}_{end.workload}", WORKLOAD
        return f"svc_{cluster}_{place}_{end.service if is_ok(end.service) else UNKNOWN}", SERVICE
    return _identify_app(end, graph_type)


def _identify_app(end: End, graph_type: str) -> tuple[str, str]:
    cluster, place = end.cluster, end.place
    if is_ok(end.app):
        if graph_type == "versionedApp" and is_ok(end.workload):
            return f"vapp_{cluster}_{place}_{end.workload}", APP
        if graph_type == "versionedApp" and is_version(end.version):
            return f"vapp_{cluster}_{place}_{end.app}_{end.version}", APP
        return f"app_{cluster}_{place}_{end.app}", APP
    if is_ok(end.workload):
        return f"wl_{cluster}_{place}_{end.workload}", WORKLOAD
    return f"svc_{cluster}_{place}_{end.service}", SERVICE


def _trimmed(id_: str, kind: str, end: End, graph_type: str) -> TrafficNode:
    """Make a node without the fields that its type has no use for."""
    node = TrafficNode(id_, kind, end.cluster, end.place)
    if kind == SERVICE:
        node.service = end.service
    elif kind == APP:
        node.app = end.app
        if graph_type == "versionedApp":
            node.workload, node.version = end.workload, end.version
    elif kind == WORKLOAD:
        node.workload = end.workload
        node.app = end.app if end.app != UNKNOWN else ""
        node.version = end.version if end.version != UNKNOWN else ""
    else:
        node.workload, node.app, node.version, node.service = end.workload, end.app, end.version, end.service
    return node
