"""What the pages of a service and of a workload show alike."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from console.views import format as fmt
from console.views.charts import Chart
from console.views.item import Neighbour, Side, Version
from console.widgets import parts
from console.widgets.parts import icon
from graph.model import Health


def head(title: str, subtitle: str, health: Health, actions: Sequence[Component]) -> Component:
    """Its name, how it is doing, and what one can do."""
    return html.Div(
        [
            html.Div([html.H1(title), html.P(subtitle)]),
            parts.health_pill(health),
            html.Span(className="grow"),
            *actions,
        ],
        className="page-head",
    )


def reason(health: Health, text: str) -> list[Component]:
    """Why it is not well; nothing where it is."""
    return [parts.note("error" if health is Health.FAILURE else "warn", text)] if text else []


def side(view: Side, spans: Component) -> Component:
    """The traffic in one direction, now and over time."""
    if view.silence:
        return parts.card(view.title, html.P(view.silence, className="muted"), action=spans)
    charts = html.Div([_chart(chart, view.span_s) for chart in view.charts], className="charts")
    return parts.card(view.title, charts, action=spans)


def spans(offered: Sequence[int], chosen: int, href: str) -> Component:
    """How far back the charts reach, to be chosen; *href*: the page's address without it."""
    joint = "&" if "?" in href else "?"
    links = [
        html.A(
            fmt.window(one),
            href=f"{href}{joint}span={one}",
            className="span-choice",
            **(parts.aria(current="true") if one == chosen else {}),
        )
        for one in offered
    ]
    return html.Div(links, className="span-choices", role="group", **parts.aria(label="How far back"))


def _chart(view: Chart, span_s: int) -> Component:
    shown = parts.metric(view.metric.label, view.metric.value, view.metric.unit, view.metric.hint, None)
    if view.picture is None:
        return html.Div(shown, className="chart")
    legend = [html.Span([html.I(className=f"line {tone}"), name]) for tone, name in view.legend]
    return html.Div(
        [
            shown,
            html.Div([html.Span(view.top, className="chart-top"), *legend], className="chart-legend"),
            html.Div(
                html.Img(src=view.picture.source, alt=view.picture.text),
                className="chart-plot",
                **parts.data(points=json.dumps(view.points, ensure_ascii=False), span=str(span_s)),
            ),
            html.Div(
                [html.Span(f"{fmt.window(span_s)} ago"), html.Span("now")],
                className="chart-scale",
                **parts.aria(hidden="true"),
            ),
        ],
        className="chart",
    )


def neighbours(found: tuple[Neighbour, ...], label: str, nobody: str) -> Component:
    """Who calls it, or whom it calls."""
    if not found:
        return parts.card(label, html.P(nobody, className="muted"))
    rows = [
        (
            html.Th([parts.health_dot(one.peer.health), " ", parts.link(one.peer.name, one.href)], scope="row"),
            html.Td(one.peer.rate, className="num"),
            html.Td(one.peer.errors, className="num bad" if one.peer.failing else "num"),
            html.Td(one.peer.p95, className="num"),
            html.Td(_traces(one), className="num"),
        )
        for one in found
    ]
    head = (("Who", ""), ("rps", "num"), ("Errors", "num"), ("p95", "num"), ("", ""))
    return parts.card(label, parts.table(head, rows, label, [one.peer.edge_id for one in found]))


def _traces(one: Neighbour) -> Component | None:
    if not one.traces_href:
        return None
    return html.A(icon("activity"), href=one.traces_href, title="Traces", **parts.aria(label=f"Traces {one.peer.name}"))


def versions(title: str, found: tuple[Version, ...]) -> list[Component]:
    """The workloads that share its traffic; nothing where there are none."""
    rows = [
        (
            html.Th([parts.health_dot(one.health), " ", parts.link(one.name, one.href)], scope="row"),
            html.Td(html.Span(one.version, className="chip") if one.version else None),
            html.Td(one.replicas, className="num"),
            html.Td(one.rate, className="num"),
            html.Td(one.share, className="num"),
            html.Td(one.errors, className="num bad" if one.failing else "num"),
            html.Td(one.p95, className="num"),
        )
        for one in found
    ]
    numbers = ("Replicas", "rps", "Share", "Errors", "p95")
    head = (("Workload", ""), ("Version", ""), *((text, "num") for text in numbers))
    return [parts.card(title, parts.table(head, rows, title, [one.href for one in found]))] if rows else []


def facts(found: tuple[tuple[str, str], ...], nothing: str) -> Component:
    """What else is known."""
    return parts.card("Facts", parts.facts(*found) if found else html.P(nothing, className="muted"))
