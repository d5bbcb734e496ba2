"""Graphviz' language."""

from __future__ import annotations

from graph.export.words import COLOURS, FOUND, box_title, by_namespace, caption, printable
from graph.model import Edge, Health, Node, NodeKind, Snapshot
from graph.query import Found

SHAPES = {
    NodeKind.SERVICE: "triangle",
    NodeKind.DATABASE: "cylinder",
    NodeKind.QUEUE: "cds",
    NodeKind.GATEWAY: "house",
    NodeKind.EXTERNAL: "trapezium",
    NodeKind.PASSTHROUGH: "invtrapezium",
    NodeKind.BLACK_HOLE: "doublecircle",
    NodeKind.UNKNOWN: "diamond",
    NodeKind.PROBE: "diamond",
    NodeKind.SCRAPER: "diamond",
    NodeKind.OUTSIDE: "diamond",
    NodeKind.OPERATION: "hexagon",
}


def dot(snapshot: Snapshot, found: Found) -> str:
    """Graphviz, namespaces as clusters; what was found is filled or thick."""
    lines = ["digraph mesh {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for number, (place, nodes) in enumerate(by_namespace(snapshot).items()):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(box_title(*place, snapshot))};"]
        lines += [_node(node, is_found=node.id in found.nodes) for node in nodes]
        lines.append("  }")
    lines += [_edge(edge, is_found=edge.id in found.edges) for edge in snapshot.edges.values()]
    return "\n".join([*lines, "}", ""])


def _node(node: Node, *, is_found: bool) -> str:
    mark = f', style="rounded,filled", fillcolor={_quoted(FOUND)}' if is_found else ""
    shape = SHAPES.get(node.kind, "box")
    return f"    {_quoted(node.id)} [label={_quoted(node.title)}, shape={shape}, color={_quoted(COLOURS[node.health])}{mark}];"


def _edge(edge: Edge, *, is_found: bool) -> str:
    style = "solid" if edge.health is not Health.IDLE else "dashed"
    mark = ", penwidth=4" if is_found else ""
    return (
        f"  {_quoted(edge.source)} -> {_quoted(edge.target)} "
        f"[label={_quoted(caption(edge))}, color={_quoted(COLOURS[edge.health])}, style={style}{mark}];"
    )


def _quoted(text: str) -> str:
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'
