"""Who depends on a node, in the panel beside the graph."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from console.views import format as fmt
from console.views.dependence import Dependence
from console.widgets import parts

DOUBT = "Counters cannot tell which request made which call: this is the least and the most that they allow"


def dependence(view: Dependence) -> Component:
    """How much of the traffic needs it, and which callers."""
    rows = [
        (
            html.Th(
                html.Button(one.name, className="link-button", type="button", **parts.data(select=one.id)), scope="row"
            ),
            html.Td(one.way, className="muted"),
            html.Td([html.B(one.share), *_doubt(one.bounds)], className="num"),
        )
        for one in view.dependants
    ]
    return parts.section(
        "Who depends on it",
        html.P([html.B(view.sentence), *_doubt(view.bounds)]),
        *(
            [
                parts.table(
                    (("Caller", ""), ("", ""), ("of its requests", "num")),
                    rows,
                    "Who depends on it",
                    [one.id for one in view.dependants],
                )
            ]
            if rows
            else []
        ),
        *([html.P(f"and {fmt.plural(view.more, 'more caller')}", className="muted")] if view.more else []),
        *([html.P(["Nothing would reach ", html.B(view.starved), " any more."])] if view.starved else []),
    )


def _doubt(bounds: str) -> list[Component]:
    return [html.Span(f" {bounds}", className="muted", title=DOUBT)] if bounds else []
