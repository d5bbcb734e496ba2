"""The proxies page's parts."""

from __future__ import annotations

from collections.abc import Iterable

from dash import html
from dash.development.base_component import Component

from console.views import links
from console.views.given import TYPES
from console.views.mentions import Piece
from console.views.proxies import Detail, Listing, Row, Served, Sync, Trouble
from console.widgets import parts
from console.widgets.parts import icon

ICONS = {"gateway": "door-open", "sidecar": "box"}


def listing(view: Listing) -> list[Component]:
    """What is wrong first, then the table."""
    if not view.rows and view.total:
        return [parts.unmatched(view.text, view.total, "proxy", "proxies")]
    if not view.rows:
        return [
            parts.empty(
                "network",
                "No proxy yet",
                "The first workload that joins the mesh brings one:",
                html.Code("meshscope run --service hello --port 8000 -- python3 -m http.server 8000"),
            )
        ]
    content = [_table(view), *parts.hidden(view.hidden)]
    if view.troubled:
        content.insert(0, html.Div([_of(row) for row in view.troubled], className="stack tight"))
    return content


def missing() -> Component:
    """There is none of this name."""
    return parts.empty("circle-help", "There is no such proxy now", parts.link("All proxies", "/proxies"))


def _of(row: Row) -> Component:
    return html.Section(
        [trouble(item, row) for item in row.troubles], className="stack tight", **parts.aria(label=row.instance)
    )


def trouble(item: Trouble, row: Row | None = None) -> Component:
    """What a proxy refuses or does not serve, with links to the objects that bring it; *row*: whose it is."""
    whose = [parts.link(html.B(row.instance), row.href), html.Span(": ")] if row else []
    head = [html.B(item.head)] if item.head else []
    suspects = (
        [html.Div(["It can come from ", *_joined(item.suspects), "."], className="suspects")] if item.suspects else []
    )
    reason = html.Span(_pieces(item.text), className="mono" if item.tone == "error" else "")
    return parts.note(item.tone, *whose, *head, reason, *suspects)


def _pieces(pieces: Iterable[Piece]) -> list[Component | str]:
    return [parts.link(piece.text, piece.href) if piece.href else piece.text for piece in pieces]


def _joined(pieces: tuple[Piece, ...]) -> list[Component | str]:
    named = _pieces(pieces)
    return [part for position, piece in enumerate(named) for part in ((", ", piece) if position else (piece,))]


def _table(view: Listing) -> Component:
    head = (
        ("Proxy", ""),
        ("State", ""),
        ("Role", parts.SPARE),
        *((one.title, "") for one in TYPES.values()),
        ("Revision", "num"),
    )
    return parts.scrolling("Proxies", parts.table(head, [_row(row) for row in view.rows], "Proxies"))


def _row(row: Row) -> tuple[Component, ...]:
    return (
        html.Th(
            [icon(ICONS.get(row.role, "box")), " ", parts.link(row.instance, row.href)], scope="row", className="named"
        ),
        html.Td(html.Span([html.Span(className=f"dot {row.tone}"), row.word], className=f"health {row.tone}")),
        html.Td(row.role, className=parts.SPARE),
        *(html.Td(_sync(item)) for item in row.syncs),
        html.Td(parts.link(str(row.revision), links.revision(row.revision)) if row.revision else "–", className="num"),
    )


def _sync(item: Sync) -> Component:
    dot = html.Span(className=f"dot {item.tone}", title=item.word)
    return html.Span([dot, html.Span(item.word, className="word")], className="sync")


def detail(view: Detail) -> list[Component]:
    """One proxy."""
    row = view.row
    return [
        html.Div(
            [
                html.Div([html.H1(row.instance), html.P(view.subtitle)]),
                html.Span([html.Span(className=f"dot {row.tone}"), row.word], className=f"health {row.tone}"),
                html.Span(className="grow"),
                parts.link([icon("box"), "Workload"], view.workload_href, "button"),
                parts.link([icon("scroll-text"), "Logs"], view.logs_href, "button"),
                parts.link([icon("zap"), "Live requests"], view.tap_href, "button"),
                parts.link([icon("badge-check"), "Certificate"], links.certificate(row.instance), "button"),
                parts.link([icon("arrow-left"), "All proxies"], "/proxies", "button"),
            ],
            className="page-head",
        ),
        *(trouble(item) for item in row.troubles),
        html.Div(
            [
                html.Div(
                    [*([_listens(view.served)] if view.is_gateway else []), _resources(view)],
                    className="stack",
                ),
                html.Div([parts.card("Facts", parts.facts(*view.facts)), _more(row)], className="stack"),
            ],
            className="columns",
        ),
    ]


def _listens(served: tuple[Served, ...]) -> Component:
    if not served:
        return parts.card("Listens on", html.P("No Gateway selects it, so it serves nobody.", className="muted"))
    rows = [
        (
            html.Th(item.port, scope="row"),
            html.Td(item.at or html.Span("not served", className="bad"), className="mono"),
            html.Td(html.Div([html.Span(host, className="chip") for host in item.hosts], className="chips")),
            html.Td(item.security),
            html.Td(parts.link(item.gateway.text, item.gateway.href)),
        )
        for item in served
    ]
    head = (("Port", ""), ("Opened at", ""), ("Hosts", ""), ("TLS", ""), ("Gateway", ""))
    return parts.card(
        "Listens on", parts.scrolling("Listens on", parts.table(head, rows, "Listens on"), within_card=True)
    )


def _resources(view: Detail) -> Component:
    rows = [
        (
            html.Th(parts.link(item.name, item.href), scope="row"),
            html.Td(_sync(item)),
            html.Td(parts.instant(item.at_ms, view.now_ms) if item.at_ms else "–", className="num"),
        )
        for item in view.row.syncs
    ]
    return parts.card(
        "What it was given", parts.table((("Type", ""), ("State", ""), ("Answered", "num")), rows, "What it was given")
    )


def _more(row: Row) -> Component:
    return parts.card(
        "Look closer",
        html.P(["Choose a type, or its ", parts.link("bootstrap", links.given(row.instance, "bootstrap")), "."]),
        html.P("The same on the command line:", className="muted"),
        html.Code(f"meshscope proxy-config routes {row.instance}", className="snippet"),
    )
