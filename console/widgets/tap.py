"""Live requests: the stream and the page's filters."""

from __future__ import annotations

from dash.development.base_component import Component

from console.views.tap import METHODS, Filters
from console.widgets import parts
from console.widgets.feed import feed

EMPTY = "Listening … their proxies log requests as long as you look"


def stream() -> Component:
    """Requests that match the page's address."""
    return feed("tap", "Live requests", empty=EMPTY)


def filters(view: Filters) -> Component:
    """Everything one can ask for."""
    return parts.filters(
        parts.choice("tap-source", "From anybody", view.source, view.names, wide=True),
        parts.choice("tap-target", "To anybody", view.target, view.names, wide=True),
        parts.choice("tap-method", "Every method", view.method, {one: one for one in METHODS}),
        parts.field("tap-path", "Path, /orders or */17", view.path),
        parts.field("tap-status", "Status, 503 or 5xx", view.status),
        parts.field("tap-min", "At least, ms", view.min_ms),
        parts.switch("tap-errors", "Only failed", on=view.errors),
    )
