"""The side panel of the traffic graph."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from console.views import format as fmt
from console.views.applied import Applied
from console.views.dependence import Dependence
from console.views.groups import Insight
from console.views.health import TONES
from console.views.mesh import Mesh, Unwell
from console.views.peers import Peer
from console.views.selection import Selection, Trace
from console.views.undeclared import Undeclared
from console.widgets import parts
from console.widgets.dependence import dependence
from console.widgets.parts import icon


def selection(view: Selection, *, focus: str = "", needed: Dependence | None = None) -> list[Component]:
    """One node or edge. *focus*: the node that the picture can be narrowed to; *needed*: who depends on it."""
    content: list[Component] = [_head(view), _actions(view, focus)]
    if view.reason:
        content.append(parts.note(TONES[view.health], view.reason))
    if view.silence:
        content.append(parts.note("info", view.silence))
    if view.undeclared:
        content.append(_undeclared(view.undeclared))
    if view.metrics:
        content.append(
            html.Div(
                [parts.metric(item.label, item.value, item.unit, item.hint, item.picture) for item in view.metrics],
                className="stack",
            )
        )
    if view.inbound:
        content.append(parts.section("Inbound", _peers(view.inbound, "Inbound")))
    if view.outbound:
        content.append(parts.section("Outbound", _peers(view.outbound, "Outbound")))
    if needed:
        content.append(dependence(needed))
    if view.outcomes:
        content.append(parts.section("Answers", _outcomes(view), *_flags(view)))
    if not view.undeclared:
        content.append(parts.section("Applied config", config(view.config)))
        content.append(parts.section("Recent traces", traces(view.traces, view.now_ms, of=view.title, on_graph=True)))
    if view.facts:
        content.append(parts.section("Facts", parts.facts(*view.facts)))
    if view.sources:
        content.append(parts.section("Where the numbers come from", _sources(view)))
    return content


def mesh(view: Mesh, insights: tuple[Insight, ...] = ()) -> list[Component]:
    """Nothing chosen, or a box: what is wrong, and what one can do."""
    content: list[Component] = [
        html.Div(
            html.Div([html.H1(view.title), html.P(f"{view.about}. Choose a node or an edge for details.")]),
            className="panel-head",
        ),
        _trouble(view),
        parts.section("Traffic", parts.facts(*view.metrics)),
    ]
    if view.shiftable:
        content.append(parts.section("Several versions run", *(_shiftable(*item) for item in view.shiftable)))
    for sort in dict.fromkeys(item.sort for item in insights):
        found = [_insight(item) for item in insights if item.sort == sort]
        content.append(parts.section(sort, html.Ul(found, className="changes")))
    return content


def _trouble(view: Mesh) -> Component:
    if not view.trouble and not view.healthy:
        return parts.note("info", html.B("No traffic. "), "Nothing can be said of health before there is some.")
    if not view.trouble:
        return parts.note("ok", html.B("Nothing is failing. "), f"{fmt.plural(view.healthy, 'node')} healthy.")
    return html.Ul([_unwell(node) for node in view.trouble], className="unwell")


def _unwell(node: Unwell) -> Component:
    name = html.Button(node.name, className="link-button", type="button", **parts.data(select=node.id))
    return html.Li([parts.health_pill(node.health), html.Div([name, html.Div(node.why, className="muted")])])


def moment(at_ms: int | None, now_ms: int) -> list[Component]:
    """That the panel tells of an earlier moment; nothing when it tells of now."""
    if at_ms is None:
        return []
    return [
        parts.note(
            "info",
            html.B("Earlier. "),
            f"Numbers, config and traces of {fmt.moment(at_ms)}, ",
            parts.instant(at_ms, now_ms),
            ".",
        )
    ]


def unknown_moment() -> list[Component]:
    """Nobody remembers the moment that was asked for; the picture says since when somebody does."""
    return [
        html.Div(html.Div(html.H1("No data for this moment")), className="panel-head"),
        parts.note("info", "Nobody watched the mesh then. Move the bar to another moment, or go back to live."),
    ]


def gone(name: str) -> list[Component]:
    """A deep link to something that is not there."""
    return [
        html.Div(
            [html.Div([html.H1("Not in this graph")]), html.Span(className="grow"), _close()], className="panel-head"
        ),
        parts.note(
            "warn", html.B(name), " is not in this graph type now. It may have left, or it belongs to another type."
        ),
    ]


def _head(view: Selection) -> Component:
    return html.Div(
        [
            html.Div([html.H1(view.title), html.P(view.subtitle)]),
            html.Span(className="grow"),
            parts.health_pill(view.health),
            _close(),
        ],
        className="panel-head",
    )


def _close() -> Component:
    return html.Button(
        icon("x"),
        className="button icon-only panel-close",
        type="button",
        **parts.aria(label="Close"),
        **parts.data(action="close"),
    )


def shift_button(service: str) -> Component:
    """Open the wizard for ``namespace/service``."""
    return html.Button(
        [icon("split"), "Shift traffic"],
        className="button primary",
        type="button",
        title="Shift traffic",
        **parts.data(shift=service),
    )


def _insight(item: Insight) -> Component:
    lit = {"light": "\n".join(item.light)} if item.light else {"blast": item.select}
    return html.Li(
        [
            html.Button(item.text, className="link-button", type="button", **parts.data(select=item.select, **lit)),
            html.Div(item.detail, className="muted"),
        ]
    )


def _actions(view: Selection, focus: str) -> Component:
    buttons: list[Component] = []
    if view.shift:
        buttons.append(shift_button(view.shift))
    buttons += [parts.link([icon(way.icon), way.text], way.href, "button") for way in view.ways]
    if focus:
        buttons.append(_action("crosshair", "Focus", focus=focus))
        buttons.append(_action("radar", "Who depends on it", blast=focus))
    return html.Div(buttons, className="ways")


def _action(name: str, text: str, **data: str) -> Component:
    return html.Button([icon(name), text], className="button", type="button", **parts.data(**data))


def _shiftable(service: str, name: str, versions: str) -> Component:
    return html.Div(
        [
            html.Div([html.B(name), html.Div(versions, className="muted")]),
            html.Span(className="grow"),
            shift_button(service),
        ],
        className="row",
    )


def _peers(peers: tuple[Peer, ...], label: str) -> Component:
    rows = [
        (
            html.Th(
                [
                    parts.health_dot(peer.health),
                    " ",
                    html.Button(peer.name, className="link-button", type="button", **parts.data(select=peer.edge_id)),
                ],
                scope="row",
            ),
            html.Td(peer.rate, className="num"),
            html.Td(peer.errors, className="num bad" if peer.failing else "num"),
            html.Td(peer.p95, className="num"),
        )
        for peer in peers
    ]
    return parts.table(
        (("Peer", ""), ("rps", "num"), ("errors", "num"), ("p95", "num")), rows, label, [peer.edge_id for peer in peers]
    )


def _outcomes(view: Selection) -> Component:
    return html.Div(
        [
            html.Span(
                [html.B(text), f" {share}"],
                className=f"health {'error' if failed else 'ok' if text[0] in '12' else ''}",
            )
            for text, share, failed in view.outcomes
        ],
        className="chips",
    )


def _flags(view: Selection) -> list[Component]:
    pairs = [part for name, text in view.flags for part in (html.Dt(name), html.Dd(text))]
    return [html.Dl(pairs, className="meanings")] if pairs else []


def _undeclared(view: Undeclared) -> Component:
    return html.Div(
        [
            parts.note(view.tone, html.B(view.head), view.text),
            html.Div(
                parts.link([icon("globe"), "Declare a host"], view.declare_href, "button primary"), className="row wrap"
            ),
            *(
                [html.P("Which hosts they are:", className="muted"), html.Code(view.command, className="snippet")]
                if view.command
                else []
            ),
        ],
        className="stack tight",
    )


def config(objects: tuple[Applied, ...]) -> Component:
    """Config objects as links, with what each does."""
    if not objects:
        return html.P("Nothing but defaults.", className="muted")
    return html.Ul(
        [
            html.Li(
                parts.link(
                    [icon(item.icon), html.Span([html.B(f"{item.key.kind} {item.key.name}"), html.Span(item.text)])],
                    item.href,
                    "applied",
                )
            )
            for item in objects
        ]
    )


def traces(found: tuple[Trace, ...], now_ms: int, *, of: str = "", on_graph: bool = False) -> Component:
    """Recent traces of something as links. *on_graph*: beside the graph, which can show where their time went."""
    if not found:
        told = "None in the store. Applications send them by OTLP; "
        return html.P([told, parts.link("Signals", "/signals"), " says how."], className="muted")
    rows = [
        (
            html.Th([parts.link(item.name, item.href)], scope="row"),
            html.Td("failed" if item.failed else "", className="bad"),
            html.Td(item.duration, className="num"),
            html.Td(parts.instant(item.at_ms, now_ms), className="num"),
            *([html.Td(_critical_path(item))] if on_graph else []),
        )
        for item in found
    ]
    head = (("Operation", ""), ("", ""), ("took", "num"), ("when", "num"), *((("", ""),) if on_graph else ()))
    return parts.held(of, parts.table(head, rows, "Recent traces", [item.href for item in found]))


def _critical_path(item: Trace) -> Component:
    return html.Button(
        icon("route"),
        className="link-button",
        type="button",
        title="Critical path on the graph",
        **parts.data(trace=item.href.rpartition("/")[2]),
        **parts.aria(label=f"Critical path of {item.name} on the graph"),
    )


def _sources(view: Selection) -> Component:
    return html.Ul(
        [
            html.Li(
                [
                    html.Div(
                        [html.B(source.reporter), html.Span("shown", className="count") if source.shown else None]
                    ),
                    html.Div(source.origin, className="mono muted"),
                    html.Div(
                        [
                            f"{source.requests} requests, {fmt.plural(source.instances, 'instance')}, read ",
                            parts.instant(source.at_ms, view.now_ms),
                        ],
                        className="muted",
                    ),
                ],
                className="source",
            )
            for source in view.sources
        ]
    )
