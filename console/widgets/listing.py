"""The table of a list: its columns, its sort buttons, its search when nothing is found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from dash import html
from dash.development.base_component import Component

from console.views import format as fmt
from console.views.listing import Listing, Row
from console.widgets import panel, parts
from console.widgets.parts import icon


class Column(NamedTuple):
    """One column; ``key`` is its sort order, where it can be sorted by."""

    key: str
    title: str
    name: str
    cell: Callable[[Row], Component]


def table(view: Listing, noun: str, hidden: Collection[str], nothing: Component) -> Component:
    """The table, or why it is empty. *hidden*: titles of columns that have nothing to say here."""
    if not view.rows and view.text:
        return parts.unmatched(view.text, view.total, noun)
    if not view.rows:
        return nothing
    left_out = {*hidden, *(() if view.several_clusters else ("Cluster",))}
    shown = [column for column in COLUMNS if column.title not in left_out]
    title = f"{noun.capitalize()}s"
    content = html.Table(
        [
            html.Thead(html.Tr([_heading(view, title.lower(), column) for column in shown])),
            html.Tbody([html.Tr([column.cell(row) for column in shown], key=row.href) for row in view.rows]),
        ],
        className="table",
        **parts.aria(label=title),
    )
    return html.Div([parts.scrolling(title, content), *parts.hidden(view.hidden)], className="stack")


def _heading(view: Listing, page: str, column: Column) -> Component:
    if not column.key:
        hidden = html.Span("Actions", className="sr-only")
        return html.Th(column.title or hidden, className=column.name, scope="col")
    active = view.sort == column.key
    reverse = active and not view.reverse
    return html.Th(
        html.Button(
            [column.title, icon("chevron-down") if active else None],
            type="button",
            className="reversed" if active and view.reverse else "",
            **parts.data(sort=f"{column.key}{':reverse' if reverse else ''}", store=f"{page}-sort"),
        ),
        className=column.name,
        scope="col",
        **(parts.aria(sort="descending" if view.reverse else "ascending") if active else {}),
    )


def _name(row: Row) -> Component:
    return html.Th([icon(row.icon), " ", parts.link(row.name, row.href)], scope="row", className="named")


def _traffic(row: Row) -> Component:
    text = f"{fmt.rate(row.rate)} rps" if row.rate or not row.throughput else fmt.throughput(row.throughput)
    return html.Td([text, html.Span(" sent", className="muted") if row.sends else None], className="num")


def _errors(row: Row) -> Component:
    return html.Td(fmt.percent(row.error_ratio), className="num bad" if row.error_ratio else "num")


def _versions(row: Row) -> Component:
    return html.Td(html.Div([html.Span(version, className="chip") for version in row.versions], className="chips"))


def _replicas(row: Row) -> Component:
    return html.Td(fmt.NONE if row.replicas is None else str(row.replicas), className="num")


def _mtls(row: Row) -> Component:
    if row.mtls is None:
        return html.Td(html.Span("not measured", className="muted"))
    if row.mtls >= 0.9995:
        return html.Td([icon("lock"), "\u00a0all"], className="whole")
    if row.mtls == 0:
        return html.Td([icon("lock-open"), "\u00a0none"], className="muted whole")
    return html.Td([icon("lock-open"), f"\u00a0{fmt.percent(row.mtls)}"], className="bad whole")


def _action(row: Row) -> Component:
    return html.Td(panel.shift_button(row.shift) if row.shift else None, className="num")


COLUMNS = (
    Column("name", "Name", "", _name),
    Column("cluster", "Cluster", "", lambda row: html.Td(row.cluster)),
    Column("namespace", "Namespace", "", lambda row: html.Td(row.namespace)),
    Column("health", "Health", "", lambda row: html.Td(parts.health_pill(row.health, row.reason))),
    Column("rate", "Traffic", "num", _traffic),
    Column("errors", "Errors", "num", _errors),
    Column("p95", "p95", "num", lambda row: html.Td(fmt.milliseconds(row.p95_ms), className="num")),
    Column("", "Versions", "", _versions),
    Column("", "Replicas", "num", _replicas),
    Column("", "mTLS", "", _mtls),
    Column("", "", "", _action),
)


def several(found: Mapping[str, str], name: str) -> Component:
    """Ask which one is meant; *found*: cluster and page of each."""
    choices = html.Ul([html.Li(parts.link(cluster, href)) for cluster, href in found.items()], className="stack")
    return parts.empty("globe", f"{name} is in {fmt.plural(len(found), 'cluster')}; which one?", choices)
