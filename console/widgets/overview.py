"""The overview's parts."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from console.views import format as fmt
from console.views import links
from console.views.alerts import subject
from console.views.overview import Overview
from console.widgets import parts
from console.widgets.parts import icon

CERTIFICATES_SHOWN = 8
"""Those that end first."""


def overview(view: Overview) -> list[Component]:
    """The whole page."""
    return [
        html.Div(
            [
                html.H1("Overview"),
                html.Span([html.Span(className=f"dot {view.tone}"), view.verdict], className=f"health {view.tone}"),
                html.Span(className="grow"),
                parts.link([icon("workflow"), "Open the graph"], "/graph", "button primary"),
            ],
            className="page-head",
        ),
        html.Div([parts.metric(m.label, m.value, m.unit, m.hint, m.picture) for m in view.metrics], className="tiles"),
        html.Div(
            [
                html.Div([_trouble(view), _changes(view), _certificates(view)], className="stack"),
                html.Div([_nodes(view), _control(view), _sources(view)], className="stack"),
            ],
            className="columns",
        ),
    ]


def _nothing(view: Overview) -> Component:
    if view.tone == "idle":
        return parts.note("info", html.B("Nothing that is known. "), "Edges can be judged once there is traffic.")
    return parts.note("ok", html.B("Nothing. "), "No edge is degraded or failing, and no alert fires.")


def _trouble(view: Overview) -> Component:
    if not view.trouble and not view.firing:
        return parts.card("What is wrong", _nothing(view))
    rows = [
        html.Li(
            [
                parts.health_pill(item.health),
                html.Div([parts.link(item.name, item.href), html.Div(item.text, className="muted")]),
            ],
            className="entry",
        )
        for item in view.trouble
    ]
    alerts = [
        html.Li(
            [
                html.Span([icon("bell"), "Alert"], className="health error"),
                html.Div(
                    [
                        parts.link(alert.rule, subject(alert)),
                        html.Div(
                            [alert.summary, " · began ", parts.instant(alert.since_ms, view.now_ms)], className="muted"
                        ),
                    ]
                ),
            ],
            className="entry",
        )
        for alert in view.firing
    ]
    return parts.card("What is wrong", html.Ul([*alerts, *rows], className="entries"))


def _nodes(view: Overview) -> Component:
    if not view.counts:
        return parts.card("Nodes", html.P("None yet: no workload has joined.", className="muted"))
    return parts.card(
        "Nodes",
        html.Div(
            [
                html.Div(
                    [
                        html.Span(className=f"dot {tone}"),
                        html.B(str(number), className="number"),
                        html.Span(word, className="muted"),
                    ]
                )
                for tone, word, number in view.counts
            ],
            className="counts",
        ),
    )


def _control(view: Overview) -> Component:
    content: list[Component] = [parts.facts(*view.proxies)]
    content += [
        parts.note("warn", parts.link(html.B(name), links.proxy(name)), f" {why}") for name, why in view.out_of_sync
    ]
    return parts.card("Control plane", *content, action=parts.link("Proxies", "/proxies"))


def _changes(view: Overview) -> Component:
    rows = [
        (
            html.Th(parts.link(f"Revision {item.number}", f"/config/history/{item.number}"), scope="row"),
            html.Td(item.reason),
            html.Td(item.author),
            html.Td(parts.instant(item.at_ms, view.now_ms), className="num"),
        )
        for item in view.changes
    ]
    content = (
        parts.table((("Config", ""), ("Why", ""), ("Who", ""), ("When", "num")), rows, "Recent changes")
        if rows
        else html.P("Nothing has been configured yet.", className="muted")
    )
    return parts.card("Recent changes", content, action=parts.link("All", "/config/history"))


def _certificates(view: Overview) -> Component:
    if not view.certificates:
        return parts.card("Certificates", html.P("None issued: no workload has joined yet.", className="muted"))
    rows = [
        (
            html.Th(parts.link(item.workload, item.href), scope="row"),
            html.Td(item.identity, className="mono"),
            html.Td(item.left, className="num bad" if item.soon else "num"),
        )
        for item in view.certificates[:CERTIFICATES_SHOWN]
    ]
    return parts.card(
        "Certificates",
        html.P(
            f"{fmt.plural(len(view.certificates), 'certificate')}, renewed automatically at half of their lifetime.",
            className="muted",
        ),
        parts.scrolling(
            "Certificates",
            parts.table((("Workload", ""), ("Identity", ""), ("Valid for", "num")), rows, "Certificates"),
            within_card=True,
        ),
        action=parts.link("All", "/certificates"),
    )


def _sources(view: Overview) -> Component:
    return parts.card(
        "Signals",
        html.Ul(
            [
                html.Li(
                    [
                        html.Span(className=f"dot {'ok' if item.ok else 'error'}"),
                        html.Div(
                            [
                                html.B(item.name),
                                html.Span("" if item.ok else " · needs you", className="bad"),
                                html.Div(item.text, className="muted"),
                            ]
                        ),
                    ],
                    className="entry",
                )
                for item in view.sources
            ],
            className="entries",
        ),
        action=parts.link("All", "/signals"),
    )
