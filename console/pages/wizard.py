"""The traffic shifting wizard, a dialog over whatever page opened it.

The browser couples the sliders (``assets/js/wizard.js``); everything else is asked of :mod:`wizards`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from dash import ALL, Dash, Input, Output, State, dcc, html, no_update
from dash.exceptions import PreventUpdate

from console.views import shift as views
from console.widgets import parts
from console.widgets import shift as widgets
from graph.model import GraphType
from mesh_runtime.api.objects import ConfigError
from mesh_runtime.store.port import StoreError
from wizards.intents import MESH, Split, WizardError
from wizards.wire import plan_json, planned_on_of

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

AUTHOR = "console"
OBSERVED_S = 10
REFUSALS = (WizardError, StoreError, ConfigError)


def place() -> Component:
    """Where the dialog appears; the browser opens and closes it."""
    dialog: Component = html.Dialog(
        html.Div(id="wizard-body"), id="wizard", className="dialog", **parts.aria(labelledby="wizard-title")
    )
    names = ("wizard-open", "wizard-subject", "wizard-weights", "wizard-wanted", "wizard-planned", "wizard-change")
    return html.Div([dialog, *(dcc.Store(id=name) for name in names)])


def register(app: Dash, console: Console) -> None:
    """Open, plan while sliders move, apply, undo."""
    _opening(app, console)
    _planning(app, console)
    _doing(app, console)


def _opening(app: Dash, console: Console) -> None:
    @app.callback(
        Output("wizard-body", "children"),
        Output("wizard-subject", "data"),
        Output("wizard-weights", "data"),
        Output("wizard-wanted", "data"),
        Input("wizard-open", "data"),
        prevent_initial_call=True,
    )
    async def begin(wish: Mapping[str, str]) -> tuple[Any, ...]:
        namespace, _, service = wish["service"].partition("/")
        situation = console.wizards.situation(namespace, service, wish.get("gateway") or MESH)
        view = views.start(situation)
        subject = {
            "namespace": namespace,
            "service": service,
            "gateway": situation.gateway,
            "versions": dict(situation.versions),
        }
        weights = dict(views.weights(view))
        return widgets.form(view), subject, weights, None if view.obstacle else weights

    browser = cast("Any", app)  # Dash has no types here
    browser.clientside_callback(
        "(gateway, subject) => window.Meshscope.wizard.gateway(gateway, subject)",
        Output("wizard-open", "data"),
        Input("wizard-gateway", "value"),
        State("wizard-subject", "data"),
        prevent_initial_call=True,
    )
    browser.clientside_callback(
        "(values, weights) => window.Meshscope.wizard.couple(values, weights)",
        Output({"type": "weight", "subset": ALL}, "value"),
        Output({"type": "weight-text", "subset": ALL}, "children"),
        Output({"type": "share", "subset": ALL}, "style"),
        Output("wizard-weights", "data", allow_duplicate=True),
        Input({"type": "weight", "subset": ALL}, "value"),
        State("wizard-weights", "data"),
        State({"type": "share", "subset": ALL}, "style"),
        prevent_initial_call=True,
    )


def _planning(app: Dash, console: Console) -> None:
    @app.callback(
        Output("wizard-findings", "children"),
        Output("wizard-preview", "children"),
        Output("wizard-apply", "disabled"),
        Output("wizard-planned", "data"),
        Output("wizard-outcome", "children"),
        Input("wizard-wanted", "data"),
        State("wizard-subject", "data"),
        prevent_initial_call=True,
    )
    async def plan(weights: Mapping[str, int] | None, subject: Mapping[str, Any]) -> tuple[Any, ...]:
        if not weights:
            raise PreventUpdate
        try:
            made = await console.wizards.plan(_split(subject, weights))
        except REFUSALS as refusal:
            return widgets.trouble(str(refusal)), [], True, None, None
        view = views.proposal(made, console.store.current)
        planned = {"weights": weights, "on": plan_json(made)["plannedOn"]}
        # An outcome stands for as long as what it speaks of is what the sliders say.
        said = None if made.changes else no_update
        return widgets.findings(view), widgets.preview(view), not view.appliable, planned, said

    @app.callback(
        Output({"type": "wizard-facts", "subset": ALL}, "children"),
        Output("wizard-observed", "children"),
        Input("wizard-pulse", "data"),
        State("wizard-subject", "data"),
        State({"type": "wizard-facts", "subset": ALL}, "id"),
        prevent_initial_call=True,
    )
    async def follow(
        _pulse: object, subject: Mapping[str, Any] | None, ids: Sequence[Mapping[str, str]]
    ) -> tuple[Any, ...]:
        if not subject or not ids:
            raise PreventUpdate
        situation = console.wizards.situation(subject["namespace"], subject["service"], subject["gateway"])
        facts = {option.subset: views.facts_text(option.facts) for option in situation.options}
        return [facts.get(item["subset"], "gone") for item in ids], views.observed(
            situation, console.live.snapshot(GraphType.VERSIONED_APP, OBSERVED_S)
        )


def _doing(app: Dash, console: Console) -> None:
    @app.callback(
        Output("wizard-outcome", "children", allow_duplicate=True),
        Output("wizard-change", "data"),
        Output("wizard-apply", "disabled", allow_duplicate=True),
        Input("wizard-apply", "n_clicks"),
        State("wizard-planned", "data"),
        State("wizard-subject", "data"),
        prevent_initial_call=True,
    )
    async def apply(
        clicks: int | None, planned: Mapping[str, Any] | None, subject: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        if not clicks or not planned:
            raise PreventUpdate
        try:
            made = await console.wizards.plan(_split(subject, planned["weights"]))
            # What was on the screen is what is applied: an object changed since then is a conflict.
            seen = replace(made, planned_on=planned_on_of(planned["on"]))
            applied = await console.wizards.apply(seen, author=AUTHOR)
        except REFUSALS as refusal:
            return widgets.trouble(str(refusal)), no_update, no_update
        return widgets.outcome(views.outcome(applied, undone=False)), applied.id, True

    @app.callback(
        Output("wizard-outcome", "children", allow_duplicate=True),
        Output("wizard-body", "children", allow_duplicate=True),
        Output("wizard-weights", "data", allow_duplicate=True),
        Output("wizard-wanted", "data", allow_duplicate=True),
        Input("wizard-undo", "n_clicks"),
        State("wizard-change", "data"),
        State("wizard-subject", "data"),
        prevent_initial_call=True,
    )
    async def undo(clicks: int | None, change: str | None, subject: Mapping[str, Any]) -> tuple[Any, ...]:
        if not clicks or not change:
            raise PreventUpdate
        try:
            undone = await console.wizards.undo(change, author=AUTHOR)
        except REFUSALS as refusal:
            return widgets.trouble(str(refusal)), no_update, no_update, no_update
        situation = console.wizards.situation(subject["namespace"], subject["service"], subject["gateway"])
        view = views.start(situation)
        weights = dict(views.weights(view))
        done = widgets.outcome(views.outcome(undone, undone=True))
        return no_update, widgets.form(view, done), weights, weights


def _split(subject: Mapping[str, Any], weights: Mapping[str, int]) -> Split:
    return Split(
        namespace=subject["namespace"],
        service=subject["service"],
        gateway=subject["gateway"],
        weights=dict(weights),
        versions=dict(subject["versions"]),
    )
