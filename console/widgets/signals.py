"""The signals page's parts."""

from __future__ import annotations

import re

from dash import html
from dash.development.base_component import Component

from console.signals.signal import Advice
from console.views.signals import Page, Row
from console.widgets import parts
from console.widgets.parts import icon


def signals(view: Page) -> list[Component]:
    """How many are how, then each area."""
    return [_counts(view), *(_area(title, rows) for title, rows in view.areas)]


def _counts(view: Page) -> Component:
    return html.Div(
        [
            html.Div([html.Span(className=f"dot {tone}"), html.B(str(number)), word])
            for tone, word, number in view.counts
        ],
        className="counts signal-counts",
    )


def _area(title: str, rows: tuple[Row, ...]) -> Component:
    return parts.card(title, html.Div([_row(row) for row in rows], className="signals"))


def _row(row: Row) -> Component:
    return html.Div(
        [
            html.Span([html.Span(className=f"dot {row.tone}"), row.word], className=f"health {row.tone}"),
            html.H3(row.name),
            html.Div(
                [
                    html.P(row.text),
                    *(html.P(fact, className="muted") for fact in row.further),
                    _way_out(row),
                    _counters(row),
                ],
                className="signal-text",
            ),
        ],
        className="signal",
        key=row.name,
    )


def _way_out(row: Row) -> Component | None:
    """What mends something is open; what one might wish for is there to be opened."""
    if not row.advice:
        return None
    content = [_advice(f"{row.name} {number}", one) for number, one in enumerate(row.advice)]
    if row.urgent:
        return html.Div(content, className="stack tight")
    return html.Details([html.Summary([icon("chevron-right"), "How to get more"]), *content], className="more")


def _advice(name: str, advice: Advice) -> Component:
    id_ = "paste-" + re.sub(r"\W+", "-", name)
    return html.Div(
        [html.P(advice.text), parts.snippet(id_, advice.paste) if advice.paste else None], className="stack tight"
    )


def _counters(row: Row) -> Component | None:
    if not row.counters:
        return None
    return html.Details(
        [html.Summary([icon("chevron-right"), "Counters"]), parts.facts(*row.counters)], className="more"
    )
