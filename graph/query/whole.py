"""What operands need to know of the graph around a node or an edge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from functools import cached_property

from graph import figures
from graph.model import Edge, Protocol, Snapshot

LOWEST_RANK = 100


class Whole:
    """One snapshot, and figures of it that are made once, when first asked for."""

    def __init__(self, snapshot: Snapshot, namespaces: Collection[str] = ()) -> None:
        """Take a snapshot; ``namespaces``: those that a user chose, none for all."""
        self._snapshot = snapshot
        self.namespaces = frozenset(namespaces)

    def inbound(self, node: str, protocol: Protocol) -> float | None:
        """Return what reaches a node by one protocol: requests per second, of plain TCP bytes; ``None``: no edge."""
        return self._sides[0].get((node, protocol))

    def outbound(self, node: str, protocol: Protocol) -> float | None:
        """Return what leaves it."""
        return self._sides[1].get((node, protocol))

    def percent_of_source(self, edge: Edge) -> float | None:
        """Return how much of what its source sends by its protocol goes over an edge, of a hundred."""
        whole = self.outbound(edge.source, edge.protocol)
        return round(100 * _flow(edge) / whole, 2) if whole else None

    def rank(self, node: str) -> int:
        """Return how connected a node is: 1 for those with most edges, then 2 and so on, at most 100 (Kiali's rank)."""
        return self._ranks[self._edges[node]]

    @cached_property
    def _edges(self) -> Counter[str]:
        return Counter(end for edge in self._snapshot.edges.values() for end in (edge.source, edge.target))

    @cached_property
    def _ranks(self) -> Mapping[int, int]:
        counts = sorted({self._edges[id_] for id_ in self._snapshot.nodes}, reverse=True)
        return {count: min(rank, LOWEST_RANK) for rank, count in enumerate(counts, 1)}

    @cached_property
    def _sides(self) -> tuple[Mapping[tuple[str, Protocol], float], Mapping[tuple[str, Protocol], float]]:
        sides: tuple[defaultdict[tuple[str, Protocol], float], ...] = (defaultdict(float), defaultdict(float))
        for edge in self._snapshot.edges.values():
            for side, end in zip(sides, (edge.target, edge.source), strict=True):
                side[end, edge.protocol] += _flow(edge)
        inbound, outbound = ({end: round(flow, 3) for end, flow in side.items()} for side in sides)
        return inbound, outbound


def _flow(edge: Edge) -> float:
    if edge.protocol is Protocol.TCP:
        return figures.sent(edge.signals) + figures.received(edge.signals)
    return figures.rate(edge.signals)
