"""Certificates: whose they are and how long they hold; new ones for all, and a new root."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dash import Dash, Input, Output, dcc, html
from dash.exceptions import PreventUpdate

from console.pages.one import One, keep_search
from console.views import certificates as views
from console.widgets import certificates as widgets
from console.widgets import live, parts
from mesh_runtime.xds.translate.tls import LEAF, ROOT

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/certificates"
TITLE = "Certificates"
NAME_PARTS = 2


async def show(console: Console, rest: Sequence[str], parameters: Mapping[str, str]) -> Component:
    """Show all certificates, or one with its chain."""
    if len(rest) == NAME_PARTS:
        return await ONE.page(console, "/".join(rest))
    return layout(_page(console, parameters.get("q", "")))


def layout(view: views.Page) -> Component:
    """The page with what one can do."""
    return parts.live_page(
        "certificates",
        parts.page_head(
            TITLE,
            parts.search("certificates-search", "Search by proxy, identity or serial", view.text),
            *widgets.actions(),
            subtitle="Renewed automatically at half of their lifetime",
        ),
        dcc.Store(id="certificates-began"),
        html.Div(id="certificates-outcome", **parts.aria(live="polite")),
        live.region("certificates", widgets.certificates(view), className="stack"),
        *widgets.dialogs(),
    )


def register(app: Dash, console: Console) -> None:
    """Search, follow the news, rotate."""
    _following(app, console)

    @app.callback(
        Output("certificates-outcome", "children"),
        Input("rotate-confirm", "n_clicks"),
        prevent_initial_call=True,
    )
    async def rotate(clicks: int | None) -> Component:
        if not clicks:
            raise PreventUpdate
        console.control.rotate()
        settled = await console.control.settled(console.store.current.revision, console.settings.mesh.settle_timeout_s)
        return widgets.rotated(len(settled.acknowledged), (*settled.waiting, *settled.rejected), settled.elapsed_ms)

    @app.callback(Output("certificates-began", "data"), Input("replace-confirm", "n_clicks"), prevent_initial_call=True)
    async def replace(clicks: int | None) -> int:
        if not clicks:
            raise PreventUpdate
        console.control.start_root_rotation()
        return clicks


def _following(app: Dash, console: Console) -> None:
    @app.callback(
        live.target("certificates"),
        Input("certificates-search", "value"),
        Input("certificates-pulse", "data"),
        Input("certificates-outcome", "children"),
        Input("certificates-began", "data"),
        prevent_initial_call=True,
    )
    async def refresh(text: str | None, _pulse: object, _outcome: object, began: int | None) -> live.Plain:
        view = _page(console, text or "")
        done = [widgets.replaced(console.control.rotation)] if began and not view.steps else []
        return live.plain([*done, *widgets.certificates(view)])

    ONE.register(app, console)
    keep_search(app, "certificates")


def _page(console: Console, text: str) -> views.Page:
    found = console.control.certificates()
    bundle = _secrets(console, found[0].node_id)[1] if found else ""
    return views.page(found, console.control.rotation, bundle, console.clock.now_ms(), text=text)


async def _detail(console: Console, instance: str) -> list[Component]:
    found = next((one for one in console.control.certificates() if one.instance_id == instance), None)
    if found is None:
        return [
            parts.page_head(instance),
            parts.empty("badge-check", "It has no certificate now", parts.link("All certificates", PATH)),
        ]
    chain = _secrets(console, found.node_id)[0]
    return widgets.detail(
        views.detail(found, console.control.rotation, chain, console.clock.now_ms()), console.clock.now_ms()
    )


def _secrets(console: Console, node_id: str) -> tuple[str, str]:
    """The chain and the roots that a proxy is given: its own, not those of a gateway's servers."""
    resources = {one["name"]: one for one in console.control.resources(node_id, "secrets")}
    chain = resources.get(LEAF, {}).get("tls_certificate", {}).get("certificate_chain", {})
    roots = resources.get(ROOT, {}).get("validation_context", {}).get("trusted_ca", {})
    return chain.get("inline_string", ""), roots.get("inline_string", "")


ONE = One(name="certificate", draw=_detail)
