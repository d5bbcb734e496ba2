"""A list that ``assets/js/feed.js`` fills while one looks."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from console.widgets import parts
from console.widgets.parts import icon


def feed(kind: str, label: str, *, empty: str, **wanted: str) -> Component:
    """The list with its buttons. *wanted* are ``data-*`` attributes that say what is asked for."""
    return html.Div(
        [
            html.Div(
                [
                    html.Span(className="feed-state", role="status"),
                    html.Span(className="grow"),
                    html.Button(
                        [icon("pause"), "Pause"],
                        className="button",
                        type="button",
                        **parts.data(pause=""),
                        **parts.aria(pressed="false"),
                    ),
                    html.Button([icon("x"), "Clear"], className="button", type="button", **parts.data(clear="")),
                ],
                className="row feed-head",
            ),
            html.Div(
                html.Ol(className=f"feed {kind}"),
                className="feed-scroll",
                tabIndex=0,
                role="region",
                **parts.aria(label=label),
            ),
        ],
        className="card feed-card",
        **parts.data(feed=kind, empty=empty, own="", **wanted),
    )
