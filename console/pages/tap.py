"""Live requests: what proxies see, while they see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from dash import Dash, Input, Output, dcc, html

from console.views import tap as views
from console.widgets import parts
from console.widgets import tap as widgets
from graph.model import GraphType

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/tap"
TITLE = "Live requests"
FIELDS = ("source", "target", "method", "path", "status", "min")
WINDOW_S = 60


async def show(console: Console, _rest: Sequence[str], parameters: Mapping[str, str]) -> Component:
    """Show what the address asks for."""
    return layout(views.filters(parameters, _known(console)))


def layout(view: views.Filters) -> Component:
    """The filters, and the list that the browser fills."""
    return html.Div(
        [
            parts.page_head(
                TITLE, subtitle="As proxies see them; they are told to log them while you look, and no longer"
            ),
            widgets.filters(view),
            dcc.Store(id="tap-asked"),
            widgets.stream(),
        ],
        className="page filled",
    )


def register(app: Dash, _console: Console) -> None:
    """Let the address follow the filters, and the list the address."""
    cast("Any", app).clientside_callback(
        "(...filters) => window.Meshscope.askTap(...filters)",
        Output("tap-asked", "data"),
        *(Input(f"tap-{name}", "value") for name in FIELDS),
        Input("tap-errors", "checked"),
        prevent_initial_call=True,
    )


def _known(console: Console) -> Sequence[tuple[str, str]]:
    """Who is in the graph now."""
    nodes = console.live.snapshot(GraphType.WORKLOAD, WINDOW_S).nodes.values()
    return [(node.namespace, node.workload) for node in nodes if node.workload]
