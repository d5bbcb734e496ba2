"""What is sent while it happens: as NDJSON for programs, over a WebSocket for pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from typing import Any, TypeVar

import orjson
from fastapi import WebSocket
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocketDisconnect

from collectors.logs.feed import TooManyReadersError
from console.web.errors import refusal

NDJSON = "application/x-ndjson"
SEND_S = 10.0
"""Who takes longer for one message is gone."""

News = TypeVar("News")
Messages = AsyncGenerator[Mapping[str, Any] | None, None]
"""``None``: nothing new, a sign of life."""


async def as_lines(news: AsyncGenerator[News, None], messages: Messages) -> Response:
    """Answer with a line per message. *messages* are made of *news*, which starts here; empty lines are signs of life."""
    try:
        await anext(news)
    except TooManyReadersError as full:
        return refusal(503, str(full))
    return StreamingResponse(_lines(messages), media_type=NDJSON)


async def over_websocket(websocket: WebSocket, news: AsyncGenerator[News, None], messages: Messages) -> None:
    """Send messages until the reader leaves or is too slow."""
    try:
        await anext(news)
    except TooManyReadersError as full:
        await websocket.close(1013, str(full))
        return
    await websocket.accept()
    await until_left(websocket, _send(websocket, messages))


async def until_left(websocket: WebSocket, sending: Coroutine[Any, Any, None]) -> None:
    """Send until all is said, or until the reader leaves."""
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(sending), group.create_task(_left(websocket))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()


async def _lines(messages: Messages) -> AsyncIterator[bytes]:
    async for message in messages:
        yield orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE) if message else b"\n"


async def _send(websocket: WebSocket, messages: Messages) -> None:
    try:
        async for message in messages:
            if message:
                async with asyncio.timeout(SEND_S):
                    await websocket.send_text(orjson.dumps(message).decode())
    except (WebSocketDisconnect, TimeoutError):
        return


async def _left(websocket: WebSocket) -> None:
    """Wait until the reader leaves; it has nothing to say."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
