"""What the pages of a service and of a workload have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.views import format as fmt
from console.views import links
from console.views.charts import Chart, charts
from console.views.peers import Peer, busiest, edge_name, peer
from graph.course import Course
from graph.health import Direction
from graph.model import OUTSIDE_HOSTS, STRANGERS, UNDECLARED, Edge, Health, Node, Signals, Snapshot
from graph.windows import REACH_S

SPANS = (300, 900, 3600, 21_600, 86_400, 604_800, 2_592_000)
"""How far back, in seconds, courses can be asked for, if anybody remembers."""
SPAN_S = 900
"""Where nothing is asked."""
VERBS: Mapping[Direction, str] = {Direction.INBOUND: "received", Direction.OUTBOUND: "sent"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The traffic in one direction."""

    title: str
    charts: tuple[Chart, ...]
    silence: str
    """Why there is none."""
    span_s: int
    """What the charts cover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Who calls, or is called."""

    peer: Peer
    href: str
    """Its page, or the edge in the graph where it has none."""
    traces_href: str
    """The traces that went along the edge; ``""``: neither end's application is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One workload of a service or an app, and its part of the traffic."""

    name: str
    version: str
    href: str
    health: Health
    replicas: str
    rate: str
    share: str
    errors: str
    failing: bool
    p95: str


def span_of(text: str) -> int:
    """Read how far back courses are to reach; what is not offered counts as absent."""
    return int(text) if text.isascii() and text.isdigit() and int(text[:9]) in SPANS else SPAN_S


def spans_within(reach_s: float) -> tuple[int, ...]:
    """Give what memory holds, and of longer spans those in which more is remembered than in shorter ones."""
    return tuple(one for one, shorter in zip(SPANS, (0, *SPANS), strict=False) if one <= REACH_S or shorter < reach_s)


def side(direction: Direction, signals: Signals, course: Course, *, span_s: int, silence: str) -> Side:
    """Describe the traffic in one direction; *silence* is said where there has been none in all that time."""
    found = charts(signals, course, span_s, VERBS[direction])
    return Side(title=direction.capitalize(), charts=found, silence="" if found else silence, span_s=span_s)


def neighbours(
    snapshot: Snapshot, edges: Sequence[Edge], *, callers: bool, whole: bool = False
) -> tuple[Neighbour, ...]:
    """Describe edges of the workload graph by one end; *whole*: both, and lead to the edge."""
    return tuple(
        Neighbour(
            peer=peer(
                snapshot,
                edge,
                edge.source if callers else edge.target,
                name=edge_name(snapshot, edge) if whole else "",
            ),
            href=links.graph(edge.id, type=snapshot.type) if whole else _page_of(snapshot, edge, callers=callers),
            traces_href=_traces_of(snapshot, edge),
        )
        for edge in busiest(edges)
    )


def _page_of(snapshot: Snapshot, edge: Edge, *, callers: bool) -> str:
    node = snapshot.nodes.get(edge.source if callers else edge.target)
    cluster = node.cluster if node and several_clusters(snapshot) else ""
    if node and node.service and node.kind not in UNDECLARED:
        return links.service(node.namespace, node.service, cluster)
    if node and is_workload(node):
        return links.workload(node.namespace, node.workload, cluster)
    return links.graph(edge.id, type=snapshot.type)


def _traces_of(snapshot: Snapshot, edge: Edge) -> str:
    source, target = snapshot.nodes.get(edge.source), snapshot.nodes.get(edge.target)
    if not source or not target or not source.app or not target.app:
        return ""
    return links.traces(app=source.app, ns=source.namespace, peer=f"{target.app} {target.version}".strip())


def several_clusters(snapshot: Snapshot) -> bool:
    """Whether namespace and name alone do not say which one is meant."""
    return len({node.cluster for node in snapshot.nodes.values()}) > 1


def versions(snapshot: Snapshot, inbound: Sequence[Edge], idle: Sequence[Node] = ()) -> tuple[Version, ...]:
    """Describe the workloads of the workload graph that get this traffic, and *idle* ones beside them."""
    by_target: defaultdict[str, list[Edge]] = defaultdict(list, {node.id: [] for node in idle})
    for edge in inbound:
        by_target[edge.target].append(edge)
    total = sum(edge.signals.rate for edge in inbound)
    several = several_clusters(snapshot)
    shown = ((snapshot.nodes.get(target), edges) for target, edges in sorted(by_target.items()))
    return tuple(
        _version(node, edges, total, node.cluster if several else "")
        for node, edges in shown
        if node and is_workload(node)
    )


def _version(node: Node, edges: Sequence[Edge], total: float, cluster: str) -> Version:
    rate = sum(edge.signals.rate for edge in edges)
    requests = sum(edge.signals.requests for edge in edges)
    errors = sum(edge.signals.errors for edge in edges)
    return Version(
        name=node.workload,
        version=node.version,
        href=links.workload(node.namespace, node.workload, cluster),
        health=node.health,
        replicas=fmt.NONE if node.replicas is None else str(node.replicas),
        rate=fmt.rate(rate),
        share=fmt.percent(rate / total if total else None),
        errors=fmt.percent(errors / requests if requests else None),
        failing=errors > 0,
        p95=fmt.milliseconds(max((edge.signals.p95_ms or 0.0 for edge in edges), default=0.0) or None),
    )


def is_workload(node: Node) -> bool:
    """Whether a node of the workload graph is one that runs, and has a page."""
    return bool(node.workload) and node.kind not in OUTSIDE_HOSTS | STRANGERS
