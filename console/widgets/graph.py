"""Where the traffic graph goes. Its inside is the browser's: ``assets/js/graph-markup.js``."""

from __future__ import annotations

from dash import dcc, html
from dash.development.base_component import Component

from console.widgets import live, parts


def graph(render: str, oldest_ms: int, since_ms: int) -> Component:
    """The graph's place and the panel's. *render* differs each time, so that the script starts anew with it.

    The page offers windows and moments since *oldest_ms*. Since *since_ms* somebody has watched without a gap: there
    it begins to look back.
    """
    return html.Div(
        [
            html.Section(id="graph-main", className="graph-main", **parts.aria(label="Traffic graph")),
            *(dcc.Store(id=name) for name in ("graph-pulse", "graph-selection", "graph-topic")),
            live.region(
                "graph-panel", [], place=html.Aside, className="panel", tabIndex=0, **parts.aria(label="Details")
            ),
        ],
        id="graph-page",
        className="graph-page",
        **parts.data(render=render, pulse="graph-pulse", oldest=str(oldest_ms), since=str(since_ms)),
    )
