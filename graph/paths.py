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


def layers(snapshot: Snapshot) -> list[list[str]]:
    """Columns of ids, each caller left of whom it calls, circles apart; within a column in a stable order."""
    graph = view(snapshot)
    condensed = nx.condensation(graph)
    columns: Iterator[list[int]] = nx.topological_generations(condensed)
    return [sorted(id_ for group in column for id_ in condensed.nodes[group]["members"]) for column in columns]
