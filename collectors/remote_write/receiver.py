"""The door for remote-write: who may write, what is answered."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping

from aiohttp import web

from collectors.listening import listen
from collectors.otlp.limits import RefusedError, TooLargeError
from collectors.remote_write.intake import Intake, Written
from collectors.remote_write.refused import Refused
from collectors.remote_write.wire import V1, V2, decompress, read

PATH = "/api/v1/write"
PROTOBUF = "application/x-protobuf"
AT_ONCE = 8
WAITING = 64
"""So many more requests may wait for their turn; further ones are asked to come again."""
BODY_S = 30.0
WRITTEN = "X-Prometheus-Remote-Write-{}-Written"


class RemoteWriteReceiver:
    """A service that takes ``POST /api/v1/write`` on an address; port 0 takes a free one."""

    name = "remote-write"

    def __init__(self, intake: Intake) -> None:
        self.port = 0
        """Where it listens, once ready."""
        self.error = ""
        """Why the last request was refused; empty when it was not."""
        self.intake = intake
        """Where the samples go."""
        self._config = intake.config
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled."""
        app = web.Application(client_max_size=self._config.most_bytes)
        app.router.add_post(PATH, self._write)

        def listening(port: int) -> None:
            self.port = port
            ready()

        await listen(app, f"{self._config.listen}:{self._config.port}", self.name, listening)

    async def _write(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if self._waiting >= WAITING:
            return self._refuse(503, "too many requests at once; send it again", {"Retry-After": "1"})
        self._waiting += 1
        try:
            async with self._at_once:
                return await self._take(request)
        finally:
            self._waiting -= 1

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Who may not write, and what is never understood."""
        if "Origin" in request.headers:
            return self._refuse(403, "samples are taken from programs, not from web pages")
        if self._config.token and not _proves(request.headers.get("Authorization", ""), self._config.token):
            way_out = "a token is needed: set authorization: {credentials: TOKEN} in remote_write"
            return self._refuse(401, way_out, {"WWW-Authenticate": "Bearer"})
        if request.content_type != PROTOBUF or _message(request) not in {V1, V2}:
            return self._refuse(415, f"content type {request.headers.get('Content-Type')!r}: {V1} and {V2} are taken")
        if (encoding := request.headers.get("Content-Encoding", "").lower()) != "snappy":
            return self._refuse(415, f"content encoding {encoding!r}: snappy is taken")
        return None

    async def _take(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(BODY_S):
                body = await request.read()
            written = await asyncio.to_thread(self._read, body, _message(request))
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(413, f"more than {self._config.most_bytes} bytes; set a smaller max_samples_per_send")
        except TimeoutError:
            return self._refuse(503, f"the body did not come within {BODY_S:.0f} s", {"Retry-After": "1"})
        except (RefusedError, web.RequestPayloadError) as refused:
            return self._refuse(413 if isinstance(refused, TooLargeError) else 400, str(refused))
        headers = _statistics(written) if _message(request) == V2 else {}
        if written.refused:
            return self._refuse(400, _told(written.refused), headers)
        self.error = ""
        return web.Response(status=204, headers=headers)

    def _read(self, body: bytes, message: str) -> Written:
        return self.intake.take(read(decompress(body, self._config.most_decompressed), message))

    def _refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
        self.error = message
        return web.Response(status=status, text=f"{message}\n", headers=headers)


def _message(request: web.Request) -> str:
    """Which message a request says it is; 1.0 knows one only."""
    _, _, parameter = request.headers.get("Content-Type", "").partition(";")
    name, _, value = parameter.strip().partition("=")
    return value.strip('"') if name == "proto" else V1


def _proves(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _statistics(written: Written) -> dict[str, str]:
    counts = {"Samples": written.samples, "Histograms": written.histograms, "Exemplars": written.exemplars}
    return {WRITTEN.format(name): str(count) for name, count in counts.items()}


def _told(refused: Mapping[Refused, int]) -> str:
    return "; ".join(f"{count} samples {reason.value}" for reason, count in refused.items())
