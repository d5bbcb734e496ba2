"""Series as small pictures, without a chart library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

WIDTH, HEIGHT = 200, 46
PLAIN = ",/:;=()"
"""What an address may hold as it is: pictures are sent with every change."""
COLORS = {"accent": "#6366f1", "ok": "#22a35a", "warn": "#e08a0b", "error": "#e5484d", "tcp": "#3b82f6"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spark:
    """An image address and the sentence that says the same."""

    source: str
    text: str


def spark(values: Sequence[float | None], *, tone: str, text: str) -> Spark | None:
    """Draw a series from zero; ``None`` breaks the line. Fewer than two known points draw nothing."""
    if sum(value is not None for value in values) < 2:
        return None
    color, top = COLORS[tone], max(value for value in values if value is not None) or 1.0
    places = [WIDTH * index / (len(values) - 1) for index in range(len(values))]
    paths = "".join(_run(points, color) for points in _runs(values, places, top, HEIGHT - 9))
    fading = (
        f'<defs><linearGradient id="g" x1="0" y1="0" x2="0" y2="1"><stop stop-color="{color}" stop-opacity=".3"/>'
        f'<stop offset="1" stop-color="{color}" stop-opacity="0"/></linearGradient></defs>'
    )
    return _picture(fading + paths, text)


def lines(
    courses: Mapping[str, Sequence[float | None]], places: Sequence[float], *, top: float, text: str
) -> Spark | None:
    """Draw several series, by tone, into one picture from zero to *top*, with a line at its half and its whole.

    *places*: where across the picture, 0-1, each point belongs.
    """
    full = HEIGHT - 4
    runs = {tone: _runs(values, [WIDTH * place for place in places], top, full) for tone, values in courses.items()}
    if not any(runs.values()):
        return None
    guides = "".join(
        f'<path d="M0,{HEIGHT - 3 - full * share:.1f} H{WIDTH}" stroke="#8593a8" stroke-opacity=".28"'
        ' stroke-dasharray="3 4" vector-effect="non-scaling-stroke"/>'
        for share in (0.5, 1.0)
    )
    drawn = "".join(_line(points, COLORS[tone]) for tone, found in runs.items() for points in found)
    return _picture(guides + drawn, text)


def _runs(
    values: Sequence[float | None], places: Sequence[float], top: float, height: float
) -> list[list[tuple[float, float]]]:
    """Points of the picture, a list for each unbroken line."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, value in zip(places, values, strict=True):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x, HEIGHT - 3 - value / top * height))
    return [points for points in runs if len(points) > 1]


def _picture(content: str, text: str) -> Spark:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">'
        f"{content}</svg>"
    )
    return Spark(source="data:image/svg+xml," + quote(svg, safe=PLAIN), text=text)


def _run(points: Sequence[tuple[float, float]], color: str) -> str:
    """A line and the fading area below it."""
    area = f"{_path(points)} L{points[-1][0]:.1f},{HEIGHT} L{points[0][0]:.1f},{HEIGHT}Z"
    return f'<path d="{area}" fill="url(#g)"/>{_line(points, color)}'


def _line(points: Sequence[tuple[float, float]], color: str) -> str:
    return (
        f'<path d="{_path(points)}" fill="none" stroke="{color}" stroke-width="1.8" '
        'stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
