"""What a proxy was given: clusters, endpoints, listeners, routes, secrets and its bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import Dash, Input, State

from console.pages.one import keep_search
from console.views import given as views
from console.views import links
from console.widgets import given as widgets
from console.widgets import live, parts, proxies
from console.widgets.parts import icon

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console


def show(console: Console, instance: str, what: str, text: str) -> Component:
    """Show the resources with their search."""
    if not _nodes(console, instance):
        return parts.page(instance, proxies.missing())
    if what not in views.KINDS:
        return parts.page(instance, widgets.unknown(instance, what))
    view = _view(console, instance, what, text)
    return parts.live_page(
        "given",
        parts.page_head(
            what.capitalize(),
            parts.search("given-search", "Search names and contents", text),
            parts.link([icon("arrow-left"), instance], links.proxy(instance), "button"),
            subtitle=f"As {instance} was given them; private keys are left out",
        ),
        widgets.tabs(view),
        live.region("given", widgets.resources(view), className="stack"),
        subject=[instance, what],
    )


def register(app: Dash, console: Console) -> None:
    """Search at once."""
    keep_search(app, "given")

    @app.callback(
        live.target("given"),
        Input("given-search", "value"),
        State("given-subject", "data"),
        prevent_initial_call=True,
    )
    async def refresh(text: str | None, subject: list[str]) -> live.Plain:
        instance, what = subject
        return live.plain(widgets.resources(_view(console, instance, what, text or "")))


def _view(console: Console, instance: str, what: str, text: str) -> views.Given:
    found = [one for node in _nodes(console, instance) for one in console.control.resources(node, what)]
    return views.given(instance, what, found, text)


def _nodes(console: Console, instance: str) -> list[str]:
    """The name by which the control plane knows a proxy; none where there is no such proxy."""
    return [one.node_id for one in console.control.status() if one.instance_id == instance]
