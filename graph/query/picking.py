"""What of a snapshot an expression finds, and what is left when it hides."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from graph.model import Snapshot
from graph.query.parsing import Query
from graph.query.whole import Whole


class Found(NamedTuple):
    """Ids of what an expression speaks of."""

    nodes: frozenset[str]
    edges: frozenset[str]


def find(snapshot: Snapshot, query: Query, namespaces: Collection[str] = ()) -> Found:
    """Find the nodes and edges; ``namespaces``: those that a user chose, for ``outside``."""
    whole = Whole(snapshot, namespaces)
    return Found(
        frozenset(id_ for id_, node in snapshot.nodes.items() if query.matches_node(node, whole)),
        frozenset(id_ for id_, edge in snapshot.edges.items() if query.matches_edge(edge, whole)),
    )


def hide(snapshot: Snapshot, query: Query, namespaces: Collection[str] = ()) -> Snapshot:
    """Take the nodes and edges away, edges that lose an end, and nodes that lose their last edge, as Kiali does."""
    gone = find(snapshot, query, namespaces)
    edges = {
        id_: edge
        for id_, edge in snapshot.edges.items()
        if id_ not in gone.edges and not {edge.source, edge.target} & gone.nodes
    }
    had, has = ({end for edge in of.values() for end in (edge.source, edge.target)} for of in (snapshot.edges, edges))
    kept = {
        id_: node for id_, node in snapshot.nodes.items() if id_ not in gone.nodes and (id_ in has or id_ not in had)
    }
    return replace(snapshot, nodes=kept, edges=edges)
