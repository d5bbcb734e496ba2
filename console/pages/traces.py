"""Traces: a list to filter, and each as a waterfall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from dash import Dash, Input, Output, dcc, html

from collectors.errors import CollectorError
from console.views import traces as views
from console.widgets import live, parts
from console.widgets import traces as widgets

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/traces"
TITLE = "Traces"
FIELDS = ("app", "peer", "operation", "tag", "min")


async def show(console: Console, rest: Sequence[str], parameters: Mapping[str, str]) -> Component:
    """Show the list, or one trace."""
    if rest:
        return await _one(console, rest[0])
    return layout(parameters, await _list(console, parameters), widgets.store(await console.traces.state()))


def layout(parameters: Mapping[str, str], found: Component, store: str) -> Component:
    """The list with its filters."""
    return parts.live_page(
        "traces",
        parts.page_head("Traces", subtitle=store),
        widgets.filters(views.query(parameters)),
        dcc.Store(id="traces-fixed", data={name: parameters[name] for name in ("ns", "version") if name in parameters}),
        live.region("traces", found),
    )


def register(app: Dash, console: Console) -> None:
    """Search as the filters change and as traces arrive."""

    @app.callback(
        live.target("traces"),
        *(Input(f"traces-{name}", "value") for name in FIELDS),
        Input("traces-errors", "checked"),
        Input("traces-fixed", "data"),
        Input("traces-pulse", "data"),
        prevent_initial_call=True,
    )
    async def refresh(*values: Any) -> live.Plain:
        *texts, errors, fixed, _pulse = values
        wanted = {name: text for name, text in zip(FIELDS, texts, strict=True) if text}
        return live.plain(await _list(console, {**(fixed or {}), **wanted, **({"errors": "yes"} if errors else {})}))

    cast("Any", app).clientside_callback(
        "(app, peer, operation, tag, min, errors) => "
        "window.Meshscope.address({app, peer, operation, tag, min, errors: errors ? 'yes' : null})",
        Output("traces-fixed", "title"),
        *(Input(f"traces-{name}", "value") for name in FIELDS),
        Input("traces-errors", "checked"),
        prevent_initial_call=True,
    )


async def _list(console: Console, parameters: Mapping[str, str]) -> Component:
    query = views.query(parameters)
    try:
        found = views.rows(await console.traces.search(query))
    except CollectorError as trouble:
        return _unanswered(trouble)
    return widgets.rows(
        found,
        console.clock.now_ms(),
        query=query,
        filtered=any(parameters.values()),
        state=await console.traces.state(),
        receiver=f"http://{console.settings.otlp.listen}:{console.otlp.grpc_port}",
    )


def _unanswered(trouble: CollectorError) -> Component:
    return parts.empty("activity", "The trace store does not answer", str(trouble))


async def _one(console: Console, trace_id: str) -> Component:
    try:
        spans = await console.traces.trace(trace_id.lower())
    except CollectorError as trouble:
        return parts.page("Trace", _unanswered(trouble))
    if not spans:
        return parts.page(
            "Trace",
            parts.empty(
                "activity",
                "This trace is not here, or no longer",
                "The store keeps the newest and lets the oldest go.",
                parts.link("All traces", PATH),
            ),
        )
    return html.Div(widgets.waterfall(views.waterfall(spans, console.clock.now_ms())), className="page")
