"""The traces pages' parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from console.views import format as fmt
from console.views import links
from console.views.traces import Bar, Row, Waterfall
from console.widgets import parts
from console.widgets.parts import icon
from graph.ports import TraceQuery, TraceStoreState


def filters(query: TraceQuery) -> Component:
    """Everything one can search for."""
    return parts.filters(
        parts.field("traces-app", "Service", query.app),
        parts.field("traces-peer", "Calls", f"{query.peer_app} {query.peer_version}".strip()),
        parts.field("traces-operation", "Operation", query.operation),
        parts.field("traces-tag", "Attribute, key=value", query.tag),
        parts.field("traces-min", "At least, ms", f"{query.min_duration_ms:g}" if query.min_duration_ms else ""),
        parts.switch("traces-errors", "Only with errors", on=query.errors_only),
    )


def rows(
    found: Sequence[Row], now_ms: int, *, query: TraceQuery, filtered: bool, state: TraceStoreState, receiver: str
) -> Component:
    """The list, or why it is empty."""
    if not found and state.backend != "embedded":
        return parts.empty("search", "No trace matches", f"The traces are kept by {state.backend}. Loosen a filter.")
    if not found and (filtered or state.traces):
        return parts.empty(
            "search", "No trace matches", f"The store holds {fmt.plural(state.traces, 'trace')}. Loosen a filter."
        )
    if not found:
        return parts.empty(
            "activity",
            "No trace has arrived yet",
            "Point an application's OpenTelemetry exporter here. Workloads started with meshscope run are told by themselves.",
            html.Code(f"OTEL_EXPORTER_OTLP_ENDPOINT={receiver}"),
        )
    body = [_row(row, now_ms) for row in found]
    head = (("Operation", ""), ("Services", ""), ("", ""), ("Spans", "num"), ("Took", "num"), ("", ""), ("When", "num"))
    table = parts.table(head, body, "Traces", [row.href for row in found])
    return parts.held(repr(query), parts.scrolling("Traces", table))


def _row(row: Row, now_ms: int) -> list[Component]:
    return [
        html.Th([parts.link(row.name, row.href), html.Div(row.app, className="muted")], scope="row"),
        html.Td(html.Div([html.Span(app, className="chip") for app in row.apps[:6]], className="chips")),
        html.Td(html.Span(fmt.plural(row.errors, "error"), className="health error") if row.errors else None),
        html.Td(str(row.spans), className="num"),
        html.Td(row.duration, className="num"),
        html.Td(
            html.Div(
                html.Div(style={"width": f"{row.share:.1%}"}, className="error" if row.errors else ""),
                className="length",
            ),
            **parts.aria(hidden="true"),
        ),
        html.Td(parts.instant(row.at_ms, now_ms), className="num"),
    ]


def store(state: TraceStoreState) -> str:
    """How full the store is, or who keeps the traces."""
    if state.backend != "embedded":
        return f"Kept by {state.backend}"
    dropped = f", {fmt.count(state.dropped_spans)} spans dropped" if state.dropped_spans else ""
    return f"{fmt.plural(state.traces, 'trace')} kept, {fmt.size(state.bytes)} of {fmt.size(state.capacity_bytes)}{dropped}"


def waterfall(view: Waterfall) -> list[Component]:
    """One trace."""
    return [
        parts.page_head(
            view.title,
            html.Span(fmt.plural(view.errors, "error"), className="health error")
            if view.errors
            else html.Span("No errors", className="health ok"),
            parts.link([icon("workflow"), "On the graph"], view.graph, "button"),
            parts.link([icon("scroll-text"), "Logs"], links.logs(trace=view.trace_id), "button"),
            parts.link([icon("arrow-left"), "All traces"], "/traces", "button"),
            subtitle=f"{fmt.moment(view.at_ms)} · {view.duration} · {fmt.plural(view.spans, 'span')}",
        ),
        html.Div(
            [
                html.Div(
                    [
                        html.Div(
                            [
                                html.Span([html.I(className=f"service-{color}"), app], className="chip")
                                for app, color in view.apps
                            ],
                            className="chips",
                        ),
                        html.Span(className="grow"),
                        html.Span(["Trace ", html.Code(view.trace_id)], className="muted"),
                    ],
                    className="row wrap waterfall-head",
                ),
                html.Div(
                    [html.Span("Span"), html.Div([html.Span(tick) for tick in view.ticks])],
                    className="waterfall-scale",
                    **parts.aria(hidden="true"),
                ),
                *(_bar(bar) for bar in view.bars),
            ],
            className="card waterfall",
        ),
    ]


def _bar(bar: Bar) -> Component:
    return html.Details(
        [
            html.Summary(
                [
                    html.Span(
                        [
                            icon("chevron-right"),
                            html.I(className=f"service-{bar.color}"),
                            html.B(bar.app),
                            html.Span(bar.name),
                            html.Span("failed", className="health error") if bar.error else None,
                        ],
                        className="span-name",
                        style={"paddingLeft": f"{bar.depth * 14}px"},
                    ),
                    html.Span(
                        [
                            html.Span(
                                className=f"bar service-{bar.color}{' failed' if bar.error else ''}",
                                style={"left": f"{bar.start:.3%}", "width": f"{bar.width:.3%}"},
                            ),
                            html.Span(bar.duration, **_label(bar)),
                        ],
                        className="track",
                    ),
                ]
            ),
            _inside(bar),
        ],
        className="span",
    )


def _label(bar: Bar) -> dict[str, Any]:
    """Beside the bar on the side that has room, or within it."""
    end = bar.start + bar.width
    if end < 0.88:
        return {"className": "bar-label", "style": {"left": f"calc({end:.3%} + 6px)"}}
    if bar.start > 0.12:
        return {"className": "bar-label", "style": {"right": f"calc({1 - bar.start:.3%} + 6px)"}}
    return {"className": "bar-label within", "style": {"right": f"calc({1 - end:.3%} + 8px)"}}


def _inside(bar: Bar) -> Component:
    timing = (
        ("Starts after", bar.offset),
        ("Takes", bar.duration),
        ("Of this in itself", bar.own),
        ("Kind", bar.kind),
        ("Service", " ".join(filter(None, (bar.app, bar.version)))),
    )
    content: list[Component] = []
    if bar.error:
        content.append(parts.note("error", html.B("Failed. "), bar.status or "The span gives no reason."))
    content += [
        html.Div(
            [
                parts.facts(*timing),
                parts.link([icon("scroll-text"), f"What {bar.app} logged here"], bar.logs),
                parts.link([icon("box"), "Its workload"], bar.workload) if bar.workload else None,
                *(parts.link([icon("activity"), "A trace that led to this"], f"/traces/{one}") for one in bar.led_by),
            ],
            className="stack",
        ),
        parts.section("Attributes", parts.facts(*bar.facts), level=3),
        parts.section("Process", parts.facts(*bar.resource), level=3),
    ]
    content += [
        parts.section(f"Event at {at}: {name}", parts.facts(*attributes), level=3)
        for at, name, attributes in bar.events
    ]
    return html.Div(content, className="span-inside")
