"""Logs: what applications and proxies write, searched and followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from console.views import logs as views
from console.widgets import feed
from console.widgets import logs as widgets

if TYPE_CHECKING:
    from dash import Dash
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/logs"
TITLE = "Logs"
SUBTITLE = "Output of applications, their proxies, and OpenTelemetry's log records"


async def show(console: Console, _rest: Sequence[str], parameters: Mapping[str, str]) -> Component:
    """Show what the address asks for."""
    return layout(views.filters(parameters, await console.logs.workloads()))


def layout(view: views.Filters) -> Component:
    """The filters, and the list that the browser fills."""
    return feed.page("logs", TITLE, SUBTITLE, widgets.filters(view), widgets.lines())


def register(app: Dash, _console: Console) -> None:
    """Let the address follow the filters, and the list the address."""
    values = ("workload", "source", "level", "since", "text", "trace")
    feed.register(app, "logs", values=values, switches=("regex", "live"))
