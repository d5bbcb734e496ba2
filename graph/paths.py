"""Questions about the shape of a snapshot, answered with networkx on a view made for the question."""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx

from graph.model import Snapshot


def view(snapshot: Snapshot) -> nx.DiGraph:
    """Nodes and calls by id; parallel edges are one."""
    graph = nx.DiGraph()
    graph.add_nodes_from(snapshot.nodes)
    graph.add_edges_from((edge.source, edge.target) for edge in snapshot.edges.values())
    return graph


def callers(snapshot: Snapshot, node: str) -> frozenset[str]:
    """Everyone whose requests may end at the node, directly or through others: who suffers when it fails."""
    return frozenset(nx.ancestors(view(snapshot), node)) if node in snapshot.nodes else frozenset()


def callees(snapshot: Snapshot, node: str) -> frozenset[str]:
    """Everyone the node needs, directly or through others."""
    return frozenset(nx.descendants(view(snapshot), node)) if node in snapshot.nodes else frozenset()


def cycles(snapshot: Snapshot) -> tuple[frozenset[str], ...]:
    """Groups of nodes that call each other in circles."""
    found = nx.strongly_connected_components(view(snapshot))
    return tuple(sorted((frozenset(group) for group in found if len(group) > 1), key=sorted))


def layers(snapshot: Snapshot) -> list[list[str]]:
    """Columns of ids, each caller left of whom it calls, circles apart; within a column in a stable order."""
    graph = view(snapshot)
    condensed = nx.condensation(graph)
    columns: Iterator[list[int]] = nx.topological_generations(condensed)
    return [sorted(id_ for group in column for id_ in condensed.nodes[group]["members"]) for column in columns]
