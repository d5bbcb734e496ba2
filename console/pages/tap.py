"""Live requests: what proxies see, while they see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from console.views import tap as views
from console.widgets import feed
from console.widgets import tap as widgets
from graph.model import GraphType

if TYPE_CHECKING:
    from dash import Dash
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/tap"
TITLE = "Live requests"
SUBTITLE = "As proxies see them; they are told to log them while you look, and no longer"
WINDOW_S = 60


async def show(console: Console, _rest: Sequence[str], parameters: Mapping[str, str]) -> Component:
    """Show what the address asks for."""
    return layout(views.filters(parameters, _known(console)))


def layout(view: views.Filters) -> Component:
    """The filters, and the list that the browser fills."""
    return feed.page("tap", TITLE, SUBTITLE, widgets.filters(view), widgets.stream())


def register(app: Dash, _console: Console) -> None:
    """Let the address follow the filters, and the list the address."""
    feed.register(app, "tap", values=("source", "target", "method", "path", "status", "min"), switches=("errors",))


def _known(console: Console) -> Sequence[tuple[str, str]]:
    """Who is in the graph now."""
    nodes = console.live.snapshot(GraphType.WORKLOAD, WINDOW_S).nodes.values()
    return [(node.namespace, node.workload) for node in nodes if node.workload]
