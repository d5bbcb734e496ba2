"""Workloads: the list, and one workload in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.views import format as fmt
from console.views import links
from console.views.applied import Applied
from console.views.instances import Instance
from console.views.item import Neighbour, Side, Version, is_workload, neighbours, several_clusters, side, versions
from console.views.listing import Row, row
from console.views.reasons import UNWELL, Reasons
from console.views.selection import KINDS, Trace, trace_line
from graph.course import Course
from graph.health import Direction
from graph.model import Inventory, Node, NodeKind, Signals, Snapshot, Workload
from graph.ports import TraceSummary
from mesh_runtime.api.objects import CLUSTER

ICONS: Mapping[NodeKind, str] = {NodeKind.GATEWAY: "door-open", NodeKind.DATABASE: "database"}
WORDS: Mapping[str, str] = {
    "no-sidecar": "no proxy of the mesh",
    "ambient": "ambient: ztunnel has its traffic",
    "waypoint": "a waypoint",
    "workload-entry": "a WorkloadEntry names it",
}
"""What badges of workloads mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One workload."""

    node: Node
    reason: str
    """Why it is not well."""
    now_ms: int
    subtitle: str
    inbound: Side
    outbound: Side
    callers: tuple[Neighbour, ...]
    callees: tuple[Neighbour, ...]
    versions: tuple[Version, ...]
    """Of its app, this one among them."""
    instances: tuple[Instance, ...]
    services: tuple[tuple[str, str], ...]
    """Name and page of those that it answers for."""
    facts: tuple[tuple[str, str], ...]
    config: tuple[Applied, ...]
    traces: tuple[Trace, ...]
    shift: tuple[str, ...]
    """``namespace/service`` whose traffic can be shifted."""
    graph_href: str
    traces_href: str
    logs_href: str
    tap_href: str


def rows(workloads: Snapshot, inventory: Inventory, reasons: Reasons) -> tuple[Row, ...]:
    """Every workload of the workload graph."""
    several = several_clusters(workloads)
    return tuple(
        row(
            node,
            name=node.workload,
            icon=ICONS.get(node.kind, "box"),
            href=links.workload(node.namespace, node.workload, node.cluster if several else ""),
            reason=reasons.of(node, known_as(inventory, node)) if node.health in UNWELL else "",
            versions=(node.version,) if node.version else (),
            replicas=node.replicas,
        )
        for node in workloads.nodes.values()
        if is_workload(node)
    )


def known_as(inventory: Inventory, node: Node) -> tuple[Workload, ...]:
    """What the inventory knows of a workload: one entry for each version that runs."""
    name = (node.cluster, node.namespace, node.workload)
    return tuple(one for ref, one in inventory.workloads.items() if ref[:3] == name)


def services_of(inventory: Inventory, known: Sequence[Workload]) -> tuple[str, ...]:
    """The services of its namespace that a workload answers for."""
    refs = {one.ref for one in known}
    return tuple(
        sorted(
            ref.name
            for ref, service in inventory.services.items()
            if not refs.isdisjoint(service.workloads) and ref.namespace in {one.namespace for one in refs}
        )
    )


def detail(
    node: Node,
    *,
    workloads: Snapshot,
    courses: Mapping[Direction, Course],
    span_s: int,
    reason: str,
    known: Sequence[Workload],
    services: Sequence[str],
    instances: tuple[Instance, ...],
    config: tuple[Applied, ...],
    traces: Sequence[TraceSummary],
    shiftable: Mapping[str, Sequence[str]],
    now_ms: int,
) -> Detail:
    """Describe one workload; *services* are those that it answers for."""
    inbound = [edge for edge in workloads.edges.values() if edge.target == node.id]
    outbound = [edge for edge in workloads.edges.values() if edge.source == node.id]
    cluster = node.cluster if several_clusters(workloads) else ""
    nothing, span = Signals(workloads.window_s, workloads.window_s), fmt.window(span_s)
    where = f"{node.namespace} of {cluster}" if cluster else node.namespace
    shifted = [f"{node.namespace}/{service}" for service in services if node.cluster == CLUSTER]
    return Detail(
        node=node,
        reason=reason,
        now_ms=now_ms,
        subtitle=f"{KINDS[node.kind]} in {where}",
        inbound=side(
            Direction.INBOUND,
            node.inbound or nothing,
            courses[Direction.INBOUND],
            span_s=span_s,
            silence=f"Nobody has called it in the last {span}.",
        ),
        outbound=side(
            Direction.OUTBOUND,
            node.outbound or nothing,
            courses[Direction.OUTBOUND],
            span_s=span_s,
            silence=f"It has called nobody in the last {span}.",
        ),
        callers=neighbours(workloads, inbound, callers=True),
        callees=neighbours(workloads, outbound, callers=False),
        versions=_versions(workloads, node),
        instances=instances,
        services=tuple((name, links.service(node.namespace, name, cluster)) for name in services),
        facts=_facts(node, known, cluster),
        config=config,
        traces=tuple(trace_line(item) for item in traces),
        shift=tuple(one for one in shifted if one in shiftable),
        graph_href=links.graph(node.id, type=workloads.type, focus=node.id),
        traces_href=links.traces(app=node.app or node.workload, version=node.version, ns=node.namespace),
        logs_href=links.logs(namespace=node.namespace, workload=node.workload),
        tap_href=links.tap(target=f"{node.workload}.{node.namespace}"),
    )


def _versions(workloads: Snapshot, node: Node) -> tuple[Version, ...]:
    """Its app's workloads, where there are several."""
    app = (node.cluster, node.namespace, node.app)
    alike = [
        one
        for one in workloads.nodes.values()
        if node.app and is_workload(one) and (one.cluster, one.namespace, one.app) == app
    ]
    if len(alike) < 2:
        return ()
    ids = {one.id for one in alike}
    inbound = [edge for edge in workloads.edges.values() if edge.target in ids]
    return versions(workloads, inbound, alike)


def _facts(node: Node, known: Sequence[Workload], cluster: str) -> tuple[tuple[str, str], ...]:
    traffic = node.inbound or node.outbound
    accounts = sorted({one.service_account for one in known if one.service_account})
    pairs = [
        ("Identity", ", ".join(node.principals)),
        ("Service account", ", ".join(accounts)),
        ("Mutual TLS", fmt.mutual_tls(traffic.mtls) if traffic else ""),
        ("Replicas", _replicas(node, known)),
        ("App", node.app),
        ("Version", ", ".join(sorted({one.ref.version for one in known if one.ref.version})) or node.version),
        ("Cluster", cluster),
        ("In the mesh", ", ".join(WORDS[badge] for badge in node.badges if badge in WORDS)),
        ("Hosts", ", ".join(node.hosts[:5])),
        ("Judged by", node.tolerances),
        ("Labels", "\n".join(f"{name}={value}" for name, value in node.labels)),
    ]
    return tuple((name, value) for name, value in pairs if value)


def _replicas(node: Node, known: Sequence[Workload]) -> str:
    if node.replicas is None:
        return ""
    desired = sum(one.desired or 0 for one in known)
    return f"{node.replicas} of {desired}" if desired else str(node.replicas)
