"""Services: the list, and one service in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from console.views import format as fmt
from console.views import links
from console.views.applied import Applied
from console.views.item import Neighbour, Side, Version, neighbours, several_clusters, side, versions
from console.views.listing import Row, row
from console.views.reasons import Reasons
from console.views.selection import Trace, trace_line
from graph.course import Course
from graph.health import Direction
from graph.model import UNDECLARED, Edge, Health, Inventory, Node, NodeKind, Service, ServiceRef, Signals, Snapshot
from graph.ports import TraceSummary
from mesh_runtime.api.objects import CLUSTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One service."""

    ref: ServiceRef
    health: Health
    reason: str
    """Why it is not well."""
    now_ms: int
    subtitle: str
    inbound: Side
    versions: tuple[Version, ...]
    callers: tuple[Neighbour, ...]
    callees: tuple[Neighbour, ...]
    facts: tuple[tuple[str, str], ...]
    config: tuple[Applied, ...]
    traces: tuple[Trace, ...]
    shift: str
    graph_href: str


def rows(
    services: Snapshot, inventory: Inventory, shiftable: Mapping[str, Sequence[str]], reasons: Reasons
) -> tuple[Row, ...]:
    """Every service of the service graph."""
    several = several_clusters(services)
    return tuple(
        row(
            node,
            name=node.service,
            icon="globe" if node.kind is NodeKind.EXTERNAL else "server",
            href=links.service(node.namespace, node.service, node.cluster if several else ""),
            reason=reasons.of(node),
            versions=_versions_of(node, inventory, shiftable),
            shift=_shift(node, shiftable),
        )
        for node in services.nodes.values()
        if node.service and node.kind not in UNDECLARED
    )


def _versions_of(node: Node, inventory: Inventory, shiftable: Mapping[str, Sequence[str]]) -> Sequence[str]:
    known = inventory.services.get(ServiceRef(node.cluster, node.namespace, node.service))
    found = sorted({ref.version for ref in known.workloads if ref.version}) if known else ()
    return found or shiftable.get(_shift(node, shiftable), ())


def _shift(node: Node, shiftable: Mapping[str, Sequence[str]]) -> str:
    """Wizards write to the bundled mesh only."""
    key = f"{node.namespace}/{node.service}"
    return key if key in shiftable and node.cluster == CLUSTER else ""


def calls(snapshot: Snapshot, ref: ServiceRef) -> list[Edge]:
    """The edges whose requests asked for a service."""
    name = f"{ref.namespace}/{ref.name}"
    return [edge for edge in snapshot.edges.values() if edge.service == name and edge.keys[0].service == ref]


def detail(
    node: Node | None,
    ref: ServiceRef,
    *,
    services: Snapshot,
    workloads: Snapshot,
    course: Course,
    span_s: int,
    reason: str,
    known: Service | None,
    selector: Mapping[str, str],
    config: tuple[Applied, ...],
    traces: Sequence[TraceSummary],
    shiftable: Mapping[str, Sequence[str]],
    now_ms: int,
) -> Detail:
    """Describe one service; *node* is ``None`` where nothing of it has been seen; *known*: by the inventory."""
    seen = node.inbound if node else None
    inbound = calls(workloads, ref)
    callees = [edge for edge in services.edges.values() if node and edge.source == node.id]
    nothing = Signals(services.window_s, services.window_s)
    silence = f"Nobody has called it in the last {fmt.window(span_s)}."
    where = f" of {ref.cluster}" if several_clusters(services) else ""
    outside = node is not None and node.kind is NodeKind.EXTERNAL
    return Detail(
        ref=ref,
        health=node.health if node else Health.IDLE,
        reason=reason,
        now_ms=now_ms,
        subtitle="Host outside the mesh" if outside else f"Service in {ref.namespace}{where}",
        inbound=side(Direction.INBOUND, seen or nothing, course, span_s=span_s, silence=silence),
        versions=versions(workloads, inbound),
        callers=neighbours(workloads, inbound, callers=True, whole=True),
        callees=neighbours(services, callees, callers=False),
        facts=_facts(known, selector, seen),
        config=config,
        traces=tuple(trace_line(item) for item in traces),
        shift=_shift(node, shiftable) if node else "",
        graph_href=links.graph(node.id, type="service", focus=node.id) if node else "/graph",
    )


def _facts(known: Service | None, selector: Mapping[str, str], seen: Signals | None) -> tuple[tuple[str, str], ...]:
    ports = ", ".join(f"{number} {protocol}" for number, protocol in known.ports.items()) if known else ""
    pairs = [
        ("Ports", ports),
        ("Selects", ", ".join(f"{name}={value}" for name, value in selector.items())),
        ("Hosts", ", ".join(known.hosts[:5]) if known else ""),
        ("Mutual TLS", fmt.mutual_tls(seen.mtls) if seen else ""),
    ]
    return tuple((name, value) for name, value in pairs if value)
