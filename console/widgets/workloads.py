"""The workloads page's parts."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from console.views.instances import Instance
from console.views.listing import Listing
from console.views.workloads import Detail
from console.widgets import item, logs, panel, parts
from console.widgets import listing as lists
from console.widgets.parts import icon


def listing(view: Listing) -> Component:
    """The table, or why it is empty."""
    nothing = parts.empty(
        "box",
        "No workload yet",
        "Start one behind a sidecar:",
        html.Code("meshscope run --service hello --port 8000 -- python3 -m http.server 8000"),
    )
    return lists.table(view, "workload", ("",), nothing)


def detail(view: Detail, spans: Component) -> list[Component]:
    """One workload; *spans*: how far back its charts reach."""
    left = [
        _instances(view.instances),
        item.neighbours(view.callers, "Called by", "Nobody in this window."),
        item.neighbours(view.callees, "Calls", "Nobody in this window."),
        *item.versions("Versions", view.versions),
    ]
    right = [
        item.facts(view.facts, "Nothing but its traffic is known."),
        parts.card("Applied config", panel.config(view.config)),
        parts.card("Recent traces", panel.traces(view.traces, view.now_ms), action=parts.link("All", view.traces_href)),
    ]
    return [
        item.head(view.node.workload, view.subtitle, view.node.health, _actions(view)),
        *item.reason(view.node.health, view.reason),
        item.side(view.inbound, spans),
        item.side(view.outbound, spans),
        html.Div([html.Div(left, className="stack"), html.Div(right, className="stack")], className="columns"),
        parts.card(
            "Logs",
            logs.of_workload(view.node.namespace, view.node.workload),
            action=parts.link("Search them", view.logs_href),
        ),
    ]


def _actions(view: Detail) -> list[Component]:
    return [
        *(panel.shift_button(one) for one in view.shift),
        *(parts.link([icon("server"), name], href, "button") for name, href in view.services),
        parts.link([icon("zap"), "Live requests"], view.tap_href, "button"),
        parts.link([icon("workflow"), "Show in the graph"], view.graph_href, "button"),
    ]


def _instances(found: tuple[Instance, ...]) -> Component:
    if not found:
        return parts.card("Instances", html.P("None is known; only its traffic is.", className="muted"))
    rows = [
        (
            html.Th(parts.link(one.name, one.href) if one.href else one.name, scope="row"),
            html.Td(html.Span([html.Span(className=f"dot {one.tone}"), one.state], className=f"health {one.tone}")),
            html.Td(one.detail),
            html.Td(_certificate(one)),
        )
        for one in found
    ]
    head = (("Instance", ""), ("State", ""), ("Proxy", ""), ("Certificate", ""))
    content = parts.table(head, rows, "Instances", [one.name for one in found])
    return parts.card("Instances", parts.scrolling("Instances", content, within_card=True))


def _certificate(one: Instance) -> Component | None:
    if not one.certificate:
        return None
    good = parts.link(f"good for {one.certificate}", one.certificate_href)
    return html.Span([html.Span(className=f"dot {one.certificate_tone}"), " ", good])
