"""A snapshot in the formats that other tools read: DOT, GraphML, Mermaid, SVG."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import networkx as nx

from graph.model import Edge, Health, Node, NodeKind, Protocol, Snapshot
from graph.paths import layers

COLOURS = {
    Health.FAILURE: "#d64545",
    Health.DEGRADED: "#d98c1f",
    Health.NOT_READY: "#7a7f87",
    Health.HEALTHY: "#2e9e6b",
    Health.IDLE: "#9aa1ab",
}
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


def dot(snapshot: Snapshot) -> str:
    """Graphviz, namespaces as clusters."""
    lines = ["digraph mesh {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for number, (namespace, nodes) in enumerate(_by_namespace(snapshot).items()):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(namespace)};"]
        for node in nodes:
            shape = SHAPES.get(node.kind, "box")
            lines.append(
                f"    {_quoted(node.id)} [label={_quoted(_title(node))}, shape={shape}, color={_quoted(COLOURS[node.health])}];"
            )
        lines.append("  }")
    for edge in snapshot.edges.values():
        style = "solid" if edge.health is not Health.IDLE else "dashed"
        lines.append(
            f"  {_quoted(edge.source)} -> {_quoted(edge.target)} "
            f"[label={_quoted(caption(edge))}, color={_quoted(COLOURS[edge.health])}, style={style}];"
        )
    return "\n".join([*lines, "}", ""])


def mermaid(snapshot: Snapshot) -> str:
    """A Mermaid flowchart, namespaces as subgraphs."""
    numbers = count()
    names = {id_: f"n{next(numbers)}" for id_ in snapshot.nodes}
    lines = ["flowchart LR"]
    for number, (namespace, nodes) in enumerate(_by_namespace(snapshot).items()):
        lines.append(f"  subgraph s{number}[{_entities(namespace)}]")
        lines += [f"    {names[node.id]}[{_entities(_title(node))}]" for node in nodes]
        lines.append("  end")
    for edge in snapshot.edges.values():
        arrow = "-->" if edge.health is not Health.IDLE else "-.->"
        lines.append(f"  {names[edge.source]} {arrow}|{_entities(caption(edge))}| {names[edge.target]}")
    for health, colour in COLOURS.items():
        marked = [names[node.id] for node in snapshot.nodes.values() if node.health is health]
        if marked:
            lines += [f"  classDef {health} stroke:{colour},stroke-width:2px", f"  class {','.join(marked)} {health}"]
    return "\n".join([*lines, ""])


def graphml(snapshot: Snapshot) -> str:
    """GraphML with every number as an attribute; parallel edges differ by protocol."""
    graph = nx.MultiDiGraph()
    for node in snapshot.nodes.values():
        graph.add_node(node.id, **_facts_of_node(node))
    for edge in snapshot.edges.values():
        graph.add_edge(edge.source, edge.target, key=edge.protocol.value, **_facts_of_edge(edge))
    return "\n".join([*nx.generate_graphml(graph), ""])


def svg(snapshot: Snapshot) -> str:
    """A drawing in layers from the callers on the left to the called on the right."""
    columns = layers(snapshot)
    place = {id_: (40 + 260 * x, 40 + 90 * y) for x, column in enumerate(columns) for y, id_ in enumerate(column)}
    width = 40 + 260 * max(1, len(columns))
    height = 60 + 90 * max([1, *map(len, columns)])
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="sans-serif" font-size="12">'
        ),
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        (
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0L8 4L0 8z" fill="#7a7f87"/></marker></defs>'
        ),
    ]
    lines += [_svg_edge(edge, place) for edge in snapshot.edges.values()]
    lines += [_svg_node(node, *place[node.id]) for node in snapshot.nodes.values()]
    return "\n".join([*lines, "</svg>", ""])


FORMATS: Mapping[str, Callable[[Snapshot], str]] = {"dot": dot, "graphml": graphml, "mermaid": mermaid, "svg": svg}
"""Every format by its name."""


def caption(edge: Edge) -> str:
    """Say what flows on an edge in one line."""
    signals = edge.signals
    if edge.health is Health.IDLE:
        return "no traffic"
    words = [] if edge.protocol is Protocol.TCP and not signals.requests else [f"{signals.rate:.1f}/s"]
    if edge.protocol is Protocol.TCP:
        words.append(f"{(signals.sent_bps + signals.received_bps) / 1000:.1f} kB/s")
    if signals.error_ratio:
        words.append(f"{signals.error_ratio:.1%} errors")
    if signals.p95_ms is not None:
        words.append(f"p95 {signals.p95_ms:.0f} ms")
    return ", ".join(words)


def _title(node: Node) -> str:
    return f"{node.label} {node.version}".rstrip()


def _by_namespace(snapshot: Snapshot) -> dict[str, list[Node]]:
    found: defaultdict[str, list[Node]] = defaultdict(list)
    for node in snapshot.nodes.values():
        found[node.namespace].append(node)
    return dict(sorted(found.items()))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _entities(text: str) -> str:
    """Write a Mermaid text; marks that mean something to Mermaid become character references."""
    return '"' + "".join(one if one.isalnum() or one in " .,-/%:" else f"#{ord(one)};" for one in text) + '"'


def _facts_of_node(node: Node) -> dict[str, Any]:
    return {
        "label": node.label,
        "kind": node.kind.value,
        "namespace": node.namespace,
        "app": node.app,
        "version": node.version,
        "health": node.health.value,
        "rate_in": node.inbound.rate if node.inbound else 0.0,
        "rate_out": node.outbound.rate if node.outbound else 0.0,
    }


def _facts_of_edge(edge: Edge) -> dict[str, Any]:
    signals = edge.signals
    numbers = {
        "rate": signals.rate,
        "requests": signals.requests,
        "error_ratio": signals.error_ratio,
        "p50_ms": signals.p50_ms,
        "p95_ms": signals.p95_ms,
        "p99_ms": signals.p99_ms,
        "sent_bps": signals.sent_bps,
        "received_bps": signals.received_bps,
        "mtls": signals.mtls,
    }
    known = {name: float(value) for name, value in numbers.items() if value is not None}
    return {"protocol": edge.protocol.value, "service": edge.service, "health": edge.health.value, **known}


def _svg_node(node: Node, x: int, y: int) -> str:
    return (
        f'<g><title>{escape(node.id)}</title><rect x="{x}" y="{y}" width="150" height="44" rx="8" fill="#ffffff" '
        f'stroke={quoteattr(COLOURS[node.health])} stroke-width="2"/>'
        f'<text x="{x + 75}" y="{y + 19}" text-anchor="middle" font-weight="600">{escape(_title(node))}</text>'
        f'<text x="{x + 75}" y="{y + 35}" text-anchor="middle" fill="#5b626c">{escape(node.namespace)}</text></g>'
    )


def _svg_edge(edge: Edge, place: Mapping[str, tuple[int, int]]) -> str:
    (x1, y1), (x2, y2) = place[edge.source], place[edge.target]
    x1, y1, y2 = x1 + 150, y1 + 22, y2 + 22
    bend = max(60, abs(x2 - x1) // 2)
    return (
        f'<path d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" fill="none" '
        f'stroke={quoteattr(COLOURS[edge.health])} stroke-width="1.6" marker-end="url(#arrow)"/>'
        f'<text x="{(x1 + x2) // 2}" y="{(y1 + y2) // 2 - 6}" text-anchor="middle" font-size="10" fill="#3c424b">'
        f"{escape(caption(edge))}</text>"
    )
