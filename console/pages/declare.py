"""Declaring a host outside the mesh: a form that shows the ServiceEntry it will write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, html
from dash.exceptions import PreventUpdate

from console.views import format as fmt
from console.views import links
from console.views.declare import PROTOCOLS, service_entry
from console.views.yaml import lines
from console.widgets import parts
from console.widgets.code import code
from console.widgets.parts import icon
from mesh_runtime import api
from mesh_runtime.api.objects import ConfigError, ConfigObject
from mesh_runtime.store.port import Change, StoreError

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

REST = ("new", "ServiceEntry")
AUTHOR = "console"
_FIELDS = ("declare-namespace", "declare-host", "declare-port", "declare-protocol")


def layout(namespace: str) -> Component:
    """The form."""
    return parts.page(
        "Declare a host outside the mesh",
        html.Div(
            [
                parts.card(
                    "The host",
                    html.P(
                        "What is declared has a name in the graph, and rules, timeouts and policies apply to it.",
                        className="muted",
                    ),
                    dmc.TextInput(id="declare-host", label="Host", placeholder="api.example.com", debounce=150),
                    dmc.Select(
                        id="declare-protocol",
                        label="Protocol",
                        data=list(PROTOCOLS),
                        value="HTTPS",
                        allowDeselect=False,
                    ),
                    dmc.TextInput(id="declare-port", label="Port", value="443", debounce=150),
                    dmc.TextInput(
                        id="declare-namespace", label="Namespace", value=namespace or "default", debounce=150
                    ),
                    html.Div(
                        html.Button(
                            [icon("check"), "Apply"],
                            id="declare-apply",
                            className="button primary",
                            type="button",
                            disabled=True,
                        ),
                        className="row",
                    ),
                    html.Div(id="declare-outcome", **parts.aria(live="polite")),
                ),
                html.Div(id="declare-preview", className="stack"),
            ],
            className="columns",
        ),
        subtitle="Writes a ServiceEntry",
    )


def register(app: Dash, console: Console) -> None:
    """Show what would be written while one types, then write it."""

    @app.callback(Output("declare-port", "value"), Input("declare-protocol", "value"), prevent_initial_call=True)
    async def usual(protocol: str) -> str:
        return str(PROTOCOLS[protocol])

    @app.callback(
        Output("declare-preview", "children"),
        Output("declare-apply", "disabled"),
        *(Input(name, "value") for name in _FIELDS),
    )
    async def preview(namespace: str, host: str, port: str, protocol: str) -> tuple[list[Component], bool]:
        if not host:
            return [parts.empty("globe", "Which host?", "Its ServiceEntry appears here.")], True
        try:
            found = _parsed(namespace, host, port, protocol)
            await console.store.commit(_change(found), dry_run=True)
        except (ConfigError, StoreError) as refusal:
            return [parts.note("error", str(refusal), role="alert")], True
        return [code(lines(api.dump([found])), "ServiceEntry")], False

    @app.callback(
        Output("declare-outcome", "children"),
        Input("declare-apply", "n_clicks"),
        *(State(name, "value") for name in _FIELDS),
        prevent_initial_call=True,
    )
    async def apply(clicks: int | None, namespace: str, host: str, port: str, protocol: str) -> Component:
        if not clicks:
            raise PreventUpdate
        try:
            found = _parsed(namespace, host, port, protocol)
            written = await console.store.commit(_change(found))
        except (ConfigError, StoreError) as refusal:
            return parts.note("error", html.B("Not written. "), str(refusal), role="alert")
        settled = await console.control.settled(written.number, console.settings.mesh.settle_timeout_s)
        return parts.note(
            "ok",
            html.B("Declared. "),
            f"{fmt.plural(len(settled.acknowledged), 'proxy', 'proxies')} acknowledged in {fmt.milliseconds(settled.elapsed_ms)}. ",
            parts.link(f"ServiceEntry {found.key.name}", links.config(found.key)),
        )


def _parsed(namespace: str, host: str, port: str, protocol: str) -> ConfigObject:
    return api.parse(service_entry(namespace.strip(), host.strip(), port.strip(), protocol))


def _change(found: ConfigObject) -> Change:
    # Only where there is none of that name: a form must not overwrite what somebody wrote with care.
    return Change(put=(found,), planned_on={found.key: 0}, author=AUTHOR, reason=f"declare {found.key.name}")
