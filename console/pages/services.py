"""Services: the table and one service in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from dash import Dash, Input, Output, State, dcc
from dash.exceptions import PreventUpdate

from console.recent import recent
from console.views import services as views
from console.views.selection import Course
from console.views.shiftable import shiftable
from console.widgets import live, parts
from console.widgets import services as widgets
from graph.model import GraphType, NodeKind
from graph.ports import TraceQuery

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/services"
TITLE = "Services"
WINDOW_S = 60
NAME_PARTS = 2
TRACES_SHOWN = 6


async def show(console: Console, rest: Sequence[str], parameters: Mapping[str, str]) -> Component:
    """Show the table, or one service."""
    if len(rest) == NAME_PARTS:
        return parts.live_page(
            "service",
            live.region("service", await _detail(console, *rest), className="stack"),
            subject="/".join(rest),
        )
    return layout(_listing(console, parameters.get("q", ""), parameters.get("sort", "health")), parameters)


def layout(view: views.Listing, parameters: Mapping[str, str]) -> Component:
    """The table with its search."""
    return parts.live_page(
        "services",
        parts.page_head(
            "Services",
            parts.search("services-search", "Search by name or namespace", parameters.get("q", "")),
            subtitle=f"Last {WINDOW_S} s, as their callers saw them",
        ),
        dcc.Store(id="services-sort", data=parameters.get("sort", "health")),
        live.region("services", widgets.listing(view)),
    )


def register(app: Dash, console: Console) -> None:
    """Search and sort at once, follow the graph."""

    @app.callback(
        live.target("services"),
        Input("services-search", "value"),
        Input("services-sort", "data"),
        Input("services-pulse", "data"),
        prevent_initial_call=True,
    )
    async def refresh(text: str | None, sort: str, _pulse: object) -> live.Plain:
        return live.plain(widgets.listing(_listing(console, text or "", sort)))

    @app.callback(
        live.target("service"),
        Input("service-pulse", "data"),
        State("service-subject", "data"),
        prevent_initial_call=True,
    )
    async def follow(pulse: object, subject: str) -> live.Plain:
        if not pulse:
            raise PreventUpdate
        namespace, _, name = subject.partition("/")
        return live.plain(await _detail(console, namespace, name))

    cast("Any", app).clientside_callback(
        "(q, sort) => window.Meshscope.address({q, sort: sort === 'health' ? null : sort})",
        Output("services-sort", "title"),
        Input("services-search", "value"),
        Input("services-sort", "data"),
        prevent_initial_call=True,
    )


def _listing(console: Console, text: str, sort: str) -> views.Listing:
    config = console.store.current
    versions = shiftable(console.live.snapshot(GraphType.VERSIONED_APP, WINDOW_S), config)
    found = views.rows(console.live.snapshot(GraphType.SERVICE, WINDOW_S), versions, config)
    key, _, reverse = sort.partition(":")
    return views.listing(found, text=text, sort=key, reverse=bool(reverse))


async def _detail(console: Console, namespace: str, name: str) -> list[Component]:
    services = console.live.snapshot(GraphType.SERVICE, WINDOW_S)
    versioned = console.live.snapshot(GraphType.VERSIONED_APP, WINDOW_S)
    config = console.store.current
    node = next((n for n in services.nodes.values() if (n.namespace, n.service) == (namespace, name)), None)
    declared = any((item.key.namespace, item.key.name) == (namespace, name) for item in config.of("Service"))
    if node is None and not declared:
        return [
            parts.page_head(name),
            parts.empty(
                "circle-help", f"There is no service {name} in namespace {namespace}", parts.link("All services", PATH)
            ),
        ]
    series = console.live.series(GraphType.SERVICE, WINDOW_S, node.id) if node else None
    outside = node is not None and node.kind is NodeKind.EXTERNAL
    view = views.detail(
        node,
        namespace=namespace,
        name=name,
        services=services,
        versioned=versioned,
        course=Course(rate=series.rate, error_ratio=series.error_ratio, p95_ms=series.p95_ms) if series else Course(),
        config=config,
        traces=() if outside else await recent(console, TraceQuery(namespace=namespace, app=name, limit=TRACES_SHOWN)),
        shiftable=shiftable(versioned, config),
        now_ms=console.clock.now_ms(),
    )
    return widgets.detail(view)
