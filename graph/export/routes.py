"""How edges run in a drawing: as smooth lines through the places kept for them, or straight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from graph.export.layout import HEIGHT, WIDTH, Layout, Point
from graph.model import Edge


class Route(NamedTuple):
    """The path of an SVG, and where the edge's label belongs."""

    path: str
    middle: Point


def smooth(edge: Edge, layout: Layout) -> Route:
    """Lead an edge through each place that is kept for it, level."""
    points = list(_passed(edge, layout))
    begin = points[0]
    steps = [f"M{begin.x:g} {begin.y:g}"]
    for one, other in pairwise(points):
        bend = _bend(one, other)
        back = bend if other.x <= one.x else -bend
        steps.append(f"C{one.x + bend:g} {one.y:g} {other.x + back:g} {other.y:g} {other.x:g} {other.y:g}")
    return Route("".join(steps), _middle(points))


def straight(edge: Edge, layout: Layout) -> Route:
    """Lead an edge from border to border of its nodes, as the crow flies."""
    source, target = (_centre(layout.nodes[id_]) for id_ in (edge.source, edge.target))
    begin, end = _border(source, target), _border(target, source)
    path = f"M{begin.x:.0f} {begin.y:.0f}L{end.x:.0f} {end.y:.0f}"
    return Route(path, Point((begin.x + end.x) / 2, (begin.y + end.y) / 2))


def _passed(edge: Edge, layout: Layout) -> Iterator[Point]:
    """Yield the points that an edge goes through: from box to box or, to the same column or back, to its right side."""
    source, target = layout.nodes[edge.source], layout.nodes[edge.target]
    if target.x > source.x:
        yield Point(source.x + WIDTH, source.y + HEIGHT / 2)
        yield from layout.ways.get(edge.id, ())
        yield Point(target.x, target.y + HEIGHT / 2)
    else:
        yield Point(source.x + WIDTH, source.y + HEIGHT / 2 - 9)
        yield Point(target.x + WIDTH, target.y + HEIGHT / 2 + 9)


def _bend(one: Point, other: Point) -> float:
    return (other.x - one.x) / 2 if other.x > one.x else 80.0


def _middle(points: Sequence[Point]) -> Point:
    """Find the place of an edge's label: half-way to the first point that it passes."""
    one, other = points[0], points[1]
    aside = 0.75 * _bend(one, other) if other.x <= one.x else 0.0
    return Point((one.x + other.x) / 2 + aside, (one.y + other.y) / 2)


def _centre(corner: Point) -> Point:
    return Point(corner.x + WIDTH / 2, corner.y + HEIGHT / 2)


def _border(centre: Point, towards: Point) -> Point:
    """Where the line from a node's middle leaves its box; one to itself stays there."""
    dx, dy = towards.x - centre.x, towards.y - centre.y
    if not dx and not dy:
        return centre
    share = 1 / max(abs(dx) / (WIDTH / 2), abs(dy) / (HEIGHT / 2))
    return Point(centre.x + share * dx, centre.y + share * dy)
