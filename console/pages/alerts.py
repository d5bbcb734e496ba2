"""Alerts: firing and resolved, rules, deliveries with replay; in the demo its faults and inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import aiohttp
from dash import Dash, Input, dcc
from dash.exceptions import PreventUpdate

from console.views import alerts as views
from console.widgets import alerts as widgets
from console.widgets import live, parts
from mesh_runtime.api.objects import ConfigError
from mesh_runtime.store.port import StoreError

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/alerts"
TITLE = "Alerts"
EVENTS_SHOWN = 20
DELIVERIES_SHOWN = 20
LETTERS_SHOWN = 3
"""What fires stays in sight below them; the deliveries tell of all."""
INBOX = "inbox"
"""What the demo calls its own receiver."""
INBOX_TIMEOUT_S = 1.5
AUTHOR = "console"


async def show(console: Console, _rest: Sequence[str], _parameters: Mapping[str, str]) -> Component:
    """Show what is the matter."""
    return layout(await _view(console), await _demo(console))


def layout(view: views.Alerts, demo: Sequence[Component]) -> Component:
    """The page; *demo* is what only the demo has."""
    return parts.live_page(
        "alerts",
        parts.page_head("Alerts", subtitle="Rules over the live graph, delivered as signed webhooks"),
        dcc.Store(id="alerts-fault"),
        dcc.Store(id="alerts-replay"),
        live.region("alerts-demo", demo, className="demo-cards"),
        live.region("alerts", widgets.alerts(view), className="stack"),
    )


def register(app: Dash, console: Console) -> None:
    """Follow the alerts; switch faults; deliver again."""

    @app.callback(
        live.target("alerts"),
        live.target("alerts-demo"),
        Input("alerts-pulse", "data"),
        prevent_initial_call=True,
    )
    async def refresh(_pulse: object) -> tuple[live.Plain, live.Plain]:
        return live.plain(widgets.alerts(await _view(console))), live.plain(await _demo(console))

    @app.callback(
        live.target("alerts-demo", also=True),
        Input("alerts-fault", "data"),
        prevent_initial_call=True,
    )
    async def switch(wish: Mapping[str, Any] | None) -> live.Plain:
        if not wish or console.demo is None:
            raise PreventUpdate
        trouble = ""
        try:
            await console.demo.fault(str(wish["value"]), author=AUTHOR)
        except (ConfigError, StoreError) as refusal:
            trouble = str(refusal)
        return live.plain(await _demo(console, trouble))

    @app.callback(
        live.target("alerts", also=True),
        Input("alerts-replay", "data"),
        prevent_initial_call=True,
    )
    async def replay(wish: Mapping[str, Any] | None) -> live.Plain:
        if not wish:
            raise PreventUpdate
        if await console.deliveries.replay(int(wish["value"]), console.clock.now_ms()):
            console.wake_webhooks()
        return live.plain(widgets.alerts(await _view(console)))


async def _view(console: Console) -> views.Alerts:
    firing, pending = console.alerts.firing, console.alerts.pending
    disabled = await console.deliveries.disabled()
    return views.Alerts(
        now_ms=console.clock.now_ms(),
        firing=tuple(views.row(alert, "firing", "error", alert.since_ms) for alert in firing),
        pending=tuple(views.row(alert, "pending", "warn", alert.since_ms) for alert in pending),
        past=views.past(await console.alerts.events(limit=EVENTS_SHOWN)),
        rules=tuple(views.rule(rule, firing) for rule in console.alerts.rules),
        deliveries=tuple(views.delivery(item) for item in await console.deliveries.recent(limit=DELIVERIES_SHOWN)),
        endpoints=tuple(
            (endpoint.name, endpoint.url, disabled.get(endpoint.name, ""))
            for endpoint in console.settings.webhooks.endpoints
        ),
    )


async def _demo(console: Console, trouble: str = "") -> list[Component]:
    if console.demo is None:
        return []
    cards = [widgets.faults(console.demo.mode, trouble)]
    inbox = next((one.url for one in console.settings.webhooks.endpoints if one.name == INBOX), "")
    if inbox:
        cards.append(widgets.inbox(await _letters(inbox), console.clock.now_ms()))
    return cards


async def _letters(inbox: str) -> tuple[views.Letter, ...] | None:
    """Ask the demo's receiver what came; ``None`` when it does not answer."""
    timeout = aiohttp.ClientTimeout(total=INBOX_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{inbox.rstrip('/')}/messages") as answer,
        ):
            answer.raise_for_status()
            content = await answer.json()
    except (aiohttp.ClientError, asyncio.TimeoutError, ValueError):  # noqa: UP041
        return None
    return views.letters(content["messages"][:LETTERS_SHOWN])
