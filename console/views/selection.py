"""The side panel: everything known about one node or one edge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from console.views import format as fmt
from console.views.applied import Applied, applied
from console.views.flags import explained
from console.views.metrics import Metric, metrics
from console.views.peers import Peer, busiest, doubt, edge_name, peer
from console.views.undeclared import Undeclared, undeclared_hosts
from console.views.ways import Way, ways_of_edge, ways_of_node
from graph.course import Course
from graph.model import (
    OUTSIDE_HOSTS,
    UNDECLARED,
    Edge,
    Evidence,
    Health,
    Node,
    NodeKind,
    Outcome,
    Presence,
    Protocol,
    Reporter,
    Signals,
    Snapshot,
)
from graph.ports import TraceSummary
from mesh_runtime.api.objects import Config

KINDS: Mapping[NodeKind, str] = {
    NodeKind.WORKLOAD: "Workload",
    NodeKind.APP: "App",
    NodeKind.SERVICE: "Service",
    NodeKind.GATEWAY: "Gateway",
    NodeKind.DATABASE: "Database",
    NodeKind.QUEUE: "Queue",
    NodeKind.EXTERNAL: "Outside the mesh",
    NodeKind.PASSTHROUGH: "Undeclared hosts, passed on",
    NodeKind.BLACK_HOLE: "Undeclared hosts, refused",
    NodeKind.OPERATION: "Operation",
    NodeKind.PROBE: "Probe",
    NodeKind.SCRAPER: "Scraper of metrics",
    NodeKind.OUTSIDE: "Client outside the mesh",
    NodeKind.UNKNOWN: "Caller without labels",
}
REPORTERS: Mapping[Reporter, str] = {
    Reporter.SOURCE: "the caller's proxy",
    Reporter.DESTINATION: "the callee's proxy",
    Reporter.WAYPOINT: "a waypoint",
    Reporter.APPLICATION: "the caller's own metrics",
    Reporter.TRACE: "traces",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a number comes from and how old it is."""

    reporter: str
    shown: bool
    instances: int
    requests: str
    at_ms: int
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One line of recent traces."""

    href: str
    name: str
    duration: str
    failed: bool
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The panel, ready to draw."""

    title: str
    subtitle: str
    health: Health
    now_ms: int
    metrics: tuple[Metric, ...] = ()
    reason: str = ""
    """Why it is not well."""
    silence: str = ""
    """Why there are no numbers."""
    inbound: tuple[Peer, ...] = ()
    outbound: tuple[Peer, ...] = ()
    outcomes: tuple[tuple[str, str, bool], ...] = ()
    """Code, share, and whether it is a failure."""
    flags: tuple[tuple[str, str], ...] = ()
    """Flags and refusals among the answers, each with its meaning."""
    undeclared: Undeclared | None = None
    """What is known about hosts that nobody declared, when that is what was chosen."""
    facts: tuple[tuple[str, str], ...] = ()
    config: tuple[Applied, ...] = ()
    sources: tuple[Source, ...] = ()
    traces: tuple[Trace, ...] = ()
    ways: tuple[Way, ...] = ()
    shift: str = ""
    """``namespace/service`` whose traffic can be shifted."""


def node_view(
    snapshot: Snapshot,
    node: Node,
    *,
    course: Course,
    config: Config,
    traces: Sequence[TraceSummary],
    shiftable: Iterable[str],
    reason: str,
    now_ms: int,
) -> Selection:
    """Describe a node. *reason*: why it is not well."""
    inbound = [edge for edge in snapshot.edges.values() if edge.target == node.id]
    outbound = [edge for edge in snapshot.edges.values() if edge.source == node.id]
    signals = node.inbound or node.outbound
    direction = "received" if node.inbound else "sent"
    service = _service_of(node, inbound) if node.kind not in UNDECLARED else ""
    namespace = node.namespace if node.kind not in UNDECLARED else ""
    return Selection(
        title=node.title,
        subtitle=" · ".join(filter(None, (KINDS[node.kind], namespace, _replicas(node)))),
        health=node.health,
        now_ms=now_ms,
        reason=reason,
        metrics=metrics(signals, course, _protocol(inbound or outbound), direction) if signals else (),
        silence="" if signals else f"No traffic in the last {fmt.window(snapshot.window_s)}.",
        inbound=tuple(peer(snapshot, edge, edge.source) for edge in busiest(inbound)),
        outbound=tuple(peer(snapshot, edge, edge.target) for edge in busiest(outbound)),
        outcomes=_outcomes(node.inbound) if node.inbound else (),
        flags=explained(_happened(node.inbound)) if node.inbound else (),
        undeclared=undeclared_hosts(node, [snapshot.nodes.get(edge.source) for edge in busiest(inbound)]),
        facts=_identity(node, signals),
        config=applied(config, node.namespace, service) if service and node.kind not in OUTSIDE_HOSTS else (),
        sources=_sources([evidence for edge in inbound or outbound for evidence in edge.evidence]),
        traces=tuple(trace_line(item) for item in traces),
        ways=ways_of_node(node, service),
        shift=_shift(f"{node.namespace}/{service}", shiftable),
    )


def edge_view(
    snapshot: Snapshot,
    edge: Edge,
    *,
    course: Course,
    config: Config,
    traces: Sequence[TraceSummary],
    shiftable: Iterable[str],
    now_ms: int,
) -> Selection:
    """Describe an edge."""
    namespace, _, service = edge.service.partition("/")
    idle = f"No traffic in the last {fmt.window(snapshot.window_s)}." if edge.presence is Presence.IDLE else ""
    source, target = snapshot.nodes.get(edge.source), snapshot.nodes.get(edge.target)
    declared = bool(edge.service) and (target is None or target.kind not in UNDECLARED)
    return Selection(
        title=edge_name(snapshot, edge),
        subtitle=" · ".join(filter(None, (edge.protocol.upper(), f"to service {edge.service}" if declared else ""))),
        health=edge.health,
        now_ms=now_ms,
        metrics=metrics(edge.signals, course, edge.protocol, "sent") if edge.presence is not Presence.IDLE else (),
        silence=doubt(edge) or idle,
        outcomes=_outcomes(edge.signals),
        flags=explained(_happened(edge.signals)),
        undeclared=undeclared_hosts(target, [source]) if target else None,
        facts=(("Mutual TLS", fmt.mutual_tls(edge.signals.mtls)), *_volume(edge.signals, edge.protocol)),
        config=applied(config, namespace, service) if declared else (),
        sources=_sources(edge.evidence),
        traces=tuple(trace_line(item) for item in traces),
        ways=ways_of_edge(source, target, edge.service if declared else ""),
        shift=_shift(edge.service, shiftable),
    )


def _shift(service: str, shiftable: Iterable[str]) -> str:
    return service if service in set(shiftable) else ""


def _service_of(node: Node, inbound: Sequence[Edge]) -> str:
    if node.service:
        return node.service
    called = Counter(edge.service for edge in inbound if edge.service.startswith(f"{node.namespace}/"))
    return (
        called.most_common(1)[0][0].partition("/")[2] if called else ("" if node.kind is NodeKind.GATEWAY else node.app)
    )


def _replicas(node: Node) -> str:
    return fmt.plural(node.replicas, "replica") if node.replicas is not None else ""


def _protocol(edges: Sequence[Edge]) -> Protocol:
    return busiest(edges)[0].protocol if edges else Protocol.HTTP


def _outcomes(signals: Signals) -> tuple[tuple[str, str, bool], ...]:
    rows: Counter[tuple[str, bool]] = Counter()
    for outcome, count in signals.outcomes.items():
        code = "no response" if outcome.code in {"0", "-"} else outcome.code
        text = " · ".join(
            filter(None, (code, f"gRPC {outcome.grpc}" if outcome.grpc else "", outcome.flags.strip("-")))
        )
        failed = code == "no response" or code.startswith("5") or outcome.grpc not in {"", "0"}
        rows[text, failed] += count  # type: ignore[assignment]
    total = sum(rows.values())
    return tuple((text, fmt.percent(count / total), failed) for (text, failed), count in rows.most_common() if count)


def _happened(signals: Signals) -> list[Outcome]:
    return [outcome for outcome, count in signals.outcomes.items() if count]


def _identity(node: Node, signals: Signals | None) -> tuple[tuple[str, str], ...]:
    pairs = [("Workload", node.workload), ("Service", node.service), ("Cluster", node.cluster)]
    pairs += [("Identity", principal) for principal in node.principals[:2]]
    pairs += [("Hosts", ", ".join(node.hosts[:5])), ("Why", node.reason), ("Judged by", node.tolerances)]
    return (
        *((name, value) for name, value in pairs if value),
        *((("Mutual TLS", fmt.mutual_tls(signals.mtls)),) if signals else ()),
    )


def _volume(signals: Signals, protocol: Protocol) -> tuple[tuple[str, str], ...]:
    pairs = [("Mean latency", fmt.milliseconds(signals.mean_ms))] if signals.mean_ms is not None else []
    if protocol is Protocol.TCP:
        pairs += [("Sent", fmt.throughput(signals.sent_bps)), ("Received", fmt.throughput(signals.received_bps))]
    if signals.covered_s < signals.window_s * 0.95:
        pairs.append(("Data covers", f"{fmt.duration(signals.covered_s)} of {fmt.window(signals.window_s)}"))
    return tuple(pairs)


def _sources(evidence: Iterable[Evidence]) -> tuple[Source, ...]:
    """One row per reporter; the first evidence of an edge is the one shown."""
    merged: dict[Reporter, list[Evidence]] = {}
    for item in evidence:
        merged.setdefault(item.reporter, []).append(item)
    return tuple(
        Source(
            reporter=REPORTERS[reporter],
            shown=position == 0,
            instances=max(item.instances for item in items),
            requests=fmt.count(sum(item.requests for item in items)),
            at_ms=max(item.at_ms for item in items),
            origin=items[0].origin,
        )
        for position, (reporter, items) in enumerate(merged.items())
    )


def trace_line(item: TraceSummary) -> Trace:
    """One line of a list of traces."""
    return Trace(
        href=f"/traces/{item.trace_id}",
        name=item.root_name,
        duration=fmt.nanoseconds(item.duration_ns),
        failed=item.errors > 0,
        at_ms=item.start_ns // 1_000_000,
    )
