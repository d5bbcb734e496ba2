"""The graph: now, at an instant, as a drawing, and as a live stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Literal, NamedTuple

from fastapi import Query, WebSocket, WebSocketDisconnect
from starlette.responses import Response

from console.context import Console
from console.moments import moment, oldest_ms
from console.web.answers import graph as answers
from console.web.api.common import Here, also, router
from console.web.api.live import until_left
from console.web.api.projection import Namespaces, View, Viewed, Window, names_in, past, window_of, within
from console.web.errors import Invalid, Json, NotFound
from console.web.stream import Key, TooManyTopicsError
from graph.compare import compare, comparison_json
from graph.model import GraphType, Snapshot
from graph.query import Found
from graph.retention import TIERS_MS
from graph.windows import SHORTEST_S
from graph.wire import snapshot_json

SEND_S = 20
"""A reader that takes nothing for this long is disconnected."""

REVISION = "revision:"

LATER_MS = (0, 1000 * SHORTEST_S, *(step for _, step in TIERS_MS if step))
"""How much later than asked for a window after a change may end."""

api = router("graph")

Format = Literal["json", "csv", "dot", "graphml", "mermaid", "png", "svg"]
MEDIA = {
    "csv": "text/csv",
    "dot": "text/vnd.graphviz",
    "graphml": "application/graphml+xml",
    "mermaid": "text/vnd.mermaid",
    "png": "image/png",
    "svg": "image/svg+xml",
}


@api.get("/graph", response_model=answers.Graph, responses=also(*MEDIA.values()))
async def graph(view: Viewed, *, format: Format = "json") -> Response:  # noqa: A002
    """Return one projection of the graph, or what is around one of its nodes.

    ``hide`` takes nodes and edges away, and whatever is left unconnected by that; ``find`` names what it speaks of
    under ``found``, and marks it in drawings. A mistake in an expression is told with its ``column``.
    """
    if format != "json":
        return Response(await asyncio.to_thread(_drawn, format, view), media_type=MEDIA[format])
    found = {"nodes": sorted(view.found.nodes), "edges": sorted(view.found.edges)} if view.found else None
    return Json({**snapshot_json(view.snapshot), "found": found})


@api.get("/graph.{format}", response_model=answers.Graph, responses=also(*MEDIA.values()))
async def graph_file(view: Viewed, format: Format) -> Response:  # noqa: A002
    """Return the same as a file of its own name, as in ``graph.svg``."""
    return await graph(view, format=format)


@api.get("/graph/compare", response_model=answers.Comparison)
async def compared(
    here: Here,
    *,
    before: Annotated[str, Query(alias="from", max_length=40)],
    to: Annotated[str, Query(max_length=40)] = "",
    window: Window = "5m",
    type: GraphType = GraphType.VERSIONED_APP,  # noqa: A002
    namespaces: Namespaces = "",
) -> Response:
    """Say what is different between the windows that end at ``from`` and at ``to`` (now, if not given).

    Both are instants, or ``revision:41`` for the one at which config of that revision came. From a revision, without
    ``to``, it is the window before the change against the one after it.
    """
    spans = await _spans(here, before, to, window_of(window))
    wanted = names_in(namespaces)
    begin_ms = spans[0].at_ms if before.startswith(REVISION) else 0
    await _is_known(here, spans[0], before)
    found = [await moment(here, type, *spans[0]), await _later(here, type, spans[1], begin_ms)]
    old, new = [within(one, wanted) for one in found]
    return Json(comparison_json(await asyncio.to_thread(compare, old, new)))


@api.websocket("/stream")
async def stream(websocket: WebSocket, here: Here) -> None:
    """Send a snapshot, then differences; see :mod:`console.web.stream`."""
    await websocket.accept()  # who is not let in yet is told no reason
    try:
        key = _topic(websocket.query_params)
    except Invalid as trouble:
        await websocket.close(1008, str(trouble))
        return
    await until_left(websocket, _send(websocket, here, key))


def _topic(parameters: Mapping[str, str]) -> Key:
    kind = parameters.get("type", GraphType.VERSIONED_APP)
    if kind not in [*GraphType]:
        raise Invalid(f"there is no graph type {kind[:16]!r}; there are {', '.join(GraphType)}")
    return Key(GraphType(kind), window_of(parameters.get("window", "60")[:16]))


async def _send(websocket: WebSocket, here: Console, key: Key) -> None:
    ask = partial(moment, here, *key)
    with contextlib.suppress(WebSocketDisconnect, TimeoutError):
        try:
            async with contextlib.aclosing(here.stream.messages_of(key, ask, here.clock)) as messages:
                async for text in messages:
                    async with asyncio.timeout(SEND_S):
                        await websocket.send_text(text)
        except TooManyTopicsError as full:
            await websocket.close(1013, str(full))


def _drawn(form: str, view: View) -> str | bytes:
    # here, not above: networkx costs the server's start half a second
    from console import picture  # noqa: PLC0415
    from graph.export import FORMATS, svg  # noqa: PLC0415

    found = view.found or Found(frozenset(), frozenset())
    if form == "png":
        return picture.png(svg(view.snapshot, found))
    return FORMATS[form](view.snapshot, found)


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


async def _is_known(here: Console, span: _Span, before: str) -> None:
    """Refuse a moment with nothing before it: all there is would be news."""
    known_s = max(0, span.at_ms - await oldest_ms(here)) // 1000
    if known_s < SHORTEST_S:
        raise NotFound(
            f"only {known_s} s before {before} are known; after {SHORTEST_S} s there is something to compare"
        )


async def _later(here: Console, kind: GraphType, span: _Span, begin_ms: int) -> Snapshot:
    """Find the window, or the first one after it that does not begin earlier: histories end windows where they can."""
    for late_ms in LATER_MS:
        at_ms = min(here.clock.now_ms(), span.at_ms + late_ms)
        found = await moment(here, kind, span.window_s, at_ms)
        if found.at_ms - 1000 * span.window_s >= begin_ms:
            break
    return found


async def _moment_of(here: Console, text: str) -> int:
    number = text.removeprefix(REVISION)
    if number == text:
        return past(here, text)
    current = here.store.current.revision
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= current):
        raise Invalid(f"there is no {text[:40]}; the config's revisions go from 1 to {current}")
    wanted = int(number)
    for revision in reversed(await here.store.history(limit=current - wanted + 1)):
        if revision.number == wanted:
            return revision.at_ms
    raise NotFound(f"revision {wanted} is not in the history any more")
