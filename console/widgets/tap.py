"""Live requests: the stream, wherever it is shown, and the page's filters."""

from __future__ import annotations

from urllib.parse import urlencode

from dash import html
from dash.development.base_component import Component

from console.views.tap import METHODS, Filters
from console.widgets import parts
from console.widgets.feed import feed

EMPTY = "Listening … their proxies log requests as long as you look"


def stream() -> Component:
    """Requests that match the page's address."""
    return feed("tap", "Live requests", empty=EMPTY)


def of_edge(source: str, target: str, **filters: str) -> Component:
    """Requests of one edge, in little room.

    *source*, *target*: a workload, an app or a service, as ``name.namespace``; empty: anybody. May stand in a live
    region: what is shown there stays while its surroundings are drawn anew.
    """
    wanted = {name: value for name, value in {"source": source, "target": target, **filters}.items() if value}
    shown = feed("tap", "Live requests of this edge", empty=EMPTY, asked=urlencode(wanted))
    return html.Div(shown, className="feed-compact", key=f"tap {urlencode(wanted)}")


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
