"""Single points of failure: nodes without a stand-in that traffic depends on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from graph.analysis.blast import Share, shares_needing, traffic_shares
from graph.analysis.calls import Calls, calls_of
from graph.analysis.words import Weakness
from graph.model import STRANGERS, Node, Snapshot

AT_ONCE = 256
"""So many failures are looked at together: per node, each takes 24 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinglePoint:
    """One node, and what hangs on it."""

    id: str
    weaknesses: tuple[Weakness, ...]
    share: Share
    """Of everything that enters the mesh, what needs it (:mod:`graph.analysis.blast`)."""
    cut_off: tuple[str, ...]
    """Nodes that no traffic reaches without it."""
    replicas: int | None
    stand_ins: tuple[str, ...]
    """Other nodes that get calls to the same service, or are of the same app."""


def single_points(snapshot: Snapshot) -> tuple[SinglePoint, ...]:
    """Find the single points of failure among the nodes with traffic, the one that most hangs on first.

    Callers that nobody can name are left out: they are no part of the mesh.
    """
    calls = calls_of(snapshot)
    cut_off = _dominated(calls)
    bridges = set(nx.articulation_points(calls.graph.to_undirected(as_view=True)))
    stand_ins = _stand_ins(snapshot, calls)
    weak: dict[str, tuple[Weakness, ...]] = {}
    for id_ in calls.graph:
        node = snapshot.nodes[id_]
        weaknesses = tuple(_weaknesses(node, cut_off[id_], stand_ins[id_], is_bridge=id_ in bridges))
        if weaknesses and node.kind not in STRANGERS:
            weak[id_] = weaknesses
    found = [
        SinglePoint(
            id=id_,
            weaknesses=weak[id_],
            share=share,
            cut_off=tuple(sorted(cut_off[id_])),
            replicas=snapshot.nodes[id_].replicas,
            stand_ins=tuple(sorted(stand_ins[id_])),
        )
        for id_, share in _shares(calls, list(weak))
    ]
    return tuple(sorted(found, key=lambda one: (-one.share.likely, -len(one.cut_off), one.id)))


def _shares(calls: Calls, weak: Sequence[str]) -> Iterator[tuple[str, Share]]:
    """Return what needs each of these nodes."""
    for first in range(0, len(weak), AT_ONCE):
        some = weak[first : first + AT_ONCE]
        shares = shares_needing(calls, [{id_} for id_ in some])
        yield from zip(some, traffic_shares(calls, shares, len(some)), strict=True)


def _weaknesses(
    node: Node, cut_off: frozenset[str], stand_ins: frozenset[str], *, is_bridge: bool
) -> Iterator[Weakness]:
    if not stand_ins and node.replicas is not None and node.replicas <= 1:
        yield Weakness.ONE_REPLICA
    if cut_off:
        yield Weakness.ONLY_WAY
    if is_bridge:
        yield Weakness.BRIDGE
    if not stand_ins and node.replicas is None:
        yield Weakness.NO_STAND_IN


def _dominated(calls: Calls) -> Mapping[str, frozenset[str]]:
    """Return whom each node dominates (itself apart), seen from all entries together."""
    start = object()
    graph = nx.DiGraph(calls.graph)
    graph.add_node(start)
    graph.add_edges_from((start, id_) for id_ in calls.entries)
    tree = nx.DiGraph(
        (above, id_) for id_, above in nx.immediate_dominators(graph, start).items() if above not in (id_, None)
    )
    return {id_: frozenset(nx.descendants(tree, id_)) for id_ in calls.graph}


def _stand_ins(snapshot: Snapshot, calls: Calls) -> Mapping[str, frozenset[str]]:
    serving: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    serves: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for id_ in calls.graph:
        node = snapshot.nodes[id_]
        if node.app:
            serves[id_].add(("app", node.cluster, node.namespace, node.app))
        for call in calls.of(id_):
            if call.edge.service:
                serves[call.target].add(("service", call.edge.service))
    for id_, names in serves.items():
        for name in names:
            serving[name].add(id_)
    return {id_: frozenset().union(*(serving[name] for name in serves[id_])) - {id_} for id_ in calls.graph}
