"""A series as a small picture, without a chart library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

WIDTH, HEIGHT = 200, 46
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
    top = max(value for value in values if value is not None) or 1.0
    step = WIDTH / (len(values) - 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((index * step, HEIGHT - 3 - value / top * (HEIGHT - 9)))
    color = COLORS[tone]
    paths = "".join(_run(points, color) for points in runs if len(points) > 1)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">'
        f'<defs><linearGradient id="g" x1="0" y1="0" x2="0" y2="1"><stop stop-color="{color}" stop-opacity=".3"/>'
        f'<stop offset="1" stop-color="{color}" stop-opacity="0"/></linearGradient></defs>{paths}</svg>'
    )
    return Spark(source="data:image/svg+xml," + quote(svg), text=text)


def _run(points: Sequence[tuple[float, float]], color: str) -> str:
    line = "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"{line} L{points[-1][0]:.1f},{HEIGHT} L{points[0][0]:.1f},{HEIGHT}Z"
    return (
        f'<path d="{area}" fill="url(#g)"/><path d="{line}" fill="none" stroke="{color}" stroke-width="1.8" '
        'stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
    )
