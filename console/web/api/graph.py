"""The graph: now, at an instant, as a drawing, and as a live stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Query, WebSocket, WebSocketDisconnect
from starlette.responses import Response

from console.context import Console
from console.web.api.common import Here, instant, router, seconds
from console.web.errors import Invalid, Json, NotFound
from console.web.stream import Key
from graph import history
from graph.model import GraphType, Snapshot
from graph.wire import snapshot_json

SEND_S = 20
"""A reader that takes nothing for this long is disconnected."""

api = router("graph")

Format = Literal["json", "dot", "graphml", "mermaid", "svg"]
MEDIA = {
    "dot": "text/vnd.graphviz",
    "graphml": "application/graphml+xml",
    "mermaid": "text/vnd.mermaid",
    "svg": "image/svg+xml",
}


@api.get("/graph")
async def graph(
    here: Here,
    *,
    type: GraphType = GraphType.VERSIONED_APP,  # noqa: A002  (Kiali's parameter)
    window: Annotated[str, Query(max_length=16)] = "60",
    namespaces: Annotated[str, Query(max_length=4000)] = "",
    at: Annotated[str, Query(max_length=40)] = "",
    format: Format = "json",  # noqa: A002
) -> Response:
    """Return one projection of the graph; ``namespaces`` separated by commas, ``at`` an instant of the last hour."""
    snapshot = await _snapshot(here, type, _window(here, window), at)
    wanted = frozenset(name for name in namespaces.split(",") if name)
    if wanted:
        snapshot = _within(snapshot, wanted)
    if format == "json":
        return Json(snapshot_json(snapshot))
    text = await asyncio.to_thread(_drawn, format, snapshot)
    return Response(text, media_type=MEDIA[format])


@api.websocket("/stream")
async def stream(websocket: WebSocket, here: Here) -> None:
    """Send a snapshot, then differences; see :mod:`console.web.stream`."""
    parameters = websocket.query_params
    try:
        key = Key(GraphType(parameters.get("type", "versionedApp")), _window(here, parameters.get("window", "60")))
    except (Invalid, ValueError):
        await websocket.close(1008, "unknown type or window")
        return
    await websocket.accept()
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(_send(websocket, here, key)), group.create_task(_left(websocket))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()


async def _send(websocket: WebSocket, here: Console, key: Key) -> None:
    with contextlib.suppress(WebSocketDisconnect, TimeoutError):
        async with contextlib.aclosing(here.stream.messages_of(key)) as messages:
            async for text in messages:
                async with asyncio.timeout(SEND_S):
                    await websocket.send_text(text)


async def _left(websocket: WebSocket) -> None:
    """Wait until the reader leaves; it has nothing to say."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def _drawn(form: str, snapshot: Snapshot) -> str:
    # here, not above: networkx costs the server's start half a second
    from graph import export  # noqa: PLC0415

    text: str = getattr(export, form)(snapshot)
    return text


def _within(snapshot: Snapshot, namespaces: frozenset[str]) -> Snapshot:
    """Keep what is in these namespaces, and whoever it talks to."""
    own = {name for name, node in snapshot.nodes.items() if node.namespace in namespaces}
    edges = {name: edge for name, edge in snapshot.edges.items() if edge.source in own or edge.target in own}
    shown = own | {end for edge in edges.values() for end in (edge.source, edge.target)}
    nodes = {name: node for name, node in snapshot.nodes.items() if name in shown}
    return replace(snapshot, nodes=nodes, edges=edges)


def _window(here: Console, text: str) -> int:
    window = seconds(text)
    windows = here.live.windows()
    if window not in windows:
        raise Invalid(f"there is no window of {text[:16]}; there are {', '.join(f'{known} s' for known in windows)}")
    return int(window)


async def _snapshot(here: Console, graph_type: GraphType, window_s: int, at: str) -> Snapshot:
    if not at:
        return here.live.snapshot(graph_type, window_s)
    at_ms = instant(at, here.clock.now_ms())
    found = (await here.snapshots.at(at_ms - window_s * 1000), await here.snapshots.at(at_ms))
    frames = [frame for _, frame in filter(None, found)]
    if not frames:
        kept = await here.snapshots.span()
        raise NotFound("there is no history yet" if kept is None else f"the history begins at {kept[0]} (Unix ms)")
    return await asyncio.to_thread(_rebuilt, frames, graph_type, window_s, at_ms)


def _rebuilt(frames: Sequence[bytes], graph_type: GraphType, window_s: int, at_ms: int) -> Snapshot:
    snapshot = history.rebuild([history.decode(frame) for frame in frames], graph_type, window_s, at_ms)
    assert snapshot is not None, "the frames are not later than the instant"
    return snapshot
