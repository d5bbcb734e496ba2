"""A drawing: callers left of whom they call, namespaces as boxes, colours by health."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from graph.export.blocks import lay_out as in_blocks
from graph.export.layout import HEIGHT, MARGIN, WIDTH, Box, Layout, Point, lay_out
from graph.export.routes import Route, smooth, straight
from graph.export.words import COLOURS, FOUND, box_title, caption, printable
from graph.model import Edge, Health, Node, NodeKind, Snapshot
from graph.query import Found

FONT = "Inter, 'DejaVu Sans', 'Helvetica Neue', Arial, sans-serif"
FOOT = 30
LETTER = 5.7
"""Width of a letter of a label, in pixels."""
LABEL = 16
"""Height of a label."""
TROUBLE = {Health.FAILURE, Health.DEGRADED}
"""What frames a label in its colour."""
TRIES = 12
"""How many heights on either side are tried for it."""
LONGEST = 22
"""Letters of a node's name that its box holds."""
READABLE = 8_000
"""A drawing in layers that is higher cannot be painted so that one could read it."""
MOST_TOLD = 120
"""Of a crowd so many edges are told one by one, as on the page."""


def svg(snapshot: Snapshot, found: Found) -> str:
    """Draw a snapshot; what was found is golden. Of a crowd only the edges that matter are told one by one."""
    layout = lay_out(snapshot)
    if layout.height <= READABLE:
        return _drawing(snapshot, found, layout, _told(snapshot.edges.values(), layout, smooth))
    blocks = in_blocks(snapshot)
    telling = {edge.id for edge in _telling(snapshot, found)}
    calm = [straight(edge, blocks).path for edge in snapshot.edges.values() if edge.id not in telling]
    told = _told((snapshot.edges[id_] for id_ in telling), blocks, straight)
    return _drawing(snapshot, found, blocks, told, _calm(calm))


def _telling(snapshot: Snapshot, found: Found) -> Sequence[Edge]:
    """What was found, then what is in trouble, most failures first."""
    telling = [edge for edge in snapshot.edges.values() if edge.health in TROUBLE or edge.id in found.edges]
    return sorted(telling, key=lambda edge: (edge.id not in found.edges, -edge.signals.errors, edge.id))[:MOST_TOLD]


def _told(
    edges: Iterable[Edge], layout: Layout, route: Callable[[Edge, Layout], Route]
) -> Sequence[tuple[Edge, Route]]:
    return [(edge, route(edge, layout)) for edge in edges]


def _drawing(
    snapshot: Snapshot, found: Found, layout: Layout, told: Sequence[tuple[Edge, Route]], calm: str = ""
) -> str:
    width, height = layout.width, layout.height + FOOT
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family={quoteattr(FONT)} font-size="12">'
    )
    lines = [
        head,
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        "<defs>",
        *(_arrow(health) for health in COLOURS),
        "</defs>",
        *(_box(box, snapshot) for box in layout.boxes),
        calm,
        *(_edge(edge, route.path, is_found=edge.id in found.edges) for edge, route in told),
        *(_node(node, layout.nodes[node.id], is_found=node.id in found.nodes) for node in snapshot.nodes.values()),
        *_labels(told),
        _foot(snapshot, layout),
        "</svg>",
    ]
    return printable("\n".join([*lines, ""]))


def _calm(paths: Sequence[str]) -> str:
    return f'<path d="{"".join(paths)}" fill="none" stroke="#8a94a3" stroke-opacity="0.3" stroke-width="0.8"/>'


def _arrow(health: Health) -> str:
    return (
        f'<marker id="arrow-{health}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.5L8 4L0 7.5z" fill="{COLOURS[health]}"/></marker>'
    )


def _box(box: Box, snapshot: Snapshot) -> str:
    x, y = box.corner
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{box.width:g}" height="{box.height:g}" rx="12" fill="#f5f7f9" '
        f'stroke="#dde2e8"/><text x="{x + 16:g}" y="{y + 23:g}" font-weight="600" fill="#5b626c">'
        f"{escape(box_title(*box.band, snapshot))}</text>"
    )


def _node(node: Node, corner: Point, *, is_found: bool) -> str:
    x, y = corner
    colour = COLOURS[node.health]
    halo = (
        f'<rect x="{x - 5:g}" y="{y - 5:g}" width="{WIDTH + 10}" height="{HEIGHT + 10}" rx="13" fill="none" '
        f'stroke="{FOUND}" stroke-width="4"/>'
        if is_found
        else ""
    )
    return (
        f"<g><title>{escape(node.id)}</title>{halo}"
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="9" fill="#ffffff" stroke="{colour}" '
        f'stroke-width="1.6"/><rect x="{x + 8:g}" y="{y + 11:g}" width="4" height="{HEIGHT - 22}" rx="2" fill="{colour}"/>'
        f'<text x="{x + 21:g}" y="{y + 20:g}" font-weight="600" fill="#1c2127">{escape(_short(node.title))}</text>'
        f'<text x="{x + 21:g}" y="{y + 36:g}" font-size="10.5" fill="#5b626c">{escape(_subtitle(node))}</text></g>'
    )


def _subtitle(node: Node) -> str:
    """Say what a node is, where its name does not, and what it gets."""
    plain = node.kind in {NodeKind.APP, NodeKind.WORKLOAD}
    words = [] if plain else [node.kind.value]
    if node.inbound and node.inbound.rate:
        words.append(f"{node.inbound.rate:.1f}/s in")
    elif node.outbound and node.outbound.rate:
        words.append(f"{node.outbound.rate:.1f}/s out")
    return " · ".join(words) or node.health.value.replace("_", " ")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _edge(edge: Edge, path: str, *, is_found: bool) -> str:
    colour = COLOURS[edge.health]
    width = 1.4 + min(2.6, math.log10(1 + edge.signals.rate))
    dashes = ' stroke-dasharray="5 5"' if edge.health is Health.IDLE else ""
    glow = (
        f'<path d="{path}" fill="none" stroke="{FOUND}" stroke-opacity="0.55" stroke-width="{width + 6:.1f}"/>'
        if is_found
        else ""
    )
    return (
        f'<g><title>{escape(edge.id)}</title>{glow}<path d="{path}" fill="none" stroke="{colour}" '
        f'stroke-width="{width:.1f}"{dashes} marker-end="url(#arrow-{edge.health})"/></g>'
    )


def _labels(told: Sequence[tuple[Edge, Route]]) -> Iterator[str]:
    """Write what flows, each label as near to its place as those before it allow."""
    taken: defaultdict[int, list[_Label]] = defaultdict(list)
    for edge, (_, wanted) in sorted(told, key=lambda item: (item[1].middle, item[0].id)):
        text = caption(edge)
        frame = COLOURS[edge.health] if edge.health in TROUBLE else "#e4e8ed"
        half = len(text) * LETTER / 2 + 6
        tries = [_Label(wanted.x, y, half) for y in _nearby(wanted.y)]
        label = next((one for one in tries if not _is_taken(one, taken)), tries[0])
        taken[int(label.y // LABEL)].append(label)
        yield (
            f'<rect x="{label.x - half:.1f}" y="{label.y - LABEL / 2:.1f}" width="{2 * half:.1f}" height="{LABEL}" '
            f'rx="8" fill="#ffffff" fill-opacity="0.92" stroke="{frame}"/><text x="{label.x:.1f}" '
            f'y="{label.y + 3.6:.1f}" text-anchor="middle" font-size="10" fill="#3c424b">{escape(text)}</text>'
        )


class _Label(NamedTuple):
    """The middle of a label, and half its width."""

    x: float
    y: float
    half: float


def _nearby(y: float) -> Iterator[float]:
    """Yield heights further and further away; where all of them are taken, labels may overlap."""
    yield y
    for step in range(1, TRIES):
        yield y + step * (LABEL + 2)
        yield y - step * (LABEL + 2)


def _is_taken(label: _Label, taken: Mapping[int, Sequence[_Label]]) -> bool:
    row = int(label.y // LABEL)
    near = (other for number in (row - 1, row, row + 1) for other in taken.get(number, ()))
    return any(abs(label.x - one.x) < label.half + one.half and abs(label.y - one.y) < LABEL + 1 for one in near)


def _foot(snapshot: Snapshot, layout: Layout) -> str:
    at = datetime.fromtimestamp(snapshot.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    said = (
        f"{snapshot.type}: {len(snapshot.nodes)} nodes, {len(snapshot.edges)} edges, {snapshot.window_s} s until {at}"
    )
    return f'<text x="{MARGIN}" y="{layout.height + 6:g}" font-size="10.5" fill="#7a7f87">{escape(said)}</text>'
