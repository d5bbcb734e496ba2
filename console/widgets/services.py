"""The services page's parts."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from console.views import links
from console.views.listing import Listing
from console.views.services import Detail
from console.widgets import item, panel, parts
from console.widgets import listing as lists
from console.widgets.parts import icon


def listing(view: Listing) -> Component:
    """The table, or why it is empty."""
    nothing = parts.empty(
        "server",
        "No service yet",
        "The first workload that joins the mesh brings one:",
        html.Code("meshscope run --service hello --port 8000 -- python3 -m http.server 8000"),
    )
    return lists.table(view, "service", ("Replicas",), nothing)


def detail(view: Detail, spans: Component) -> list[Component]:
    """One service; *spans*: how far back its charts reach."""
    ref = view.ref
    actions = [
        *([panel.shift_button(view.shift)] if view.shift else []),
        parts.link([icon("activity"), "Traces"], links.traces(app=ref.name, ns=ref.namespace), "button"),
        parts.link([icon("scroll-text"), "Logs"], links.logs(namespace=ref.namespace, workload=ref.name), "button"),
        parts.link([icon("zap"), "Live requests"], links.tap(target=f"{ref.name}.{ref.namespace}"), "button"),
        parts.link([icon("workflow"), "Show in the graph"], view.graph_href, "button"),
    ]
    left = [
        *item.versions("Workloads", view.versions),
        item.neighbours(view.callers, "Called by", "Nobody in this window."),
        item.neighbours(view.callees, "Calls", "Nobody in this window."),
    ]
    right = [
        parts.card("Applied config", panel.config(view.config)),
        item.facts(view.facts, "No Service object of this name."),
        parts.card("Recent traces", panel.traces(view.traces, view.now_ms)),
    ]
    return [
        item.head(ref.name, view.subtitle, view.health, actions),
        *item.reason(view.health, view.reason),
        item.side(view.inbound, spans),
        html.Div([html.Div(left, className="stack"), html.Div(right, className="stack")], className="columns"),
    ]
