"""A door for spans of other formats: each request is written anew as OTLP, and goes the way of all spans."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from aiohttp import web

from collectors.listening import listen
from collectors.otlp.bodies import Body, body_of
from collectors.otlp.limits import Limits, RefusedError
from collectors.otlp.replies import http_status

AT_ONCE = 16
PATHS = web.AppKey("paths", str)


class Taken(Protocol):
    """What became of a request."""

    @property
    def rejected(self) -> int:
        """Spans that were not taken."""
        ...


class SpanSink(Protocol):
    """Where spans go: :class:`collectors.otlp.ingest.Ingest`."""

    @property
    def limits(self) -> Limits:
        """How large a request may be."""
        ...

    def ingest(self, data: bytes, /) -> Taken:
        """Take an ``ExportTraceServiceRequest``; raises a ``RefusedError``."""
        ...


Translate = Callable[[bytes, Limits], tuple[bytes, int]]
"""A body to an ``ExportTraceServiceRequest`` and the number of its spans; raises a ``RefusedError``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignState:
    """How a door does."""

    requests: int = 0
    spans: int = 0
    rejected_spans: int = 0
    refused_requests: int = 0
    error: str = ""
    """Why the last request was refused; empty when it was not."""


class ForeignSpans:
    """A service that takes ``POST`` on some paths, on ``host:port``; port 0 takes a free one."""

    def __init__(
        self,
        name: str,
        sink: SpanSink,
        address: str,
        *,
        paths: Mapping[str, Mapping[str, Translate]],
    ) -> None:
        self.name = name
        self.port = 0
        """Where it listens, once ready."""
        self.state = ForeignState()
        self._sink = sink
        self._address = address
        self._paths = paths
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled."""
        app = web.Application(middlewares=[_worded], client_max_size=self._sink.limits.body_bytes)
        app[PATHS] = ", ".join(self._paths)
        for path, forms in self._paths.items():
            app.router.add_post(path, partial(self._spans, forms))

        def listening(port: int) -> None:
            self.port = port
            ready()

        await listen(app, self._address, self.name, listening)

    async def _spans(self, forms: Mapping[str, Translate], request: web.Request) -> web.Response:
        translate = forms.get(request.content_type) or forms.get("")
        if translate is None:
            return self._refused(415, f"content type {request.content_type!r}; {', '.join(forms)} are taken")
        try:
            async with self._at_once:
                body = await body_of(request, self._sink.limits)
            taken, spans = await asyncio.to_thread(self._take, translate, body)
        except web.HTTPException as refused:
            return self._refused(refused.status, refused.reason)
        except RefusedError as refused:
            return self._refused(http_status(refused), str(refused))
        state = self.state
        self.state = replace(
            state,
            requests=state.requests + 1,
            spans=state.spans + spans - taken.rejected,
            rejected_spans=state.rejected_spans + taken.rejected,
            error="",
        )
        return web.Response(status=202)

    def _take(self, translate: Translate, body: Body) -> tuple[Taken, int]:
        limits = self._sink.limits
        data, spans = translate(body.plain(limits), limits)
        return self._sink.ingest(data), spans

    def _refused(self, status: int, message: str) -> web.Response:
        self.state = replace(self.state, refused_requests=self.state.refused_requests + 1, error=message[:300])
        return web.Response(status=status, text=message, headers={"Retry-After": "1"} if status == 503 else None)


@web.middleware
async def _worded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse pages of other sites, which could post here from a visitor's browser."""
    if "Origin" in request.headers:
        return web.Response(status=403, text="spans are taken from programs, not from web pages")
    try:
        return await handler(request)
    except web.HTTPException as refused:
        what = {404: f"{request.path} is not served here; spans go to {request.app[PATHS]}", 405: "use POST"}
        return web.Response(status=refused.status, text=what.get(refused.status, refused.reason))
