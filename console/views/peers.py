"""What nodes and edges are called, and an edge as a row that names its other end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from console.views import format as fmt
from graph.model import Edge, Health, Node, Presence, Protocol, Snapshot


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


def edge_name(snapshot: Snapshot, edge: Edge) -> str:
    """Both ends of an edge, as people say it."""
    return (
        f"{_end(snapshot.nodes.get(edge.source), edge.source)} → {_end(snapshot.nodes.get(edge.target), edge.target)}"
    )


def doubt(edge: Edge) -> str:
    """Why the numbers of an edge may be old; ``""`` where they are not."""
    if edge.reason:
        return f"Nothing newer is known: {edge.reason}"
    return "Its proxies are silent; these are the last numbers known." if edge.presence is Presence.STALE else ""


def _end(node: Node | None, fallback: str) -> str:
    return node.title if node else fallback


def busiest(edges: Iterable[Edge]) -> list[Edge]:
    """Put the edges with the most requests first."""
    return sorted(edges, key=lambda edge: (-edge.signals.rate, edge.id))


def peer(snapshot: Snapshot, edge: Edge, other: str, *, name: str = "") -> Peer:
    """Describe an edge by its other end."""
    tcp = edge.protocol is Protocol.TCP and not edge.signals.requests
    return Peer(
        edge_id=edge.id,
        name=name or _end(snapshot.nodes.get(other), other),
        health=edge.health,
        rate=fmt.throughput(edge.signals.sent_bps + edge.signals.received_bps) if tcp else fmt.rate(edge.signals.rate),
        errors=fmt.percent(edge.signals.error_ratio if edge.signals.requests else None),
        failing=edge.signals.errors > 0,
        p95=fmt.milliseconds(edge.signals.p95_ms),
    )
