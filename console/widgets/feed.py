"""A list that ``assets/js/feed.js`` fills while one looks, and the page that is nothing but such a list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from dash import Dash, Input, Output, dcc, html
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


def page(kind: str, title: str, subtitle: str, filters: Component, shown: Component) -> Component:
    """A page of filters and what the browser finds by them."""
    return html.Div(
        [parts.page_head(title, subtitle=subtitle), filters, dcc.Store(id=f"{kind}-asked"), shown],
        className="page filled",
    )


def register(app: Dash, kind: str, *, values: Iterable[str], switches: Iterable[str]) -> None:
    """Let the address follow the page's filters, and the list the address."""
    cast("Any", app).clientside_callback(
        f"(...filters) => window.Meshscope.ask.{kind}(...filters)",
        Output(f"{kind}-asked", "data"),
        *(Input(f"{kind}-{name}", "value") for name in values),
        *(Input(f"{kind}-{name}", "checked") for name in switches),
        prevent_initial_call=True,
    )
