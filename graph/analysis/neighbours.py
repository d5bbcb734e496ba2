"""The graph around some nodes: Kiali's node graph, to any depth."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from difflib import get_close_matches

import networkx as nx

from graph.analysis.words import Direction
from graph.model import Node, Snapshot
from graph.paths import view


def nodes_named(snapshot: Snapshot, name: str) -> frozenset[str]:
    """Find nodes by id, or by what people call them: ``cart``, ``shop/cart``, ``cart v2``, ``shop/cart v2``.

    A name finds every node that bears it, such as all versions of an app.
    """
    if name in snapshot.nodes:
        return frozenset({name})
    return frozenset(id_ for id_, node in snapshot.nodes.items() if name in _names(node))


def similar_names(snapshot: Snapshot, name: str) -> list[str]:
    """Return up to three names of nodes that look like this one."""
    return get_close_matches(name, {other for node in snapshot.nodes.values() for other in _names(node)}, 3)


def around(snapshot: Snapshot, nodes: Collection[str], depth: int | None, direction: Direction) -> Snapshot:
    """Leave the nodes and whoever is at most ``depth`` calls away (``None``: any number) in the direction.

    Of the edges those are left that lie on the way: upstream none that leads away from the nodes, and so on.
    """
    graph = view(snapshot)
    up = _within(graph.reverse(copy=False), nodes, depth) if direction is not Direction.DOWNSTREAM else {}
    down = _within(graph, nodes, depth) if direction is not Direction.UPSTREAM else {}
    kept = {*nodes, *up, *down}
    edges = {
        id_: edge
        for id_, edge in snapshot.edges.items()
        if _is_on_the_way(up, edge.target, edge.source, depth) or _is_on_the_way(down, edge.source, edge.target, depth)
    }
    return replace(snapshot, nodes={id_: node for id_, node in snapshot.nodes.items() if id_ in kept}, edges=edges)


def _names(node: Node) -> Iterable[str]:
    for name in {node.label, node.workload, node.service} - {""}:
        yield from (name, f"{node.namespace}/{name}")
        if node.version:
            yield from (f"{name} {node.version}", f"{node.namespace}/{name} {node.version}")


def _within(graph: nx.DiGraph, nodes: Collection[str], depth: int | None) -> dict[str, int]:
    """Everyone in reach, and how far away."""
    reached: dict[str, int] = nx.multi_source_dijkstra_path_length(graph, set(nodes), cutoff=depth, weight=None)
    return reached


def _is_on_the_way(reached: dict[str, int], near: str, far: str, depth: int | None) -> bool:
    return near in reached and far in reached and (depth is None or reached[near] < depth)
