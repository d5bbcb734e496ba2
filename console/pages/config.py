"""Mesh config: objects, their YAML, the history, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from dash import Dash, Input, Output, State, dcc, html
from dash.exceptions import PreventUpdate

from console.clusters import object_of
from console.leased import leased_objects
from console.pages import declare
from console.pages.proxies import labels_of
from console.views import config as views
from console.views import format as fmt
from console.views import links
from console.views.proxies import Complaint, complaints, rows
from console.widgets import config as widgets
from console.widgets import live, parts
from console.widgets.parts import icon
from mesh_runtime.api.objects import ConfigError, ObjectKey
from mesh_runtime.store.port import StoreError

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/config"
TITLE = "Mesh config"
HISTORY_LIMIT = 1000
SHOWN = 200
OBJECT_PARTS = 3
CLUSTER_SCOPE = "_"
AUTHOR = "console"


async def show(console: Console, rest: Sequence[str], parameters: Mapping[str, str]) -> Component:
    """Show the objects, one object, the history, or one revision."""
    if tuple(rest) == declare.REST:
        return declare.layout(parameters.get("namespace", ""))
    if len(rest) == OBJECT_PARTS:
        if "cluster" in parameters:
            return _in_cluster(console, parameters["cluster"], parameters.get("group", ""), *rest)
        return await _object(console, *rest)
    if list(rest[:1]) == ["history"]:
        if len(rest) > 1 and rest[1].isascii() and rest[1].isdecimal():
            return await _revision(console, int(rest[1][:15]))
        return await _history(console)
    listing = await _listing(console, parameters.get("kind", ""), parameters.get("q", ""))
    return layout(listing, console.clock.now_ms())


def layout(view: views.Listing, now_ms: int) -> Component:
    """The objects with their filters."""
    return parts.live_page(
        "config",
        parts.page_head(
            "Mesh config",
            parts.search("config-search", "Search objects", view.text),
            parts.link([icon("globe"), "Declare a host"], links.declare(""), "button"),
        ),
        widgets.tabs(widgets.OBJECTS),
        dcc.Store(id="config-kind", data=view.kind or "all"),
        live.region("config", [widgets.kinds(view), widgets.rows(view, now_ms)], className="stack"),
    )


def register(app: Dash, console: Console) -> None:
    """Filter, follow, roll back, declare."""
    declare.register(app, console)

    @app.callback(
        live.target("config"),
        Input("config-search", "value"),
        Input("config-kind", "data"),
        Input("config-pulse", "data"),
        prevent_initial_call=True,
    )
    async def refresh(text: str | None, kind: str, _pulse: object) -> live.Plain:
        view = await _listing(console, "" if kind == "all" else kind, text or "")
        return live.plain([widgets.kinds(view), widgets.rows(view, console.clock.now_ms())])

    cast("Any", app).clientside_callback(
        "(q, kind) => window.Meshscope.address({q, kind: kind === 'all' ? null : kind})",
        Output("config-kind", "title"),
        Input("config-search", "value"),
        Input("config-kind", "data"),
        prevent_initial_call=True,
    )

    @app.callback(live.target("config-history"), Input("config-history-pulse", "data"), prevent_initial_call=True)
    async def follow(_pulse: object) -> live.Plain:
        return live.plain(await _history_table(console))

    @app.callback(
        Output("rollback-outcome", "children"),
        Input("rollback-confirm", "n_clicks"),
        State("revision-subject", "data"),
        prevent_initial_call=True,
    )
    async def rollback(clicks: int | None, number: int) -> Component:
        if not clicks:
            raise PreventUpdate
        try:
            written = await console.store.rollback(number, author=AUTHOR, reason=f"roll back to revision {number}")
        except (StoreError, ConfigError) as refusal:
            return parts.note("error", html.B("Not rolled back, nothing has changed. "), str(refusal), role="alert")
        settled = await console.control.settled(written.number, console.settings.mesh.settle_timeout_s)
        total = len(settled.acknowledged) + len(settled.waiting) + len(settled.rejected)
        return parts.note(
            "ok" if not settled.waiting and not settled.rejected else "warn",
            html.B("Rolled back. "),
            f"Revision {written.number} equals revision {number}. "
            f"{len(settled.acknowledged)} of {total} proxies acknowledged in {fmt.milliseconds(settled.elapsed_ms)}. ",
            parts.link(f"See revision {written.number}", f"/config/history/{written.number}"),
        )


async def _listing(console: Console, kind: str, text: str) -> views.Listing:
    history = await console.store.history(limit=HISTORY_LIMIT)
    leased = tuple(leased_objects(console.registry.current))
    clusters = {one.name: one.declared.values() for one in console.clusters.all}
    return views.listing(
        console.store.current, leased, history, _complaints(console), clusters=clusters, kind=kind, text=text
    )


def _complaints(console: Console) -> Mapping[str, tuple[Complaint, ...]]:
    return complaints(rows(console.control.status(), labels_of(console), console.store.current))


async def _object(console: Console, kind: str, namespace: str, name: str) -> Component:
    wanted = ("" if namespace == CLUSTER_SCOPE else namespace, kind, name)
    config = console.store.current
    for leased, objects in ((False, config.objects.values()), (True, leased_objects(console.registry.current))):
        for item in objects:
            if (item.key.namespace, item.key.kind, item.key.name) == wanted:
                history = () if leased else await console.store.history(key=item.key, limit=SHOWN)
                said = _complaints(console).get(links.config(item.key), ())
                view = views.detail(item, history, said, leased=leased)
                return html.Div(widgets.detail(view, console.clock.now_ms()), className="page")
    way_out = parts.link("History", "/config/history")
    return _gone(kind, name, "now", "It may have been deleted; the history knows.", way_out)


def _in_cluster(console: Console, cluster: str, group: str, *path: str) -> Component:
    kind, namespace, name = path
    found = console.clusters.find(cluster)
    key = ObjectKey(group, kind, "" if namespace == CLUSTER_SCOPE else namespace, name)
    one = found.declared.get(key) if found else None
    if one is None:
        return _gone(kind, name, f"in cluster {cluster} now")
    written = views.Written(cluster=cluster, by=one.changed_by, at_ms=one.changed_ms)
    view = views.detail(object_of(one), (), (), leased=False, written=written)
    return html.Div(widgets.detail(view, console.clock.now_ms()), className="page")


def _gone(kind: str, name: str, where: str, *way_out: parts.Content) -> Component:
    return parts.page(name, parts.empty("file-code", f"There is no {kind} {name} {where}", *way_out))


async def _history(console: Console) -> Component:
    return parts.live_page(
        "config-history",
        parts.page_head("Mesh config", subtitle="Every change is one revision: all of it, or nothing"),
        widgets.tabs(widgets.HISTORY),
        live.region("config-history", await _history_table(console)),
    )


async def _history_table(console: Console) -> Component:
    current = console.store.current.revision
    entries = [views.entry(item, current) for item in await console.store.history(limit=SHOWN)]
    return widgets.history(entries, console.clock.now_ms())


async def _revision(console: Console, number: int) -> Component:
    found = [item for item in await console.store.history(limit=HISTORY_LIMIT) if item.number == number]
    if not found:
        return parts.page(
            f"Revision {number}",
            parts.empty("history", f"There is no revision {number}", parts.link("History", "/config/history")),
        )
    view = views.revision_view(
        found[0], await console.store.changes(number), await console.store.at(number), console.store.current
    )
    return html.Div(
        [dcc.Store(id="revision-subject", data=number), *widgets.revision(view, console.clock.now_ms())],
        className="page",
    )
