"""OTLP over HTTP: protobuf and JSON, plain and gzip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from collectors.errors import CollectorError
from collectors.otlp import json_form, replies
from collectors.otlp.compression import gunzip
from collectors.otlp.ingest import Accepted, Ingest
from collectors.otlp.limits import Drop, MalformedError, RefusedError, TooLargeError

PROTOBUF, JSON = "application/x-protobuf", "application/json"
STOP_S = 1.0
AT_ONCE = 32
"""Bodies that are read at the same time; more connections wait their turn."""
BODY_S = 30.0
"""How long a sender may take for one body."""


class HttpReceiver:
    """A service that takes ``POST /v1/traces`` on an address; port 0 takes a free one."""

    name = "OTLP over HTTP"

    def __init__(self, sink: Ingest, address: str) -> None:
        self.port = 0
        """Where it listens, once ready."""
        self._sink = sink
        self._address = address
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled."""
        app = web.Application(middlewares=[_in_otlps_form], client_max_size=self._sink.limits.body_bytes)
        app.router.add_post("/v1/traces", self._traces)
        # We gunzip ourselves, so that the bound holds before the memory is spent.
        runner = web.AppRunner(app, auto_decompress=False, access_log=None, shutdown_timeout=STOP_S)
        await runner.setup()
        try:
            host, _, port = self._address.rpartition(":")
            site = web.TCPSite(runner, host.strip("[]"), int(port))
            try:
                await site.start()
            except OSError as trouble:
                raise CollectorError(
                    f"cannot listen on {self._address} for OTLP over HTTP: {trouble.strerror}"
                ) from trouble
            self.port = runner.addresses[0][1]
            ready()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _traces(self, request: web.Request) -> web.Response:
        if request.content_type not in {PROTOBUF, JSON}:
            return _failure(request, 415, f"content type {request.content_type!r}: {PROTOBUF} and {JSON} are taken")
        encoding = request.headers.get("Content-Encoding", "identity").lower()
        if encoding not in {"identity", "gzip"}:
            return _failure(request, 415, f"content encoding {encoding!r}: gzip and identity are taken")
        try:
            async with self._at_once, asyncio.timeout(BODY_S):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            self._sink.refuse(Drop.TOO_LARGE)
            return _failure(request, 413, f"more than {self._sink.limits.body_bytes} bytes; send smaller batches")
        except web.RequestPayloadError as trouble:
            self._sink.refuse(Drop.MALFORMED)
            return _failure(request, 400, f"the body is broken: {trouble}")
        except TimeoutError:
            return _failure(request, 408, f"the body did not come within {BODY_S:.0f} s")
        try:
            accepted = await asyncio.to_thread(self._take, body, gzip=encoding == "gzip", json=_wants_json(request))
        except RefusedError as refused:
            return _failure(request, replies.http_status(refused), str(refused))
        return _reply(request, 200, replies.encoded(replies.success(accepted), json=_wants_json(request)))

    def _take(self, body: bytes, *, gzip: bool, json: bool) -> Accepted:
        try:
            if gzip:
                body = gunzip(body, most=self._sink.limits.decompressed_bytes)
            if json:
                body = json_form.to_protobuf(body)
        except MalformedError:
            self._sink.refuse(Drop.MALFORMED)
            raise
        except TooLargeError:
            self._sink.refuse(Drop.TOO_LARGE)
            raise
        return self._sink.ingest(body)


@web.middleware
async def _in_otlps_form(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse pages of other sites, which could post here from a visitor's browser; word every refusal as OTLP does."""
    if "Origin" in request.headers:
        return _failure(request, 403, "spans are taken from programs, not from web pages")
    try:
        return await handler(request)
    except web.HTTPException as refused:
        what = {404: f"{request.path} is not served here; traces go to /v1/traces", 405: "use POST"}
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
