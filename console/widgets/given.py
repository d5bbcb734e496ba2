"""The parts of the page of what a proxy was given."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from console.views import format as fmt
from console.views import links
from console.views.given import KINDS, Given, Resource
from console.widgets import parts
from console.widgets.parts import icon


def tabs(view: Given) -> Component:
    """The kinds of resources."""
    pages = {links.given(view.instance, kind): kind.capitalize() for kind in KINDS}
    return parts.section_tabs("Kinds of resources", pages, links.given(view.instance, view.what))


def unknown(instance: str, what: str) -> Component:
    """There is no such kind, for any proxy."""
    kinds = [parts.link(kind, links.given(instance, kind)) for kind in KINDS]
    return parts.empty("circle-help", f"No proxy is given {what}", html.Div(kinds, className="row wrap"))


def resources(view: Given) -> list[Component]:
    """Each resource, to be opened; one alone is open."""
    if not view.resources:
        nothing = f"No {view.what} match “{view.text}”" if view.text else f"It was given no {view.what}"
        return [parts.empty("circle-help", nothing)]
    alone = len(view.resources) == 1
    return [
        html.Div([_resource(one, shown=alone) for one in view.resources], className="card padded stack tight"),
        *parts.hidden(view.hidden),
    ]


def _resource(one: Resource, *, shown: bool) -> Component:
    size = html.Span(fmt.plural(one.text.count("\n") + 1, "line"), className="muted")
    return html.Details(
        [
            html.Summary([icon("chevron-right"), html.B(one.name), " ", size]),
            html.Pre(one.text, className="code", tabIndex=0, role="region", **parts.aria(label=one.name)),
        ],
        className="more",
        open=shown,
    )
