"""The services page's parts."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from console.views import format as fmt
from console.views import links
from console.views.selection import Peer
from console.views.services import Detail, Listing, Row
from console.widgets import panel, parts
from console.widgets.parts import icon

COLUMNS = (
    ("name", "Service", ""),
    ("namespace", "Namespace", ""),
    ("health", "Health", ""),
    ("rate", "Traffic", "num"),
    ("errors", "Errors", "num"),
    ("p95", "p95", "num"),
    ("", "Versions", ""),
    ("", "mTLS", ""),
    ("", "", ""),
)


def listing(view: Listing) -> Component:
    """The table, or why it is empty."""
    if not view.rows and view.text:
        return parts.empty(
            "search", f"No service matches “{view.text}”", f"There are {fmt.plural(view.total, 'service')}."
        )
    if not view.rows:
        return parts.empty(
            "server",
            "No service yet",
            "The first workload that joins the mesh brings one:",
            html.Code("meshscope run --service hello --port 8000 -- python3 -m http.server 8000"),
        )
    table = html.Table(
        [
            html.Thead(html.Tr([_heading(view, *column) for column in COLUMNS])),
            html.Tbody([_row(row) for row in view.rows]),
        ],
        className="table",
        **parts.aria(label="Services"),
    )
    return html.Div(table, className="card scroll-x", tabIndex=0, role="region", **parts.aria(label="Services"))


def _heading(view: Listing, key: str, text: str, name: str) -> Component:
    if not key:
        return html.Th(text or html.Span("Actions", className="sr-only"), className=name, scope="col")
    active = view.sort == key
    reverse = active and not view.reverse
    return html.Th(
        html.Button(
            [text, icon("chevron-down") if active else None],
            type="button",
            className="reversed" if active and view.reverse else "",
            **parts.data(sort=f"{key}{':reverse' if reverse else ''}", store="services-sort"),
        ),
        className=name,
        scope="col",
        **(parts.aria(sort="descending" if view.reverse else "ascending") if active else {}),
    )


def _row(row: Row) -> Component:
    traffic = f"{fmt.rate(row.rate)} rps" if row.rate or not row.throughput else fmt.throughput(row.throughput)
    return html.Tr(
        [
            html.Th(
                [icon("globe" if row.outside else "server"), " ", parts.link(row.name, row.href)],
                scope="row",
                className="named",
            ),
            html.Td(row.namespace),
            html.Td(parts.health_pill(row.health)),
            html.Td(traffic, className="num"),
            html.Td(fmt.percent(row.error_ratio), className="num bad" if row.error_ratio else "num"),
            html.Td(fmt.milliseconds(row.p95_ms), className="num"),
            html.Td(html.Div([html.Span(version, className="chip") for version in row.versions], className="chips")),
            html.Td(_mtls(row.mtls)),
            html.Td(panel.shift_button(row.shift) if row.shift else None, className="num"),
        ],
        key=row.href,
    )


def _mtls(share: float | None) -> Component:
    if share is None:
        return html.Span("not measured", className="muted")
    if share >= 0.9995:
        return html.Span([icon("lock"), " all"])
    if share == 0:
        return html.Span([icon("lock-open"), " none"], className="muted")
    return html.Span([icon("lock-open"), f" {fmt.percent(share)}"], className="bad")


def detail(view: Detail) -> list[Component]:
    """One service."""
    actions = [
        parts.link([icon("scroll-text"), "Logs"], links.logs(namespace=view.namespace, workload=view.name), "button"),
        parts.link([icon("zap"), "Live requests"], links.tap(target=f"{view.name}.{view.namespace}"), "button"),
        parts.link([icon("workflow"), "Show in the graph"], view.graph_href, "button"),
    ]
    if view.shift:
        actions.insert(0, panel.shift_button(view.shift))
    return [
        html.Div(
            [
                html.Div([html.H1(view.name), html.P(view.subtitle)]),
                parts.health_pill(view.health),
                html.Span(className="grow"),
                *actions,
            ],
            className="page-head",
        ),
        *([parts.note("info", view.silence)] if view.silence else []),
        *(
            [
                html.Div(
                    [parts.metric(m.label, m.value, m.unit, m.hint, m.picture) for m in view.metrics], className="tiles"
                )
            ]
            if view.metrics
            else []
        ),
        html.Div(
            [
                html.Div(
                    [
                        *([parts.card("Versions", _versions(view))] if view.versions else []),
                        parts.card("Called by", _peers(view.callers, "Nobody in this window.")),
                        parts.card("Calls", _peers(view.callees, "Nobody in this window.")),
                    ],
                    className="stack",
                ),
                html.Div(
                    [
                        parts.card("Applied config", panel.config(view.config)),
                        parts.card(
                            "Facts",
                            parts.facts(*view.facts)
                            if view.facts
                            else html.P("No Service object of this name.", className="muted"),
                        ),
                        parts.card("Recent traces", panel.traces(view.traces, view.now_ms)),
                    ],
                    className="stack",
                ),
            ],
            className="columns",
        ),
    ]


def _versions(view: Detail) -> Component:
    rows = [
        (
            html.Th([parts.health_dot(item.health), " ", parts.link(item.name, links.graph(item.node))], scope="row"),
            html.Td(item.replicas, className="num"),
            html.Td(item.rate, className="num"),
            html.Td(item.share, className="num"),
            html.Td(item.errors, className="num bad" if item.failing else "num"),
            html.Td(item.p95, className="num"),
        )
        for item in view.versions
    ]
    head = (("Version", ""), ("Replicas", "num"), ("rps", "num"), ("Share", "num"), ("Errors", "num"), ("p95", "num"))
    return parts.table(head, rows, "Versions")


def _peers(peers: tuple[Peer, ...], nobody: str) -> Component:
    if not peers:
        return html.P(nobody, className="muted")
    rows = [
        (
            html.Th([parts.health_dot(item.health), " ", item.name], scope="row"),
            html.Td(item.rate, className="num"),
            html.Td(item.errors, className="num bad" if item.failing else "num"),
            html.Td(item.p95, className="num"),
        )
        for item in peers
    ]
    return parts.table((("Edge", ""), ("rps", "num"), ("Errors", "num"), ("p95", "num")), rows, "Peers")
