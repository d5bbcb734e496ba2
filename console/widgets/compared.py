"""The graph's panel while two moments are compared."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from console.views import format as fmt
from console.views.comparison import Changed, Line, Overview
from console.widgets import parts


def overview(view: Overview, *, is_chosen: bool) -> list[Component]:
    """The changes, the most pressing first. *is_chosen*: something was chosen that is in neither moment."""
    content: list[Component] = [
        html.Div(
            html.Div([html.H1("What changed"), html.P(f"{view.before}, against {view.after}.")]), className="panel-head"
        )
    ]
    if is_chosen:
        content.append(parts.note("info", "What was chosen is in neither of the two moments."))
    if view.lines:
        content.append(html.Ul([_line(line) for line in view.lines], className="changes"))
    else:
        content.append(parts.note("ok", html.B("Nothing certain. "), "No edge differs by more than chance."))
    more = f"{fmt.plural(view.more, 'more change')}; " if view.more else ""
    content.append(html.P(f"{more}{view.rest}.", className="muted"))
    return content


def change(view: Changed) -> list[Component]:
    """One edge or node in both moments."""
    rows = [
        (
            html.Th(row.name, scope="row"),
            html.Td(row.before, className="num"),
            html.Td(row.after, className=f"num {'bad' if row.tone == 'error' else row.tone}"),
        )
        for row in view.rows
    ]
    return [
        html.Div(
            [
                html.Div(html.H1(view.name)),
                html.Span(className="grow"),
                html.Button(
                    [parts.icon("arrow-left"), "All changes"],
                    className="button",
                    type="button",
                    **parts.data(action="close"),
                ),
            ],
            className="panel-head",
        ),
        html.Div(
            [_word(word, tone) for word, tone in view.verdicts] or [_word("As before", "idle")], className="chips"
        ),
        parts.table((("", ""), ("before", "num"), ("after", "num")), rows, view.name, [row.name for row in view.rows]),
    ]


def _line(line: Line) -> Component:
    return html.Li(
        [
            html.Div([_word(line.word, line.tone), html.Span(line.detail, className="muted")], className="row"),
            html.Button(line.name, className="link-button", type="button", **parts.data(select=line.id)),
        ]
    )


def _word(word: str, tone: str) -> Component:
    return html.Span(word, className=f"health {tone}")
