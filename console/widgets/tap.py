"""Live requests: the stream, wherever it is shown, and the page's filters."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import dash_mantine_components as dmc
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
    shown = feed("tap", "Live requests of this edge", empty=EMPTY, edge=urlencode(wanted))
    return html.Div(shown, className="feed-compact", key=f"tap {urlencode(wanted)}")


def filters(view: Filters) -> Component:
    """Everything one can ask for; all of it is in the address."""
    return html.Div(
        [
            _choice("source", "From anybody", view.source, view.names, wide=True),
            _choice("target", "To anybody", view.target, view.names, wide=True),
            _choice("method", "Every method", view.method, {one: one for one in METHODS}),
            _text("path", "Path, /orders or */17", view.path),
            _text("status", "Status, 503 or 5xx", view.status),
            _text("min", "At least, ms", view.min_ms),
            dmc.Switch(id="tap-errors", label="Only failed", checked=view.errors, size="sm"),
        ],
        className="filters",
        role="search",
    )


def _text(name: str, label: str, value: str) -> Component:
    field: Component = dmc.TextInput(
        id=f"tap-{name}", value=value, debounce=300, placeholder=label, className="filter", **parts.aria(label=label)
    )
    return field


def _choice(name: str, nothing: str, value: str, options: Mapping[str, str], *, wide: bool = False) -> Component:
    field: Component = dmc.Select(
        id=f"tap-{name}",
        value=value or None,
        data=[{"value": one, "label": label} for one, label in options.items()],
        placeholder=nothing,
        clearable=True,
        searchable=wide,
        className="filter wide" if wide else "filter",
        **parts.aria(label=nothing),
    )
    return field
