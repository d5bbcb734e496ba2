"""What terms can be about. An operand is a text or texts, a number, or yes or no; of a node or of an edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graph import figures
from graph.health import status
from graph.model import OUTSIDE_HOSTS, STRANGERS, UNDECLARED, UNKNOWN, Edge, Health, Node, NodeKind, Presence, Protocol
from graph.query.units import BYTES_PER_SECOND, COUNT, MILLISECONDS, PER_SECOND, PERCENT, Unit
from graph.query.whole import Whole
from graph.wire import NO_FLAGS

Text = str | tuple[str, ...]
Number = float | None
"""``None``: not measured, or not known."""

LABEL = "label:"

KINDS: Mapping[NodeKind, tuple[str, ...]] = {
    **{kind: (kind.value,) for kind in NodeKind},
    NodeKind.WORKLOAD: ("workload", "wl"),
    NodeKind.SERVICE: ("service", "svc"),
    NodeKind.OPERATION: ("operation", "op"),
    **{kind: (kind.value, UNKNOWN) for kind in STRANGERS},
}
"""What ``node = …`` may say of each kind."""


@dataclass(frozen=True, slots=True)
class Operand:
    """How to read one operand off a node or an edge of a graph."""

    subject: type[Node | Edge]
    type: type[str | float | bool]
    read: Callable[[Any, Whole], Text | Number | bool]
    values: frozenset[str] = frozenset()
    """All that it can be, where only some texts make sense."""
    unit: Unit = COUNT
    """Of a number: what it is measured in."""


def _badge(name: str) -> Callable[[Node, Whole], bool]:
    return lambda node, _: name in node.badges


def _kind(kind: NodeKind) -> Callable[[Node, Whole], bool]:
    return lambda node, _: node.kind is kind


def _inbound(protocol: Protocol) -> Callable[[Node, Whole], Number]:
    return lambda node, whole: whole.inbound(node.id, protocol)


def _outbound(protocol: Protocol) -> Callable[[Node, Whole], Number]:
    return lambda node, whole: whole.outbound(node.id, protocol)


def _is_outside(node: Node, whole: Whole) -> bool:
    return bool(whole.namespaces) and node.namespace not in {UNKNOWN, *whole.namespaces}


def _of(protocol: Protocol, read: Callable[[Edge, Whole], Number]) -> Callable[[Edge, Whole], Number]:
    return lambda edge, whole: read(edge, whole) if edge.protocol is protocol else None


def _rate(edge: Edge, _: Whole) -> Number:
    return figures.rate(edge.signals)


def _error_percent(edge: Edge, _: Whole) -> Number:
    return figures.error_percent(edge.signals)


def _tcp_bytes(edge: Edge, _: Whole) -> Number:
    return round(figures.sent(edge.signals) + figures.received(edge.signals), 1)


def _throughput(edge: Edge, whole: Whole) -> Number:
    """Count the bytes of connections, and of bodies where the mesh tells them."""
    return round((_tcp_bytes(edge, whole) or 0.0) + figures.of_bodies(edge.signals), 1)


def _share_of_source(edge: Edge, whole: Whole) -> Number:
    return whole.percent_of_source(edge)


_NODE_TEXTS: Mapping[str, Callable[[Node, Whole], Text]] = {
    "name": lambda node, _: (node.label, node.app, node.workload, node.service),
    "namespace": lambda node, _: node.namespace,
    "cluster": lambda node, _: node.cluster,
    "app": lambda node, _: node.app,
    "version": lambda node, _: node.version,
    "workload": lambda node, _: node.workload,
    "service": lambda node, _: node.service,
    "operation": lambda node, _: node.label if node.kind is NodeKind.OPERATION else "",
    "node": lambda node, _: KINDS[node.kind],
    "health": lambda node, _: node.health.value,
    "principal": lambda node, _: node.principals,
}
_NODE_NUMBERS: Mapping[str, Callable[[Node, Whole], Number]] = {
    "replicas": lambda node, _: node.replicas,
    "rank": lambda node, whole: whole.rank(node.id),
    "in": lambda node, _: figures.rate(node.inbound) if node.inbound else None,
    "out": lambda node, _: figures.rate(node.outbound) if node.outbound else None,
    "httpin": _inbound(Protocol.HTTP),
    "httpout": _outbound(Protocol.HTTP),
    "grpcin": _inbound(Protocol.GRPC),
    "grpcout": _outbound(Protocol.GRPC),
    "tcpin": _inbound(Protocol.TCP),
    "tcpout": _outbound(Protocol.TCP),
}
_NODE_FLAGS: Mapping[str, Callable[[Node, Whole], bool]] = {
    "healthy": lambda node, _: node.health in {Health.HEALTHY, Health.IDLE, Health.NOT_READY},
    "degraded": lambda node, _: node.health is Health.DEGRADED,
    "failure": lambda node, _: node.health is Health.FAILURE,
    "idle": lambda node, _: node.inbound is None and node.outbound is None,
    "dead": lambda node, _: node.replicas == 0,
    "unknown": lambda node, _: node.kind in STRANGERS,
    "external": lambda node, _: node.kind in OUTSIDE_HOSTS,
    "outside": _is_outside,
    "inaccessible": lambda node, _: (
        node.namespace == UNKNOWN or node.kind in UNDECLARED or "inaccessible" in node.badges
    ),
    "database": _kind(NodeKind.DATABASE),
    "gateway": _kind(NodeKind.GATEWAY),
    "trafficsource": lambda node, _: node.outbound is not None and node.inbound is None,
    "virtualservice": _badge("virtual-service"),
    "requestrouting": _badge("request-routing"),
    "trafficshifting": _badge("traffic-shifting"),
    "tcptrafficshifting": _badge("tcp-traffic-shifting"),
    "circuitbreaker": _badge("circuit-breaker"),
    "faultinjection": _badge("fault-injection"),
    "requesttimeout": _badge("timeout"),
    "mirroring": _badge("mirroring"),
    "outofmesh": _badge("no-sidecar"),
    "workloadentry": _badge("workload-entry"),
}
_EDGE_TEXTS: Mapping[str, Callable[[Edge, Whole], Text]] = {
    "protocol": lambda edge, _: edge.protocol.value,
    "code": lambda edge, _: tuple({status(edge.protocol, outcome) for outcome in edge.signals.outcomes}),
    "flags": lambda edge, _: tuple({outcome.flags for outcome in edge.signals.outcomes} - NO_FLAGS),
    "sourceprincipal": lambda edge, _: tuple(source for source, _ in edge.principals),
    "destprincipal": lambda edge, _: tuple(target for _, target in edge.principals),
}
_EDGE_NUMBERS: Mapping[str, Callable[[Edge, Whole], Number]] = {
    "rate": _rate,
    "http": _of(Protocol.HTTP, _rate),
    "grpc": _of(Protocol.GRPC, _rate),
    "tcp": _of(Protocol.TCP, _tcp_bytes),
    "%err": _error_percent,
    "%httperr": _of(Protocol.HTTP, _error_percent),
    "%grpcerr": _of(Protocol.GRPC, _error_percent),
    "%httptraffic": _of(Protocol.HTTP, _share_of_source),
    "%grpctraffic": _of(Protocol.GRPC, _share_of_source),
    "p50": lambda edge, _: figures.thousandths(edge.signals.p50_ms),
    "p95": lambda edge, _: figures.thousandths(edge.signals.p95_ms),
    "p99": lambda edge, _: figures.thousandths(edge.signals.p99_ms),
    "throughput": _throughput,
}
_UNITS: Mapping[str, Unit] = {
    **dict.fromkeys(("in", "out", "httpin", "httpout", "grpcin", "grpcout", "rate", "http", "grpc"), PER_SECOND),
    **dict.fromkeys(("tcpin", "tcpout", "tcp", "throughput"), BYTES_PER_SECOND),
    **dict.fromkeys(("%err", "%httperr", "%grpcerr", "%httptraffic", "%grpctraffic"), PERCENT),
    **dict.fromkeys(("p50", "p95", "p99"), MILLISECONDS),
}
"""What numbers are measured in; the others are counts."""
_EDGE_FLAGS: Mapping[str, Callable[[Edge, Whole], bool]] = {
    "mtls": lambda edge, _: bool(figures.thousandths(edge.signals.mtls)),
    "traffic": lambda edge, _: edge.presence is not Presence.IDLE,
    "stale": lambda edge, _: edge.presence is Presence.STALE,
    "unhealthy": lambda edge, _: edge.health in {Health.DEGRADED, Health.FAILURE},
}

OPERANDS: Mapping[str, Operand] = {
    **{name: Operand(Node, str, read) for name, read in _NODE_TEXTS.items()},
    **{name: Operand(Node, float, read, unit=_UNITS.get(name, COUNT)) for name, read in _NODE_NUMBERS.items()},
    **{name: Operand(Node, bool, read) for name, read in _NODE_FLAGS.items()},
    **{name: Operand(Edge, str, read) for name, read in _EDGE_TEXTS.items()},
    **{name: Operand(Edge, float, read, unit=_UNITS.get(name, COUNT)) for name, read in _EDGE_NUMBERS.items()},
    **{name: Operand(Edge, bool, read) for name, read in _EDGE_FLAGS.items()},
    "node": Operand(Node, str, _NODE_TEXTS["node"], frozenset(word for words in KINDS.values() for word in words)),
    "health": Operand(Node, str, _NODE_TEXTS["health"], frozenset(Health)),
    "protocol": Operand(Edge, str, _EDGE_TEXTS["protocol"], frozenset(Protocol)),
}

ALIASES: Mapping[str, str] = {
    "ns": "namespace",
    "wl": "workload",
    "svc": "service",
    "op": "operation",
    "rps": "rate",
    "err": "%err",
    "%error": "%err",
    "%httperror": "%httperr",
    "%grpcerror": "%grpcerr",
    "rt": "p95",
    "responsetime": "p95",
    "root": "trafficsource",
    "outsider": "outside",
    "vs": "virtualservice",
    "rr": "requestrouting",
    "ts": "trafficshifting",
    "tcpts": "tcptrafficshifting",
    "cb": "circuitbreaker",
    "fi": "faultinjection",
    "rto": "requesttimeout",
    "om": "outofmesh",
    "sidecar": "outofmesh",
    "sc": "outofmesh",
    "se": "external",
    "serviceentry": "external",
    "we": "workloadentry",
    "db": "database",
}
"""Kiali's abbreviations and further names. As in Kiali, ``sidecar`` finds nodes that lack one."""


def operand(word: str) -> Operand | None:
    """Find an operand by its name in whatever case, an abbreviation, or ``label:`` and a label's key."""
    if word.lower().startswith(LABEL):
        key = word[len(LABEL) :]
        return Operand(Node, str, lambda node, _: tuple(value for name, value in node.labels if name == key))
    name = word.lower()
    return OPERANDS.get(ALIASES.get(name, name))
