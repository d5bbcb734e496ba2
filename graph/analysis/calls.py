"""The view that questions of flow are asked of: who calls whom, and how often per request that it receives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import networkx as nx

from graph.model import Edge, Snapshot


class Call(NamedTuple):
    """One edge with traffic."""

    edge: Edge
    per_request: float
    """Calls per request that the caller gets, 0-1: more than one call is one certain call.

    Where the caller's requests are not counted (it is called by plain TCP, or by nobody), the edge's share among the
    edges to the same service.
    """

    @property
    def target(self) -> str:
        """Who is called."""
        return self.edge.target


@dataclass(frozen=True, slots=True)
class Calls:
    """Every edge that has traffic in the window. Edges of one caller to one service are alternatives: a group."""

    graph: nx.DiGraph
    """Callers and callees by id; parallel edges are one. Nodes without traffic are not in it."""
    groups: Mapping[str, Sequence[Sequence[Call]]]
    """Per caller its calls, put together by the service that they ask for."""
    circles: Sequence[Sequence[str]]
    """All nodes, callees before their callers; those that call each other in circles stand together."""
    entries: frozenset[str]
    """Where traffic begins: nodes that nobody calls, and circles of nodes that nobody else calls."""

    def of(self, caller: str) -> Iterator[Call]:
        """Every call of a node."""
        for group in self.groups.get(caller, ()):
            yield from group


def calls_of(snapshot: Snapshot) -> Calls:
    """Make the view on a snapshot."""
    busy = [edge for edge in snapshot.edges.values() if flow(edge)]
    requests_in: defaultdict[str, float] = defaultdict(float)
    groups: defaultdict[str, defaultdict[str, list[Edge]]] = defaultdict(lambda: defaultdict(list))
    for edge in busy:
        requests_in[edge.target] += edge.signals.rate
        groups[edge.source][edge.service or edge.id].append(edge)
    graph = nx.DiGraph((edge.source, edge.target) for edge in busy)
    circles = nx.condensation(graph)
    members: Mapping[int, set[str]] = circles.nodes(data="members")
    return Calls(
        graph,
        {caller: [_group(edges, requests_in[caller]) for edges in of.values()] for caller, of in groups.items()},
        [sorted(members[number]) for number in reversed(list(nx.topological_sort(circles)))],
        frozenset(id_ for number, callers in circles.in_degree() if not callers for id_ in members[number]),
    )


def flow(edge: Edge) -> float:
    """How much goes over an edge per second: requests, else bytes, else connections; 0: nothing."""
    signals = edge.signals
    return signals.rate or signals.sent_bps + signals.received_bps or signals.opened_rate


def _group(edges: Iterable[Edge], requests_in: float) -> list[Call]:
    edges = list(edges)
    whole = sum(flow(edge) for edge in edges)
    return [
        Call(
            edge, min(1.0, edge.signals.rate / requests_in if requests_in and edge.signals.rate else flow(edge) / whole)
        )
        for edge in edges
    ]
