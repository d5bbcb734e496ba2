"""YAML on the page."""

from __future__ import annotations

from collections.abc import Iterable

from dash import html
from dash.development.base_component import Component

from console.views.yaml import Line, Token
from console.widgets import parts

MARKS = {"+": "added", "-": "removed", "…": "folded"}


def code(shown: Iterable[Line], label: str) -> Component:
    """Lines with numbers; scrolls on its own, so that it can be reached by keyboard."""
    return html.Div(
        [_line(line) for line in shown],
        className="code",
        tabIndex=0,
        role="region",
        **parts.aria(label=label),
    )


def _line(line: Line) -> Component:
    spoken = {"+": "added: ", "-": "removed: "}.get(line.mark)
    return html.Div(
        [
            html.Span(str(line.number or ""), className="line-number", **parts.aria(hidden="true")),
            html.Span(line.mark, className="line-mark", **parts.aria(hidden="true")),
            *([html.Span(spoken, className="sr-only")] if spoken else []),
            html.Span([_token(token) for token in line.tokens], className="line-text"),
        ],
        className=MARKS.get(line.mark, ""),
    )


def _token(token: Token) -> Component | str:
    return html.Span(token.text, className=f"yaml-{token.role}") if token.role else token.text
