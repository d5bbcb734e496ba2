"""The side panel: everything known about one node, one edge, or the mesh when nothing is chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from console.views import format as fmt
from console.views import links
from console.views.applied import Applied, applied
from console.views.flags import explained
from console.views.health import PRIORITY
from console.views.spark import Spark, spark
from console.views.ways import Way, ways_of_edge, ways_of_node
from graph.model import (
    OUTSIDE,
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
class Course:
    """How the signals went over the window, oldest first; ``None``: not known then."""

    rate: Sequence[float | None] = ()
    error_ratio: Sequence[float | None] = ()
    p95_ms: Sequence[float | None] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One golden signal."""

    label: str
    value: str
    unit: str
    hint: str
    picture: Spark | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One row of who talks to it."""

    edge_id: str
    name: str
    health: Health
    rate: str
    errors: str
    failing: bool
    p95: str


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
class Undeclared:
    """Hosts that nobody declared: what happens to their requests, and how they get a name."""

    tone: str
    head: str
    text: str
    command: str
    """Tells which hosts they are."""
    declare_href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The panel, ready to draw."""

    title: str
    subtitle: str
    health: Health
    now_ms: int
    metrics: tuple[Metric, ...] = ()
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """The panel when nothing is chosen."""

    healthy: int
    trouble: tuple[tuple[str, str, Health], ...]
    """Id, name and health of what is not well."""
    metrics: tuple[tuple[str, str], ...]
    shiftable: tuple[tuple[str, str, str], ...]
    """``namespace/service``, its name, and its versions."""
    title: str
    about: str


def node_view(
    snapshot: Snapshot,
    node: Node,
    *,
    course: Course,
    config: Config,
    traces: Sequence[TraceSummary],
    shiftable: Iterable[str],
    now_ms: int,
) -> Selection:
    """Describe a node."""
    inbound = [edge for edge in snapshot.edges.values() if edge.target == node.id]
    outbound = [edge for edge in snapshot.edges.values() if edge.source == node.id]
    signals = node.inbound or node.outbound
    direction = "received" if node.inbound else "sent"
    service = _service_of(node, inbound) if node.kind not in UNDECLARED else ""
    namespace = node.namespace if node.kind not in UNDECLARED else ""
    return Selection(
        title=name_of(node),
        subtitle=" · ".join(filter(None, (KINDS[node.kind], namespace, _replicas(node)))),
        health=node.health,
        now_ms=now_ms,
        metrics=metrics(signals, course, _protocol(inbound or outbound), direction) if signals else (),
        silence="" if signals else f"No traffic in the last {fmt.window(snapshot.window_s)}.",
        inbound=tuple(peer(snapshot, edge, edge.source) for edge in _busiest(inbound)),
        outbound=tuple(peer(snapshot, edge, edge.target) for edge in _busiest(outbound)),
        outcomes=_outcomes(node.inbound) if node.inbound else (),
        flags=explained(_happened(node.inbound)) if node.inbound else (),
        undeclared=_undeclared(node, [snapshot.nodes.get(edge.source) for edge in _busiest(inbound)]),
        facts=_identity(node, signals),
        config=applied(config, node.namespace, service) if service and node.kind not in OUTSIDE else (),
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
    silence = {
        Presence.IDLE: f"No traffic in the last {fmt.window(snapshot.window_s)}.",
        Presence.STALE: "Its proxies have not been heard; these are the last numbers known.",
        Presence.LIVE: "",
    }[edge.presence]
    source, target = snapshot.nodes.get(edge.source), snapshot.nodes.get(edge.target)
    declared = bool(edge.service) and (target is None or target.kind not in UNDECLARED)
    return Selection(
        title=edge_name(snapshot, edge),
        subtitle=" · ".join(filter(None, (edge.protocol.upper(), f"to service {edge.service}" if declared else ""))),
        health=edge.health,
        now_ms=now_ms,
        metrics=metrics(edge.signals, course, edge.protocol, "sent") if edge.presence is not Presence.IDLE else (),
        silence=silence,
        outcomes=_outcomes(edge.signals),
        flags=explained(_happened(edge.signals)),
        undeclared=_undeclared(target, [source]) if target else None,
        facts=(*_security(edge.signals), *_volume(edge.signals, edge.protocol)),
        config=applied(config, namespace, service) if declared else (),
        sources=_sources(edge.evidence),
        traces=tuple(trace_line(item) for item in traces),
        ways=ways_of_edge(source, target, edge.service if declared else ""),
        shift=_shift(edge.service, shiftable),
    )


def mesh_view(
    snapshot: Snapshot, shiftable: Mapping[str, Sequence[str]], *, title: str = "This mesh", about: str = ""
) -> Mesh:
    """Describe the whole picture, or a box of it: what is wrong first, then what one could do."""
    sick = [node for node in snapshot.nodes.values() if node.health in PRIORITY[:3]]
    sick.sort(key=lambda node: (PRIORITY.index(node.health), node.label))
    called = {edge.target for edge in snapshot.edges.values()}
    entering = [edge.signals for edge in snapshot.edges.values() if edge.source not in called]
    requests = sum(signals.requests for signals in entering)
    slowest = max(((edge.signals.p95_ms or 0.0) for edge in snapshot.edges.values()), default=0.0)
    return Mesh(
        healthy=sum(node.health is Health.HEALTHY for node in snapshot.nodes.values()),
        trouble=tuple((node.id, _name(node, node.id), node.health) for node in sick),
        metrics=(
            ("Requests entering", f"{fmt.rate(sum(signals.rate for signals in entering))} rps"),
            (
                "Of these failed",
                fmt.percent(sum(signals.errors for signals in entering) / requests if requests else None),
            ),
            ("Slowest p95 of an edge", fmt.milliseconds(slowest or None)),
        ),
        shiftable=tuple(
            (key, key.partition("/")[2], ", ".join(versions)) for key, versions in sorted(shiftable.items())
        ),
        title=title,
        about=". ".join(filter(None, (about, f"Last {fmt.window(snapshot.window_s)}"))),
    )


def metrics(signals: Signals, course: Course, protocol: Protocol, direction: str) -> tuple[Metric, ...]:
    """Requests, errors and latency; bytes for TCP."""
    if protocol is Protocol.TCP and not signals.requests:
        return volumes(signals)
    window = fmt.window(signals.window_s)
    failing = signals.errors > 0
    ratio, _, percent_unit = fmt.percent(signals.error_ratio).partition(" ")
    latency, _, latency_unit = fmt.milliseconds(signals.p95_ms).partition(" ")
    rate = fmt.rate(signals.rate)
    return (
        Metric(
            label="Requests",
            value=rate,
            unit="rps",
            hint=f"{fmt.count(signals.requests)} {direction} in {window}",
            picture=spark(course.rate, tone="accent", text=f"Requests over the window, now {rate} per second"),
        ),
        Metric(
            label="Errors",
            value=ratio,
            unit=percent_unit,
            hint=f"{fmt.count(signals.errors)} failed in {window}",
            picture=spark(
                course.error_ratio, tone="error" if failing else "ok", text=f"Errors over the window, now {ratio} %"
            ),
        ),
        Metric(
            label="Latency p95",
            value=latency,
            unit=latency_unit,
            hint=f"p50 {fmt.milliseconds(signals.p50_ms)} · p99 {fmt.milliseconds(signals.p99_ms)}",
            picture=spark(
                course.p95_ms, tone="warn", text=f"p95 latency over the window, now {latency} {latency_unit}"
            ),
        ),
    )


def volumes(signals: Signals) -> tuple[Metric, ...]:
    """Bytes both ways, and connections."""
    sent, _, unit = fmt.throughput(signals.sent_bps).partition(" ")
    received, _, back = fmt.throughput(signals.received_bps).partition(" ")
    return (
        Metric(label="Sent", value=sent, unit=unit, hint="from source to target", picture=None),
        Metric(label="Received", value=received, unit=back, hint="from target to source", picture=None),
        Metric(label="Connections", value=fmt.rate(signals.opened_rate), unit="opened/s", hint="", picture=None),
    )


def name_of(node: Node) -> str:
    """The label with the version, unless the label says it already, as a workload's does."""
    return node.label if not node.version or node.label.endswith(f"-{node.version}") else f"{node.label} {node.version}"


def edge_name(snapshot: Snapshot, edge: Edge) -> str:
    """Both ends of an edge, as people say it."""
    return (
        f"{_name(snapshot.nodes.get(edge.source), edge.source)} → {_name(snapshot.nodes.get(edge.target), edge.target)}"
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


def _name(node: Node | None, fallback: str) -> str:
    return name_of(node) if node else fallback


def _replicas(node: Node) -> str:
    return fmt.plural(node.replicas, "replica") if node.replicas is not None else ""


def _busiest(edges: Iterable[Edge]) -> list[Edge]:
    return sorted(edges, key=lambda edge: (-edge.signals.rate, edge.id))


def _protocol(edges: Sequence[Edge]) -> Protocol:
    return _busiest(edges)[0].protocol if edges else Protocol.HTTP


def peer(snapshot: Snapshot, edge: Edge, other: str, *, name: str = "") -> Peer:
    """Describe an edge by its other end."""
    tcp = edge.protocol is Protocol.TCP and not edge.signals.requests
    return Peer(
        edge_id=edge.id,
        name=name or _name(snapshot.nodes.get(other), other),
        health=edge.health,
        rate=fmt.throughput(edge.signals.sent_bps + edge.signals.received_bps) if tcp else fmt.rate(edge.signals.rate),
        errors=fmt.NONE if tcp else fmt.percent(edge.signals.error_ratio),
        failing=edge.signals.errors > 0,
        p95=fmt.milliseconds(edge.signals.p95_ms),
    )


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


def _undeclared(node: Node, callers: Sequence[Node | None]) -> Undeclared | None:
    caller = next((caller for caller in callers if caller and caller.workload), None)
    namespace = caller.namespace if caller else ""
    command = f"meshscope logs {caller.workload} -n {namespace} --proxy" if caller else ""
    declare_href = links.declare(namespace)
    if node.kind is NodeKind.PASSTHROUGH:
        return Undeclared(
            tone="warn",
            head="The mesh lets these requests through. ",
            text="Nobody declared their hosts, so no rule, timeout, mutual TLS or policy of the mesh applies to them. "
            "Metrics do not carry the hosts; the callers' access logs do, once a Telemetry turns them on.",
            command=command,
            declare_href=declare_href,
        )
    if node.kind is NodeKind.BLACK_HOLE:
        return Undeclared(
            tone="error",
            head="The mesh refuses these requests. ",
            text="Nobody declared their hosts, and the mesh passes on to declared ones only "
            "(outboundTrafficPolicy REGISTRY_ONLY). Metrics do not carry the hosts; the callers' access logs do, once a Telemetry turns them on.",
            command=command,
            declare_href=declare_href,
        )
    return None


def _identity(node: Node, signals: Signals | None) -> tuple[tuple[str, str], ...]:
    pairs = [("Workload", node.workload), ("Service", node.service), ("Cluster", node.cluster)]
    pairs += [("Identity", principal) for principal in node.principals[:2]]
    pairs += [("Hosts", ", ".join(node.hosts[:5])), ("Why", node.reason), ("Judged by", node.tolerances)]
    return (*((name, value) for name, value in pairs if value), *(_security(signals) if signals else ()))


def _security(signals: Signals) -> tuple[tuple[str, str], ...]:
    if signals.mtls is None:
        return (("Mutual TLS", "not measured"),)
    return (("Mutual TLS", "all traffic" if signals.mtls >= 0.9995 else f"{fmt.percent(signals.mtls)} of traffic"),)


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
