"""Traffic graph: the picture is the browser's; the panel beside it is drawn here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dash import Dash, Input

from console.looked import Looked, config_at, course, looked
from console.moments import memory_ms, moment, oldest_ms
from console.recent import recent
from console.views import comparison, groups
from console.views import selection as views
from console.views.dependence import Dependence, dependence
from console.views.mesh import mesh_view
from console.views.reasons import Reasons
from console.views.shiftable import shiftable
from console.web.errors import NotFound
from console.widgets import compared, live, panel
from console.widgets import graph as widgets
from graph.compare import compare
from graph.model import Edge, GraphType, Node, Snapshot
from graph.ports import TraceQuery, TraceSummary

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/graph"
TITLE = "Traffic graph"
TRACES_SHOWN = 5


async def show(console: Console, _rest: Sequence[str], _parameters: Mapping[str, str]) -> Component:
    """Start anew with each visit; the numbers come over the stream."""
    return widgets.graph(secrets.token_hex(4), await oldest_ms(console), memory_ms(console))


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
        try:
            return live.plain(await _panel(console, selected, looked(topic)))
        except NotFound:
            return live.plain(panel.unknown_moment())


async def _panel(console: Console, selected: str | None, at: Looked) -> list[Component]:
    if at.moments:
        return await _compared(console, selected, at)
    snapshot = await _snapshot(console, at)
    versions = (
        {}
        if at.at_ms
        else shiftable(console.live.snapshot(GraphType.VERSIONED_APP, at.live_window_s), console.store.current)
    )
    content = await _described(console, snapshot, selected, at, versions)
    return [*panel.moment(at.at_ms, console.clock.now_ms()), *content]


async def _snapshot(console: Console, at: Looked) -> Snapshot:
    if at.is_live:
        return console.live.snapshot(at.kind, at.window_s)
    return await moment(console, at.kind, at.window_s, at.at_ms)


async def _described(
    console: Console, snapshot: Snapshot, selected: str | None, at: Looked, versions: Mapping[str, Sequence[str]]
) -> list[Component]:
    reasons = Reasons(snapshot, console.live.tolerances)
    if not selected:
        return panel.mesh(mesh_view(snapshot, versions, reasons), groups.insights(snapshot))
    if group := groups.group_of(snapshot, selected):
        return panel.mesh(mesh_view(group.snapshot, {}, reasons, title=group.label, about=group.about))
    node, edge = snapshot.nodes.get(selected), snapshot.edges.get(selected)
    context: dict[str, Any] = {
        "course": await course(console, at, selected),
        "config": await config_at(console, at.at_ms),
        "shiftable": versions,
        "now_ms": console.clock.now_ms(),
    }
    if node:
        found = await recent(console, _of_node(node, at))
        view = views.node_view(snapshot, node, traces=found, reason=reasons.of(node), **context)
        return panel.selection(view, focus=node.id, needed=await asyncio.to_thread(_needed, snapshot, node))
    if edge:
        found = await _of_edge(console, snapshot, edge, at)
        return panel.selection(views.edge_view(snapshot, edge, traces=found, **context))
    return panel.gone(selected)


async def _compared(console: Console, selected: str | None, at: Looked) -> list[Component]:
    before, after = [await moment(console, at.kind, one.window_s, one.at_ms) for one in at.moments]
    found = compare(before, after)
    changed = comparison.change_of(found, selected) if selected else None
    if changed:
        return compared.change(changed)
    return compared.overview(comparison.overview(found), is_chosen=bool(selected))


def _needed(snapshot: Snapshot, node: Node) -> Dependence | None:
    # here, not above: networkx costs the server's start half a second
    from graph.analysis.blast import blast_radius  # noqa: PLC0415

    return dependence(snapshot, blast_radius(snapshot, [node.id]))


def _of_node(node: Node, at: Looked) -> TraceQuery:
    return at.restricted(TraceQuery(app=node.app, version=node.version, limit=TRACES_SHOWN))


async def _of_edge(console: Console, snapshot: Snapshot, edge: Edge, at: Looked) -> Sequence[TraceSummary]:
    """Traces that went along an edge; where it fails, those that failed come first."""
    source, target = snapshot.nodes.get(edge.source), snapshot.nodes.get(edge.target)
    if not source or not target or not source.app:
        return ()
    wanted = at.restricted(
        TraceQuery(app=source.app, peer_app=target.app, peer_version=target.version, limit=TRACES_SHOWN)
    )
    failed = await recent(console, replace(wanted, errors_only=True)) if edge.signals.errors else ()
    found = {item.trace_id: item for item in (*failed, *await recent(console, wanted))}
    return tuple(found.values())[:TRACES_SHOWN]
