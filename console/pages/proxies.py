"""Proxies: how far each follows the config, what it refuses or does not serve, and where gateways listen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dash import Dash, Input

from console.pages import given
from console.pages.one import One, keep_search
from console.views import proxies as views
from console.widgets import live, parts
from console.widgets import proxies as widgets

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/proxies"
TITLE = "Proxies"
NAME_PARTS = 2


async def show(console: Console, rest: Sequence[str], parameters: Mapping[str, str]) -> Component:
    """Show all proxies, one, or what one was given."""
    if len(rest) == NAME_PARTS:
        return await ONE.page(console, "/".join(rest))
    if len(rest) == NAME_PARTS + 1:
        return given.show(console, "/".join(rest[:-1]), rest[-1], parameters.get("q", ""))
    return layout(_listing(console, parameters.get("q", "")), parameters)


def layout(view: views.Listing, parameters: Mapping[str, str]) -> Component:
    """The table with its search."""
    return parts.live_page(
        "proxies",
        parts.page_head(
            TITLE,
            parts.search("proxies-search", "Search by name, role or state", parameters.get("q", "")),
            subtitle="Every Envoy of the mesh, and how far it follows the config",
        ),
        live.region("proxies", widgets.listing(view), className="stack"),
    )


def register(app: Dash, console: Console) -> None:
    """Search at once, follow the news."""

    @app.callback(
        live.target("proxies"),
        Input("proxies-search", "value"),
        Input("proxies-pulse", "data"),
        prevent_initial_call=True,
    )
    async def refresh(text: str | None, _pulse: object) -> live.Plain:
        return live.plain(widgets.listing(_listing(console, text or "")))

    given.register(app, console)
    ONE.register(app, console)
    keep_search(app, "proxies")


def labels_of(console: Console) -> Mapping[str, Mapping[str, str]]:
    """The labels of every instance, by id."""
    return {key: one.labels for key, one in console.registry.current.instances.items()}


def _listing(console: Console, text: str) -> views.Listing:
    config = console.store.current
    proxies = console.control.status()
    found = views.rows(
        proxies, labels_of(console), config, console.following.astray(proxies, console.clock.steady_ms())
    )
    return views.listing(found, config.revision, text=text)


async def _detail(console: Console, instance: str) -> list[Component]:
    proxies = console.control.status()
    proxy = next((one for one in proxies if one.instance_id == instance), None)
    if proxy is None:
        return [parts.page_head(instance), widgets.missing()]
    gateway = next((one for one in console.control.gateways() if one.instance_id == instance), None)
    labels = labels_of(console).get(instance, {})
    astray = console.following.astray(proxies, console.clock.steady_ms())
    view = views.detail(proxy, labels, console.store.current, gateway, console.clock.now_ms(), astray=astray)
    return widgets.detail(view)


ONE = One(name="proxy", draw=_detail)
