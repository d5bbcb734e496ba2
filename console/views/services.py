"""Services: a searchable, sortable table, and one service in detail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from console.views import format as fmt
from console.views import links
from console.views.applied import Applied, applied
from console.views.health import PRIORITY
from console.views.selection import Course, Metric, Peer, Trace, edge_name, metrics, peer, trace_line
from graph.model import UNDECLARED, Edge, Health, Node, NodeKind, Protocol, Signals, Snapshot
from graph.ports import TraceSummary
from mesh_runtime.api.core import Service
from mesh_runtime.api.objects import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One service."""

    namespace: str
    name: str
    outside: bool
    health: Health
    rate: float
    throughput: float
    error_ratio: float | None
    p95_ms: float | None
    versions: tuple[str, ...]
    mtls: float | None
    protocol: str
    shift: str

    @property
    def href(self) -> str:
        """Its page."""
        return links.service(self.namespace, self.name)


KEYS: Mapping[str, Callable[[Row], object]] = {
    "name": lambda row: (row.name, row.namespace),
    "namespace": lambda row: (row.namespace, row.name),
    "health": lambda row: (PRIORITY.index(row.health), row.name),
    "rate": lambda row: (-row.rate, -row.throughput, row.name),
    "errors": lambda row: (-(row.error_ratio if row.error_ratio is not None else -1.0), row.name),
    "p95": lambda row: (-(row.p95_ms or -1.0), row.name),
}
"""Sort orders; the natural direction puts what one looks for first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The table."""

    rows: tuple[Row, ...]
    total: int
    sort: str
    reverse: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a service."""

    node: str
    name: str
    health: Health
    replicas: str
    rate: str
    share: str
    errors: str
    failing: bool
    p95: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One service."""

    namespace: str
    name: str
    health: Health
    now_ms: int
    subtitle: str
    silence: str
    metrics: tuple[Metric, ...]
    versions: tuple[Version, ...]
    callers: tuple[Peer, ...]
    callees: tuple[Peer, ...]
    facts: tuple[tuple[str, str], ...]
    config: tuple[Applied, ...]
    traces: tuple[Trace, ...]
    shift: str
    graph_href: str


def rows(services: Snapshot, versions: Mapping[str, Sequence[str]], config: Config) -> tuple[Row, ...]:
    """Every service of the service graph; *versions* are those that can be shifted between."""
    protocols: defaultdict[str, set[str]] = defaultdict(set)
    for edge in services.edges.values():
        protocols[edge.target].add(edge.protocol)
    declared = {(item.key.namespace, item.key.name): _protocols(item.spec) for item in config.of("Service")}
    return tuple(
        _row(node, protocols[node.id] or declared.get((node.namespace, node.service), set()), versions)
        for node in services.nodes.values()
        if node.service and node.kind not in UNDECLARED
    )


def _row(node: Node, protocols: Iterable[str], versions: Mapping[str, Sequence[str]]) -> Row:
    seen = node.inbound
    key = f"{node.namespace}/{node.service}"
    return Row(
        namespace=node.namespace,
        name=node.service,
        outside=node.kind is NodeKind.EXTERNAL,
        health=node.health,
        rate=seen.rate if seen else 0.0,
        throughput=seen.sent_bps + seen.received_bps if seen else 0.0,
        error_ratio=seen.error_ratio if seen and seen.requests else None,
        p95_ms=seen.p95_ms if seen else None,
        versions=tuple(versions.get(key, ())),
        mtls=seen.mtls if seen else None,
        protocol=", ".join(sorted(protocols)),
        shift=key if key in versions else "",
    )


def _protocols(spec: object) -> set[str]:
    return {port.mesh_protocol for port in spec.ports} if isinstance(spec, Service) else set()


def listing(found: Sequence[Row], *, text: str = "", sort: str = "health", reverse: bool = False) -> Listing:
    """Search by any word of name and namespace; sort by a key of :data:`KEYS`."""
    words = text.lower().split()
    kept = [row for row in found if all(word in f"{row.namespace}/{row.name}".lower() for word in words)]
    order = sort if sort in KEYS else "health"
    kept.sort(key=KEYS[order], reverse=reverse)  # type: ignore[arg-type]
    return Listing(rows=tuple(kept), total=len(found), sort=order, reverse=reverse, text=text)


def detail(
    node: Node | None,
    *,
    namespace: str,
    name: str,
    services: Snapshot,
    versioned: Snapshot,
    course: Course,
    config: Config,
    traces: Sequence[TraceSummary],
    shiftable: Mapping[str, Sequence[str]],
    now_ms: int,
) -> Detail:
    """Describe one service; *node* is ``None`` where nothing of it has been seen."""
    seen = node.inbound if node else None
    inbound = [edge for edge in versioned.edges.values() if edge.service == f"{namespace}/{name}"]
    callees = [edge for edge in services.edges.values() if node and edge.source == node.id]
    key = f"{namespace}/{name}"
    return Detail(
        namespace=namespace,
        name=name,
        health=node.health if node else Health.IDLE,
        now_ms=now_ms,
        subtitle="Host outside the mesh" if node and node.kind is NodeKind.EXTERNAL else f"Service in {namespace}",
        silence="" if seen else f"Nobody has called it in the last {fmt.window(services.window_s)}.",
        metrics=metrics(seen, course, _protocol(inbound), "received") if seen else (),
        versions=_versions(versioned, inbound),
        callers=_callers(versioned, inbound),
        callees=tuple(peer(services, edge, edge.target) for edge in sorted(callees, key=lambda e: -e.signals.rate)),
        facts=_facts(config, namespace, name, seen),
        config=applied(config, namespace, name),
        traces=tuple(trace_line(item) for item in traces),
        shift=key if key in shiftable else "",
        graph_href=links.graph(node.id, type="service") if node else "/graph",
    )


def _protocol(edges: Sequence[Edge]) -> Protocol:
    return max(edges, key=lambda edge: edge.signals.rate).protocol if edges else Protocol.HTTP


def _versions(versioned: Snapshot, inbound: Sequence[Edge]) -> tuple[Version, ...]:
    by_target: defaultdict[str, list[Edge]] = defaultdict(list)
    for edge in inbound:
        by_target[edge.target].append(edge)
    total = sum(edge.signals.rate for edge in inbound)
    found = []
    for target, edges in sorted(by_target.items()):
        node = versioned.nodes.get(target)
        if node is None or node.kind is NodeKind.EXTERNAL:
            continue
        rate = sum(edge.signals.rate for edge in edges)
        requests = sum(edge.signals.requests for edge in edges)
        errors = sum(edge.signals.errors for edge in edges)
        found.append(
            Version(
                node=target,
                name=node.version or "no version",
                health=node.health,
                replicas=str(node.replicas or fmt.NONE),
                rate=fmt.rate(rate),
                share=fmt.percent(rate / total if total else None),
                errors=fmt.percent(errors / requests if requests else None),
                failing=errors > 0,
                p95=fmt.milliseconds(max((edge.signals.p95_ms or 0.0 for edge in edges), default=0.0) or None),
            )
        )
    return tuple(found)


def _callers(versioned: Snapshot, inbound: Sequence[Edge]) -> tuple[Peer, ...]:
    return tuple(
        peer(versioned, edge, edge.source, name=edge_name(versioned, edge))
        for edge in sorted(inbound, key=lambda edge: (-edge.signals.rate, edge.id))
    )


def _facts(config: Config, namespace: str, name: str, seen: Signals | None) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for item in config.of("Service", namespace):
        if item.key.name == name and isinstance(item.spec, Service):
            ports = ", ".join(f"{port.port} {port.mesh_protocol}" for port in item.spec.ports)
            pairs.append(("Ports", ports))
            if item.spec.selector:
                pairs.append(("Selects", ", ".join(f"{key}={value}" for key, value in item.spec.selector.items())))
            pairs.append(("DNS", f"{name}.{namespace}.svc.cluster.local"))
    if seen is not None:
        mtls = "not measured" if seen.mtls is None else "all traffic" if seen.mtls >= 0.9995 else fmt.percent(seen.mtls)
        pairs.append(("Mutual TLS", mtls))
    return tuple(pairs)
