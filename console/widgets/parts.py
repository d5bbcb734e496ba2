"""The small parts every page is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from console.clock import rfc3339
from console.views import format as fmt
from console.views.health import TONES, WORDS
from console.views.spark import Spark
from graph.model import Health

Content = Any
"""Whatever Dash takes as children."""
SPARE = "spare"
"""Columns of tables that a narrow window leaves out; what they say is on a page of its own, too."""


def aria(**names: str) -> dict[str, Any]:
    """``aria-*`` attributes."""
    return {f"aria-{name}": value for name, value in names.items()}


def data(**names: str) -> dict[str, Any]:
    """``data-*`` attributes, which the page's scripts read."""
    return {f"data-{name}": value for name, value in names.items()}


def icon(name: str) -> Component:
    """A Lucide icon; decoration only, so it has no name of its own."""
    return html.Span(className=f"ic ic-{name}", **aria(hidden="true"))


def health_pill(health: Health, why: str = "") -> Component:
    """Health as a coloured word with its shape; *why* is told to whoever points at it."""
    tone = TONES[health]
    return html.Span([html.Span(className=f"dot {tone}"), WORDS[health]], className=f"health {tone}", title=why or None)


def health_dot(health: Health) -> Component:
    """Health in a dense row: the shape, with the word for those who cannot see it."""
    return html.Span(
        [
            html.Span(className=f"dot {TONES[health]}", title=WORDS[health]),
            html.Span(WORDS[health], className="sr-only"),
        ]
    )


def note(tone: str, *content: Content, role: str | None = None) -> Component:
    """A coloured sentence. *tone*: ``ok``, ``warn``, ``error`` or ``info``."""
    name = {"ok": "circle-check", "warn": "triangle-alert", "error": "circle-alert"}.get(tone, "info")
    extra: dict[str, Any] = {"role": role} if role else {}
    return html.Div([icon(name), html.Div(list(content))], className=f"note {tone}", **extra)


def empty(name: str, title: str, *content: Content) -> Component:
    """Nothing to show: why, and the way out."""
    return html.Div(
        [icon(name), html.H2(title), *(html.P(item) if isinstance(item, str) else item for item in content)],
        className="empty",
    )


def unmatched(text: str, total: int, one: str, many: str = "") -> Component:
    """Nothing fits what was searched for, of *total*; *one* and *many*: what there is."""
    return empty("search", f"No {one} matches “{text}”", f"{fmt.plural(total, one, many)} in all.")


def metric(label: str, value: str, unit: str, hint: str, picture: Spark | None) -> Component:
    """One golden signal: number now, course over the window."""
    return html.Div(
        [
            html.Div(
                [
                    html.Div(label, className="label"),
                    html.Div([value, html.Small(unit)], className="value"),
                    html.Div(hint, className="hint"),
                ]
            ),
            html.Img(src=picture.source, alt=picture.text) if picture else None,
        ],
        className="metric" if picture else "metric alone",
    )


def section(title: str, *content: Content, level: int = 2) -> Component:
    """A titled part of a panel or page."""
    heading = {2: html.H2, 3: html.H3}[level]
    return html.Section([heading(title, className="section-title"), *content], className="panel-section")


def facts(*pairs: tuple[str, Content]) -> Component:
    """Names and values."""
    return html.Dl(
        [part for name, value in pairs for part in (html.Dt(name), html.Dd(_breaking(value)))], className="facts"
    )


def _breaking(value: Content) -> Content:
    """Let a path or an identity break after a slash, before it breaks within a word."""
    if not isinstance(value, str) or "/" not in value:
        return value
    first, *rest = value.split("/")
    return [first, *(part for one in rest for part in ("/", html.Wbr(), one))]


def table(
    head: Sequence[tuple[str, str]], rows: Sequence[Sequence[Component]], label: str, keys: Sequence[str] = ()
) -> Component:
    """A plain table. *head*: text and class of each column; *rows*: ready cells; *keys*: what each row stays, wherever it moves."""
    return html.Table(
        [
            html.Thead(
                html.Tr([html.Th(text, className=name, scope="col") if text else html.Td() for text, name in head])
            ),
            html.Tbody([html.Tr(list(cells), key=key) for cells, key in zip_longest(rows, keys)]),
        ],
        className="table",
        **aria(label=label),
    )


def scrolling(label: str, content: Content, *, within_card: bool = False) -> Component:
    """A card that scrolls sideways where its table is too wide, also by keyboard. *within_card*: a part of one."""
    name = "scroll-x" if within_card else "card scroll-x"
    return html.Div(content, className=name, tabIndex=0, role="region", **aria(label=label))


def held(of: str, content: Content) -> Component:
    """Rows that change all the time; they wait while one points at them. *of*: what they tell of now."""
    return html.Div(content, className="held", **data(hold=of))


def hidden(number: int) -> list[Component]:
    """How many rows are not shown; nothing where all are."""
    return [html.P(f"{fmt.count(number)} more fit; search to see them.", className="muted")] if number else []


def link(content: Content, href: str, name: str = "") -> Component:
    """A link within the console; ``assets/js/shell.js`` follows it without loading the page anew."""
    return html.A(content, href=href, className=name or None)


def section_tabs(label: str, tabs: Mapping[str, str], chosen: str) -> Component:
    """Pages that belong together, to be chosen between. *tabs*: name by address; *chosen*: the address of this one."""
    return html.Nav(
        [
            html.A(name, href=href, className="section-tab", **(aria(current="page") if href == chosen else {}))
            for href, name in tabs.items()
        ],
        className="section-tabs",
        **aria(label=label),
    )


def instant(at_ms: int, now_ms: int) -> Component:
    """How long ago, with the exact moment behind it."""
    return html.Time(fmt.ago(at_ms, now_ms), dateTime=rfc3339(at_ms), title=fmt.moment(at_ms))


def page(title: str, *content: Content, subtitle: str = "") -> Component:
    """A page with its heading."""
    return html.Div([page_head(title, subtitle=subtitle), *content], className="page")


def page_head(title: str, *controls: Content, subtitle: str = "") -> Component:
    """The heading, with what one can do on the right."""
    return html.Div(
        [
            html.Div([html.H1(title), *([html.P(subtitle)] if subtitle else [])]),
            html.Span(className="grow"),
            *controls,
        ],
        className="page-head",
    )


def live_page(name: str, *content: Content, subject: Any = None) -> Component:
    """A page that is woken by news of the graph: callbacks take ``<name>-pulse`` (and ``<name>-subject``)."""
    stores = [dcc.Store(id=f"{name}-pulse")]
    if subject is not None:
        stores.append(dcc.Store(id=f"{name}-subject", data=subject))
    return html.Div([*stores, *content], className="page", **data(pulse=f"{name}-pulse"))


def card(title: str, *content: Content, action: Content = None) -> Component:
    """A titled card."""
    return html.Section(
        [html.Div([html.H2(title), html.Span(className="grow"), action], className="card-head"), *content],
        className="card padded",
    )


def search(id_: str, label: str, value: str) -> Component:
    """A search field that answers while one types."""
    field: Component = dmc.TextInput(
        id=id_,
        value=value,
        debounce=150,
        placeholder=label,
        leftSection=icon("search"),
        className="search",
        **aria(label=label),
    )
    return field


def field(id_: str, label: str, value: str) -> Component:
    """A filter that one writes."""
    written: Component = dmc.TextInput(
        id=id_, value=value, debounce=300, placeholder=label, className="filter", **aria(label=label)
    )
    return written


def choice(id_: str, label: str, value: str, options: Mapping[str, str], *, wide: bool = False) -> Component:
    """A filter that one chooses. *label* stands for no choice; *options*: value and text; *wide*: many long ones."""
    chosen: Component = dmc.Select(
        id=id_,
        value=value or None,
        data=[{"value": one, "label": text} for one, text in options.items()],
        placeholder=label,
        clearable=True,
        searchable=wide,
        className="filter wide" if wide else "filter",
        **aria(label=label),
    )
    return chosen


def switch(id_: str, label: str, *, on: bool) -> Component:
    """A filter that is on or off."""
    switched: Component = dmc.Switch(id=id_, label=label, checked=on, size="sm")
    return switched


def filters(*content: Content) -> Component:
    """Everything one can ask a page for; all of it is in the address."""
    return html.Div(list(content), className="filters", role="search")


def snippet(id_: str, text: str) -> Component:
    """Something to paste, with a button that copies it."""
    return html.Div(
        [
            html.Pre(html.Code(text, id=id_), className="snippet", tabIndex=0, role="region", **aria(label="To paste")),
            html.Button(
                icon("copy"),
                className="button icon-only copy",
                type="button",
                title="Copy",
                **aria(label="Copy"),
                **data(copy=id_),
            ),
        ],
        className="pasted",
    )
