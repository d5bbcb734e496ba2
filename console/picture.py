"""Drawings as pixels."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import resvg_py

from console.dash_app import ASSETS

FONT = ASSETS / "vendor" / "fonts" / "dejavu-sans-condensed.ttf"
"""The only font, so that pictures are the same on every machine, also on one that has none."""
ZOOM = 2.0
"""Pixels per unit of a drawing."""
LARGEST, MOST = 8_000, 16_000_000
"""Pixels in either direction, and in all; larger drawings are painted coarser."""
COARSE = 0.25
"""With fewer pixels per unit a line is thinner than one: smoothing it shows nothing, and takes most of the time."""


def png(svg: str) -> bytes:
    """Paint an SVG drawing of our own."""
    drawing = ET.fromstring(svg)  # noqa: S314  (our own)
    width, height = float(drawing.attrib["width"]), float(drawing.attrib["height"])
    zoom = min(ZOOM, LARGEST / max(width, height), math.sqrt(MOST / (width * height)))
    return resvg_py.svg_to_bytes(
        svg_string=svg,
        zoom=zoom,
        shape_rendering="geometric_precision" if zoom >= COARSE else "optimize_speed",
        skip_system_fonts=True,
        font_files=[str(FONT)],
        font_family="DejaVu Sans Condensed",
        sans_serif_family="DejaVu Sans Condensed",
    )
