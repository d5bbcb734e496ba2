"""Where things stand in a drawing: callers left of whom they call, namespaces in bands, few crossings.

Layers as Sugiyama's: an edge over several columns gets a place of its own in each of them, so that it passes between
nodes; then each column is put in the order of its neighbours' mean positions, some times forth and back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from graph.model import UNKNOWN, Edge, Snapshot
from graph.paths import layers

WIDTH, HEIGHT = 168, 46
"""Of a node's box."""
COLUMN, ROW, LANE = 420, 74, 20
"""From column to column; what a node takes of one, and what an edge that passes."""
MARGIN, PADDING, TITLE = 28, 20, 26
"""Around everything; inside a namespace's box; of its title."""
SWEEPS = 6
LEAST_COLUMNS = 4
"""Over which nodes without edges may spread."""

Band = tuple[str, str]
"""Cluster and namespace."""
NAMELESS = frozenset({"", UNKNOWN})
"""Namespaces that are none: what stands there has no box."""


class Point(NamedTuple):
    """Pixels from the upper left corner."""

    x: float
    y: float


class Box(NamedTuple):
    """A namespace's box; ``corner`` is its upper left one."""

    band: Band
    corner: Point
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A drawing's places."""

    nodes: Mapping[str, Point]
    """Upper left corners of nodes' boxes."""
    ways: Mapping[str, tuple[Point, ...]]
    """Of edges over several columns: the middles of the places that they pass through."""
    boxes: tuple[Box, ...]
    width: float
    height: float


class _Slot(NamedTuple):
    """One place in a column: a node's, or where an edge passes (``column`` tells its places apart)."""

    id: str
    column: int
    height: int = ROW


Columns = dict[Band, list[list[_Slot]]]


def lay_out(snapshot: Snapshot) -> Layout:
    """Find a place for everything."""
    column_of = _columns_of(snapshot)
    ways = {edge.id: list(_passed(edge, column_of)) for edge in snapshot.edges.values()}
    columns = _columns(snapshot, column_of, ways)
    _uncross(columns, _neighbours(snapshot, column_of, ways))
    places, boxes, height = _places(columns)
    middles = {slot: Point(corner.x + WIDTH / 2, corner.y + LANE / 2) for slot, corner in places.items()}
    return Layout(
        nodes={id_: places[_Slot(id_, column_of[id_])] for id_ in snapshot.nodes},
        ways={id_: tuple(middles[slot] for slot in slots) for id_, slots in ways.items() if slots},
        boxes=boxes,
        width=2 * MARGIN + COLUMN * max(column_of.values(), default=0) + WIDTH + 2 * PADDING,
        height=height,
    )


def _columns_of(snapshot: Snapshot) -> Mapping[str, int]:
    """Callers left of whom they call; nodes without edges where their namespace has most room."""
    linked = {end for edge in snapshot.edges.values() for end in (edge.source, edge.target)}
    column_of = {id_: column for column, ids in enumerate(layers(snapshot)) for id_ in ids if id_ in linked}
    widest = max([*column_of.values(), LEAST_COLUMNS - 1]) + 1
    room: defaultdict[Band, Counter[int]] = defaultdict(Counter)
    for id_, column in column_of.items():
        room[snapshot.nodes[id_].cluster, snapshot.nodes[id_].namespace][column] += 1
    for id_, node in snapshot.nodes.items():
        if id_ not in linked:
            used = room[node.cluster, node.namespace]
            first = min(used, default=0)
            last = max(max(used, default=0), min(first + LEAST_COLUMNS, widest) - 1)
            column_of[id_] = min(range(first, last + 1), key=lambda column: (used[column], column))
            used[column_of[id_]] += 1
    return column_of


def _passed(edge: Edge, column_of: Mapping[str, int]) -> Iterator[_Slot]:
    for column in range(column_of[edge.source] + 1, column_of[edge.target]):
        yield _Slot(edge.id, column, LANE)


def _columns(snapshot: Snapshot, column_of: Mapping[str, int], ways: Mapping[str, Sequence[_Slot]]) -> Columns:
    """Sort everything into bands and columns; bands that begin further left come first, nameless places before all."""
    found: Columns = defaultdict(lambda: [[] for _ in range(max(column_of.values()) + 1)])
    for node in snapshot.nodes.values():
        found[node.cluster, node.namespace][column_of[node.id]].append(_Slot(node.id, column_of[node.id]))
    for id_, slots in ways.items():
        target = snapshot.nodes[snapshot.edges[id_].target]
        for slot in slots:
            found[target.cluster, target.namespace][slot.column].append(slot)
    begin = {band: next(number for number, column in enumerate(columns) if column) for band, columns in found.items()}
    order = sorted(found, key=lambda band: (band[1] not in NAMELESS, begin[band], band))
    return {band: found[band] for band in order}


def _neighbours(
    snapshot: Snapshot, column_of: Mapping[str, int], ways: Mapping[str, Sequence[_Slot]]
) -> Mapping[_Slot, Sequence[_Slot]]:
    found: defaultdict[_Slot, list[_Slot]] = defaultdict(list)
    for edge in snapshot.edges.values():
        ends = [_Slot(id_, column_of[id_]) for id_ in (edge.source, edge.target)]
        chain = [ends[0], *ways[edge.id], ends[1]]
        for one, other in pairwise(chain):
            found[one].append(other)
            found[other].append(one)
    return found


def _uncross(columns: Columns, neighbours: Mapping[_Slot, Sequence[_Slot]]) -> None:
    """Order each column by the mean position of its neighbours to the left, then to the right, and so on."""
    for sweep in range(SWEEPS):
        height = _heights(columns)
        side = -1 if sweep % 2 == 0 else 1
        mean = {
            slot: fmean(near)
            if (near := [height[one] for one in of if (one.column - slot.column) * side > 0])
            else height[slot]
            for slot, of in neighbours.items()
        }
        for band in columns.values():
            for column in band:
                column.sort(key=lambda slot: mean.get(slot, height[slot]))


def _heights(columns: Columns) -> Mapping[_Slot, float]:
    """Where each place begins, were there nothing but places."""
    found: dict[_Slot, float] = {}
    top = 0.0
    for band in columns.values():
        found.update(_stacked(band, top))
        top += max(map(_height, band))
    return found


def _height(column: Sequence[_Slot]) -> int:
    return sum(slot.height for slot in column)


def _stacked(band: Sequence[Sequence[_Slot]], top: float) -> Iterator[tuple[_Slot, float]]:
    """Yield where each place of a band begins, every column in the band's middle."""
    height = max(map(_height, band))
    for column in band:
        y = top + (height - _height(column)) / 2
        for slot in column:
            yield slot, y
            y += slot.height


def _places(columns: Columns) -> tuple[Mapping[_Slot, Point], tuple[Box, ...], float]:
    places: dict[_Slot, Point] = {}
    boxes, top = [], float(MARGIN)
    for band, of in columns.items():
        stacked = _stacked(of, top + TITLE + PADDING)
        places |= {slot: Point(MARGIN + PADDING + slot.column * COLUMN, y) for slot, y in stacked}
        height = TITLE + 2 * PADDING + max(map(_height, of)) - (ROW - HEIGHT)
        if band[1] not in NAMELESS:
            begin = next(number for number, column in enumerate(of) if column)
            end = next(number for number in reversed(range(len(of))) if of[number])
            corner = Point(MARGIN + begin * COLUMN, top)
            boxes.append(Box(band, corner, (end - begin) * COLUMN + WIDTH + 2 * PADDING, height))
        top += height + MARGIN
    return places, tuple(boxes), top
