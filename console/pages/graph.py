"""Traffic graph: the picture is the browser's; the panel beside it is drawn here."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dash import Dash, Input

from console.recent import recent
from console.views import selection as views
from console.views.shiftable import shiftable
from console.widgets import graph as widgets
from console.widgets import live, panel
from graph.model import Edge, GraphType, Node, Snapshot
from graph.ports import TraceQuery, TraceSummary

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/graph"
TITLE = "Traffic graph"
TRACES_SHOWN = 5
COURSE_S = 300
"""Courses reach at least this far back, however short the window."""


def layout(render: str) -> Component:
    """The graph's place; the numbers come over the stream."""
    return widgets.graph(render)


async def show(_console: Console, _rest: Sequence[str], _parameters: Mapping[str, str]) -> Component:
    """Start anew with each visit."""
    return layout(secrets.token_hex(4))


def register(app: Dash, console: Console) -> None:
    """Redraw the panel when the selection changes and when there is news."""

    @app.callback(
        live.target("graph-panel"),
        Input("graph-selection", "data"),
        Input("graph-topic", "data"),
        Input("graph-pulse", "data"),
    )
    async def describe(selected: str | None, topic: Mapping[str, Any] | None, _pulse: object) -> live.Plain:
        if not topic:
            return []
        return live.plain(await _panel(console, selected, GraphType(topic["type"]), int(topic["window"])))


async def _panel(console: Console, selected: str | None, kind: GraphType, window_s: int) -> list[Component]:
    snapshot = console.live.snapshot(kind, window_s)
    config = console.store.current
    versions = shiftable(console.live.snapshot(GraphType.VERSIONED_APP, window_s), config)
    if not selected:
        return panel.mesh(views.mesh_view(snapshot, versions))
    course = views.Course(**_course(console, kind, window_s, selected))
    now_ms = console.clock.now_ms()
    if node := snapshot.nodes.get(selected):
        found = await recent(console, _of_node(node))
        return panel.selection(
            views.node_view(
                snapshot, node, course=course, config=config, traces=found, shiftable=versions, now_ms=now_ms
            )
        )
    if edge := snapshot.edges.get(selected):
        found = await _of_edge(console, snapshot, edge)
        return panel.selection(
            views.edge_view(
                snapshot, edge, course=course, config=config, traces=found, shiftable=versions, now_ms=now_ms
            )
        )
    return panel.gone(selected)


def _course(console: Console, kind: GraphType, window_s: int, selected: str) -> dict[str, Sequence[float | None]]:
    series = console.live.series(kind, max(window_s, COURSE_S), selected)
    return {"rate": series.rate, "error_ratio": series.error_ratio, "p95_ms": series.p95_ms}


def _of_node(node: Node) -> TraceQuery:
    return TraceQuery(app=node.app, version=node.version, limit=TRACES_SHOWN)


async def _of_edge(console: Console, snapshot: Snapshot, edge: Edge) -> Sequence[TraceSummary]:
    """Traces that went along an edge; where it fails, those that failed come first."""
    source, target = snapshot.nodes.get(edge.source), snapshot.nodes.get(edge.target)
    if not source or not target or not source.app:
        return ()
    wanted = TraceQuery(app=source.app, peer_app=target.app, peer_version=target.version, limit=TRACES_SHOWN)
    failed = await recent(console, replace(wanted, errors_only=True)) if edge.signals.errors else ()
    found = {item.trace_id: item for item in (*failed, *await recent(console, wanted))}
    return tuple(found.values())[:TRACES_SHOWN]
