"""Signals: what is present, missing or stale in every source and sink, with what to paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dash import Dash, Input

from console.signals import signals
from console.views import signals as views
from console.widgets import live, parts
from console.widgets import signals as widgets

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/signals"
TITLE = "Signals"


async def show(console: Console, _rest: Sequence[str], _parameters: Mapping[str, str]) -> Component:
    """Show all of them."""
    return layout(await _view(console))


def layout(view: views.Page) -> Component:
    """The page."""
    return parts.live_page(
        "signals",
        parts.page_head(
            TITLE, subtitle="Where telemetry comes from and goes to; meshscope doctor looks at the machine, too"
        ),
        live.region("signals", widgets.signals(view), className="stack"),
    )


def register(app: Dash, console: Console) -> None:
    """Look again with the pulse."""

    @app.callback(live.target("signals"), Input("signals-pulse", "data"), prevent_initial_call=True)
    async def refresh(_pulse: object) -> live.Plain:
        return live.plain(widgets.signals(await _view(console)))


async def _view(console: Console) -> views.Page:
    return views.page(await signals(console))
