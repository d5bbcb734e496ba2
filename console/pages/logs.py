"""Logs: what applications and proxies write, searched and followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from dash import Dash, Input, Output, dcc, html

from console.views import logs as views
from console.widgets import logs as widgets
from console.widgets import parts

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/logs"
TITLE = "Logs"
FIELDS = ("workload", "source", "level", "since", "text", "trace")


async def show(console: Console, _rest: Sequence[str], parameters: Mapping[str, str]) -> Component:
    """Show what the address asks for."""
    return layout(views.filters(parameters, await console.logs.workloads()))


def layout(view: views.Filters) -> Component:
    """The filters, and the list that the browser fills."""
    return html.Div(
        [
            parts.page_head(TITLE, subtitle="Output of applications, their proxies, and OpenTelemetry's log records"),
            widgets.filters(view),
            dcc.Store(id="logs-asked"),
            widgets.lines(),
        ],
        className="page filled",
    )


def register(app: Dash, _console: Console) -> None:
    """Let the address follow the filters, and the list the address."""
    cast("Any", app).clientside_callback(
        "(...filters) => window.Meshscope.askLogs(...filters)",
        Output("logs-asked", "data"),
        *(Input(f"logs-{name}", "value") for name in FIELDS),
        Input("logs-regex", "checked"),
        Input("logs-live", "checked"),
        prevent_initial_call=True,
    )
