"""Cycles of calls: services that need each other, directly or through others."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from graph.model import Snapshot
from graph.paths import view


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One strongly connected component: each of its nodes reaches every other one, and itself, by calls."""

    nodes: tuple[str, ...]
    edges: tuple[str, ...]
    """The edges between its nodes."""
    way: tuple[str, ...]
    """One shortest way around, which ends where it begins."""
    rate: float
    """Requests per second between its nodes."""


def cycles(snapshot: Snapshot) -> tuple[Cycle, ...]:
    """Find every cycle, the busiest first. A node that calls itself is one, too."""
    graph = view(snapshot)
    groups = [group for group in nx.strongly_connected_components(graph) if _is_cycle(graph, group)]
    return tuple(
        sorted((_cycle(snapshot, graph.subgraph(group)) for group in groups), key=lambda one: (-one.rate, one.nodes))
    )


def _is_cycle(graph: nx.DiGraph, group: set[str]) -> bool:
    return len(group) > 1 or any(graph.has_edge(node, node) for node in group)


def _cycle(snapshot: Snapshot, circle: nx.DiGraph) -> Cycle:
    inside = [edge for edge in snapshot.edges.values() if circle.has_edge(edge.source, edge.target)]
    nodes = sorted(circle)
    return Cycle(
        nodes=tuple(nodes),
        edges=tuple(sorted(edge.id for edge in inside)),
        way=min((_around(circle, node) for node in nodes), key=len),
        rate=sum(edge.signals.rate for edge in inside),
    )


def _around(circle: nx.DiGraph, node: str) -> tuple[str, ...]:
    ways = (nx.shortest_path(circle, callee, node) for callee in sorted(circle[node]))
    return (node, *min(ways, key=len))
