"""Overview: is the mesh well, what is wrong, and which of its sources can be believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from console.views import format as fmt
from console.views import links
from console.views.item import several_clusters
from console.views.metrics import Metric
from console.views.peers import doubt, edge_name
from console.views.shell import MutualTls
from console.views.spark import spark
from graph.alerts import Alert
from graph.course import Course
from graph.model import Edge, Health, Node, Presence, Snapshot
from mesh_runtime.control import CertificateInfo
from mesh_runtime.store.port import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that is not well, and where to look at it."""

    href: str
    name: str
    health: Health
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A workload's certificate."""

    workload: str
    href: str
    identity: str
    left: str
    soon: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A part of the product and how it does."""

    name: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One revision of the config."""

    number: int
    at_ms: int
    author: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The page."""

    now_ms: int
    verdict: str
    tone: str
    counts: tuple[tuple[str, str, int], ...]
    """Tone, word and number of nodes."""
    metrics: tuple[Metric, ...]
    trouble: tuple[Trouble, ...]
    firing: tuple[Alert, ...]
    proxies: tuple[tuple[str, str], ...]
    out_of_sync: tuple[tuple[str, str], ...]
    """Proxy and why."""
    changes: tuple[Change, ...]
    certificates: tuple[Certificate, ...]
    sources: tuple[Source, ...]


def entering(snapshot: Snapshot) -> tuple[Edge, ...]:
    """Edges by which requests come in: their source is called by nobody."""
    called = {edge.target for edge in snapshot.edges.values()}
    return tuple(edge for edge in snapshot.edges.values() if edge.source not in called)


def busiest(edges: Iterable[Edge]) -> Edge | None:
    """The edge whose course stands for all of them."""
    return max(edges, key=lambda edge: edge.signals.rate, default=None)


def counts(nodes: Iterable[Node]) -> Mapping[Health, int]:
    """Nodes by health."""
    found = dict.fromkeys(Health, 0)
    for node in nodes:
        found[node.health] += 1
    return found


def metrics(snapshot: Snapshot, course: Course, mutual: MutualTls) -> tuple[Metric, ...]:
    """The golden signals of what enters the mesh."""
    edges = entering(snapshot)
    requests = sum(edge.signals.requests for edge in edges)
    errors = sum(edge.signals.errors for edge in edges)
    main = busiest(edges)
    rate, window = sum(edge.signals.rate for edge in edges), fmt.window(snapshot.window_s)
    share, _, percent = fmt.percent(errors / requests if requests else None).partition(" ")
    p95, _, unit = fmt.milliseconds(main.signals.p95_ms if main else None).partition(" ")
    protected, _, protected_unit = mutual.value.partition(" ")
    return (
        Metric(
            label="Requests entering",
            value=fmt.rate(rate),
            unit="rps",
            hint=f"{fmt.count(requests)} in {window}",
            picture=spark(course.rate, tone="accent", text=f"Requests entering, now {fmt.rate(rate)} per second"),
        ),
        Metric(
            label="Of these failed",
            value=share,
            unit=percent,
            hint=f"{fmt.count(errors)} in {window}",
            picture=spark(course.error_ratio, tone="error" if errors else "ok", text=f"Failed share, now {share} %"),
        ),
        Metric(
            label="Latency p95",
            value=p95,
            unit=unit,
            hint="as those outside feel it",
            picture=spark(course.p95_ms, tone="warn", text=f"p95 latency of what enters, now {p95} {unit}"),
        ),
        Metric(label="Mutual TLS", value=protected, unit=protected_unit, hint=mutual.explanation, picture=None),
    )


def trouble(snapshot: Snapshot) -> tuple[Trouble, ...]:
    """Edges that are not well, worst first, and stale ones."""
    found = []
    several = several_clusters(snapshot)
    for edge in snapshot.edges.values():
        if edge.presence is Presence.STALE:
            text, health = doubt(edge), Health.NOT_READY
        elif edge.health in {Health.FAILURE, Health.DEGRADED}:
            signals = edge.signals
            text = (
                f"{fmt.percent(signals.error_ratio)} of {fmt.rate(signals.rate)} rps fail,"
                f" p95 {fmt.milliseconds(signals.p95_ms)}"
            )
            health = edge.health
        else:
            continue
        found.append(
            (
                edge.signals.error_ratio,
                Trouble(
                    href=links.graph(edge.id),
                    name=edge_name(snapshot, edge) + (f" in {_clusters(snapshot, edge)}" if several else ""),
                    health=health,
                    text=text,
                ),
            )
        )
    return tuple(item for _, item in sorted(found, key=lambda pair: -pair[0]))


def _clusters(snapshot: Snapshot, edge: Edge) -> str:
    """The cluster of both ends, or those of each."""
    ends = (snapshot.nodes[end].cluster for end in (edge.source, edge.target) if end in snapshot.nodes)
    return " → ".join(dict.fromkeys(ends))


def verdict(by_health: Mapping[Health, int], firing: Sequence[Alert], out_of_sync: int) -> tuple[str, str]:
    """One true sentence about the mesh, and its tone."""
    if by_health[Health.FAILURE]:
        return f"{fmt.plural(by_health[Health.FAILURE], 'node')} failing", "error"
    if firing:
        return f"{fmt.plural(len(firing), 'alert')} firing", "error"
    if by_health[Health.DEGRADED]:
        return f"{fmt.plural(by_health[Health.DEGRADED], 'node')} degraded", "warn"
    if out_of_sync:
        return f"{fmt.plural(out_of_sync, 'proxy', 'proxies')} not in sync", "warn"
    if not by_health[Health.HEALTHY]:
        return "No traffic has been seen yet", "idle"
    return "All is well", "ok"


def changes(history: Sequence[Revision]) -> tuple[Change, ...]:
    """The newest revisions."""
    return tuple(
        Change(
            number=item.number,
            at_ms=item.at_ms,
            author=item.author or "unknown",
            reason=item.reason or "no reason given",
        )
        for item in history
    )


def certificate(leaf: CertificateInfo, now_ms: int) -> Certificate:
    """How long a certificate still holds; "soon" is less than a quarter of its life."""
    left = leaf.not_after_ms - now_ms
    return Certificate(
        workload=leaf.workload,
        href=links.certificate(leaf.instance_id),
        identity=leaf.identity,
        left=fmt.duration(left / 1000) if left > 0 else "expired",
        soon=left < (leaf.not_after_ms - leaf.not_before_ms) / 4,
    )
