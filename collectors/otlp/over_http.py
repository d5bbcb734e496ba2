"""OTLP over HTTP: protobuf and JSON, plain, gzip and zstd."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from aiohttp import web
from google.protobuf.message import Message

from collectors.listening import listen
from collectors.otlp import replies
from collectors.otlp.bodies import Body, body_of
from collectors.otlp.doors import Door, Spans
from collectors.otlp.ingest import Ingest
from collectors.otlp.limits import RefusedError, counted

PROTOBUF, JSON = "application/x-protobuf", "application/json"
AT_ONCE = 32
"""Bodies in memory; more connections wait their turn."""
SERVED = web.AppKey("served", str)
"""What is taken where, for senders who are wrong."""


class HttpReceiver:
    """A service that takes ``POST /v1/traces``, and *others*, on an address; port 0 takes a free one."""

    name = "OTLP over HTTP"

    def __init__(self, sink: Ingest, address: str, others: Sequence[Door] = ()) -> None:
        self.port = 0
        """Where it listens, once ready."""
        self._sink = sink
        self._doors = (Spans(sink), *others)
        self._address = address
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled."""
        app = web.Application(middlewares=[_in_otlps_form], client_max_size=self._sink.limits.body_bytes)
        app[SERVED] = ", ".join(f"{door.path.rpartition('/')[2]} go to {door.path}" for door in self._doors)
        for door in self._doors:
            app.router.add_post(door.path, partial(self._export, door))

        def listening(port: int) -> None:
            self.port = port
            ready()

        await listen(app, self._address, self.name, listening)

    async def _export(self, door: Door, request: web.Request) -> web.Response:
        if request.content_type not in {PROTOBUF, JSON}:
            return _failure(request, 415, f"content type {request.content_type!r}: {PROTOBUF} and {JSON} are taken")
        try:
            async with self._at_once:
                with counted(door.refuse):
                    body = await body_of(request, door.limits)
                reply = await asyncio.to_thread(_take, door, body, json=_wants_json(request))
        except RefusedError as refused:
            return _failure(request, replies.http_status(refused), str(refused))
        return _reply(request, 200, replies.encoded(reply, json=_wants_json(request)))


def _take(door: Door, body: Body, *, json: bool) -> Message:
    with counted(door.refuse):
        data = body.plain(door.limits)
        if json:
            data = door.from_json(data)
    return door.take(data)


@web.middleware
async def _in_otlps_form(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse pages of other sites, which could post here from a visitor's browser; word every refusal as OTLP does."""
    if "Origin" in request.headers:
        return _failure(request, 403, "telemetry is taken from programs, not from web pages")
    try:
        return await handler(request)
    except web.HTTPException as refused:
        what = {
            404: f"{request.path} is not served here; {request.app[SERVED]}",
            405: "use POST",
        }
        return _failure(request, refused.status, what.get(refused.status, refused.reason))


def _wants_json(request: web.Request) -> bool:
    return request.content_type == JSON


def _failure(request: web.Request, status: int, message: str) -> web.Response:
    response = _reply(request, status, replies.encoded(replies.failure(status, message), json=_wants_json(request)))
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response


def _reply(request: web.Request, status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type=JSON if _wants_json(request) else PROTOBUF)
