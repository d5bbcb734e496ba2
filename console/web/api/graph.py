"""The graph: now, at an instant, as a drawing, and as a live stream."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

from fastapi import Query, WebSocket, WebSocketDisconnect
from starlette.responses import Response

from console.context import Console
from console.moments import moment
from console.web.api.common import Here, instant, router, seconds
from console.web.errors import Invalid, Json, NotFound
from console.web.stream import Key
from graph.compare import compare, comparison_json
from graph.model import GraphType, Snapshot
from graph.windows import REACH_S, SHORTEST_S
from graph.wire import snapshot_json

SEND_S = 20
"""A reader that takes nothing for this long is disconnected."""

LONGEST_S = 30 * 86_400

SKEW_MS = 60_000
"""A client's clock may be so much ahead of the server's."""

REVISION = "revision:"

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
    """Return one projection of the graph.

    ``window``: any from 10s to 30d. ``at``: the instant at which it ends, as RFC 3339, Unix seconds or milliseconds,
    or -10m. ``namespaces``: separated by commas.
    """
    window_s = _window(window)
    at_ms = _past(here, at) if at else None
    snapshot = _within(await moment(here, type, window_s, at_ms), _names(namespaces))
    if format == "json":
        return Json(snapshot_json(snapshot))
    text = await asyncio.to_thread(_drawn, format, snapshot)
    return Response(text, media_type=MEDIA[format])


@api.get("/graph/compare")
async def compared(
    here: Here,
    *,
    before: Annotated[str, Query(alias="from", max_length=40)],
    to: Annotated[str, Query(max_length=40)] = "",
    window: Annotated[str, Query(max_length=16)] = "5m",
    type: GraphType = GraphType.VERSIONED_APP,  # noqa: A002
    namespaces: Annotated[str, Query(max_length=4000)] = "",
) -> Response:
    """Say what is different between the windows that end at ``from`` and at ``to`` (now, if not given).

    Both are instants, or ``revision:41`` for the one at which config of that revision came. From a revision, without
    ``to``, it is the window before the change against the one after it.
    """
    spans = await _spans(here, before, to, _window(window))
    wanted = _names(namespaces)
    old, new = [_within(await moment(here, type, one.window_s, one.at_ms), wanted) for one in spans]
    return Json(comparison_json(await asyncio.to_thread(compare, old, new)))


@api.websocket("/stream")
async def stream(websocket: WebSocket, here: Here) -> None:
    """Send a snapshot, then differences; see :mod:`console.web.stream`."""
    parameters = websocket.query_params
    try:
        key = Key(GraphType(parameters.get("type", "versionedApp")), _window(parameters.get("window", "60"), REACH_S))
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


def _names(text: str) -> frozenset[str]:
    return frozenset(name for name in text.split(",") if name)


def _within(snapshot: Snapshot, namespaces: frozenset[str]) -> Snapshot:
    """Keep what is in these namespaces, and whoever it talks to; everything, if none are named."""
    if not namespaces:
        return snapshot
    own = {name for name, node in snapshot.nodes.items() if node.namespace in namespaces}
    edges = {name: edge for name, edge in snapshot.edges.items() if edge.source in own or edge.target in own}
    shown = own | {end for edge in edges.values() for end in (edge.source, edge.target)}
    nodes = {name: node for name, node in snapshot.nodes.items() if name in shown}
    return replace(snapshot, nodes=nodes, edges=edges)


def _window(text: str, longest_s: int = LONGEST_S) -> int:
    window = seconds(text)
    if not SHORTEST_S <= window <= longest_s:
        longest = f"{longest_s // 86_400}d" if longest_s >= 86_400 else f"{longest_s // 3600}h"
        raise Invalid(f"there is no window of {text[:16]}; it may be from {SHORTEST_S}s to {longest}")
    return round(window)


def _past(here: Console, text: str) -> int:
    now_ms = here.clock.now_ms()
    at_ms = instant(text, now_ms)
    if at_ms > now_ms + SKEW_MS:
        raise Invalid(f"{text!r} is in the future")
    return at_ms


class _Span(NamedTuple):
    """A window and the instant at which it ends."""

    window_s: int
    at_ms: int


async def _spans(here: Console, before: str, to: str, window_s: int) -> tuple[_Span, _Span]:
    """Find out which two windows are meant; refuse such as overlap, for what they share would be compared to itself."""
    now_ms = here.clock.now_ms()
    old = _Span(window_s, await _moment_of(here, before))
    new = _Span(window_s, await _moment_of(here, to) if to else now_ms)
    if before.startswith(REVISION) and not to:
        new = _Span(min(window_s, (now_ms - old.at_ms) // 1000), min(now_ms, old.at_ms + 1000 * window_s))
        if new.window_s < SHORTEST_S:
            raise Invalid(f"{before} is {new.window_s} s old; after {SHORTEST_S} s there is something to compare")
    apart_s = (new.at_ms - old.at_ms) // 1000
    if apart_s < new.window_s:
        way_out = f"a window of at most {apart_s}s" if apart_s >= SHORTEST_S else "instants further apart"
        raise Invalid(f"the two windows overlap: from and to are {apart_s} s apart; ask for {way_out}")
    return old, new


async def _moment_of(here: Console, text: str) -> int:
    number = text.removeprefix(REVISION)
    if number == text:
        return _past(here, text)
    current = here.store.current.revision
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= current):
        raise Invalid(f"there is no {text[:40]}; the config's revisions go from 1 to {current}")
    wanted = int(number)
    for revision in reversed(await here.store.history(limit=current - wanted + 1)):
        if revision.number == wanted:
            return revision.at_ms
    raise NotFound(f"revision {wanted} is not in the history any more")
