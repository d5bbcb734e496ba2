"""Where things stand in a drawing of very many nodes: each namespace a block, blocks in rows as words in a text.

Layers over the whole mesh would make a picture so long that nobody could read it. Callers still stand left of whom
they call within their block, and blocks come in the order of their calls.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from graph.export.layout import HEIGHT, MARGIN, NAMELESS, PADDING, TITLE, WIDTH, Band, Box, Layout, Point
from graph.model import Snapshot
from graph.paths import layers

ACROSS, DOWN = WIDTH + 44, HEIGHT + 22
"""From node to node in a block."""
ASPECT = 1.5
"""Width by height of a block and, about, of the whole drawing."""


def lay_out(snapshot: Snapshot) -> Layout:
    """Find a place for everything; edges are straight."""
    blocks = {band: _grid(ids) for band, ids in _bands(snapshot).items()}
    rows = list(_rows(blocks))
    nodes: dict[str, Point] = {}
    boxes = []
    top = float(MARGIN)
    for row in rows:
        left = float(MARGIN)
        for band in row:
            width, height = _size(blocks[band])
            if band[1] not in NAMELESS:
                boxes.append(Box(band, Point(left, top), width, height))
            nodes |= _places(blocks[band], Point(left + PADDING, top + TITLE + PADDING))
            left += width + MARGIN
        top += max(_size(blocks[band])[1] for band in row) + MARGIN
    return Layout(
        nodes=nodes,
        ways={},
        boxes=tuple(boxes),
        width=max(corner.x for corner in nodes.values()) + WIDTH + PADDING + MARGIN,
        height=top,
    )


def _bands(snapshot: Snapshot) -> Mapping[Band, Sequence[str]]:
    """The nodes of each namespace, callers first; a cluster's namespaces together, those that call most others first."""
    rank = {id_: number for number, ids in enumerate(layers(snapshot)) for id_ in ids}
    found: defaultdict[Band, list[str]] = defaultdict(list)
    for id_ in sorted(snapshot.nodes, key=lambda one: (rank[one], one)):
        found[snapshot.nodes[id_].cluster, snapshot.nodes[id_].namespace].append(id_)
    order = sorted(found, key=lambda band: (band[0], fmean(rank[id_] for id_ in found[band]), band))
    return {band: found[band] for band in order}


def _grid(ids: Sequence[str]) -> Sequence[Sequence[str]]:
    """Cut into columns, so that a block is about as wide as it ought to be."""
    tall = math.ceil(math.sqrt(len(ids) * ACROSS / DOWN / ASPECT))
    return [ids[first : first + tall] for first in range(0, len(ids), tall)]


def _size(grid: Sequence[Sequence[str]]) -> tuple[float, float]:
    """Width and height of a block's box."""
    return len(grid) * ACROSS - (ACROSS - WIDTH) + 2 * PADDING, TITLE + len(grid[0]) * DOWN - (
        DOWN - HEIGHT
    ) + 2 * PADDING


def _rows(blocks: Mapping[Band, Sequence[Sequence[str]]]) -> Iterator[Sequence[Band]]:
    """Break the blocks into rows of about the same width."""
    area = sum(math.prod(_size(grid)) for grid in blocks.values())
    widest = max(math.sqrt(area * ASPECT), *(_size(grid)[0] for grid in blocks.values()), 0)
    row: list[Band] = []
    used = 0.0
    for band, grid in blocks.items():
        if row and used + _size(grid)[0] > widest:
            yield row
            row, used = [], 0.0
        row.append(band)
        used += _size(grid)[0] + MARGIN
    yield row


def _places(grid: Sequence[Sequence[str]], corner: Point) -> Mapping[str, Point]:
    return {
        id_: Point(corner.x + column * ACROSS, corner.y + row * DOWN)
        for column, ids in enumerate(grid)
        for row, id_ in enumerate(ids)
    }
