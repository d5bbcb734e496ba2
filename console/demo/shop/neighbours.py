"""How one program of the shop calls another: by its name, through the proxy that the environment names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from aiohttp import web

TIMEOUT_S = 15.0


class UnavailableError(Exception):
    """A neighbour did not answer as it should; ``status`` is 0 where there was no answer at all."""

    def __init__(self, name: str, status: int, reason: str) -> None:
        super().__init__(f"{name} {f'answered {status}' if status else 'did not answer'}: {reason}")
        self.name = name
        self.status = status


class Neighbours:
    """JSON calls to the other programs. Statuses below 500 are answers; anything else is :class:`UnavailableError`."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._session: aiohttp.ClientSession | None = None

    async def get(self, name: str, path: str, params: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Ask *name*, a service of the same namespace or a full host name."""
        return await self._call("GET", name, path, params=params)

    async def post(self, name: str, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Send *body*. Whoever receives it may get it twice: calls carry the number of the order."""
        return await self._call("POST", name, path, json=body)

    async def _call(self, method: str, name: str, path: str, **options: Any) -> tuple[int, Any]:
        if self._session is None:
            raise RuntimeError("the program has not started yet")
        host = name if "." in name else f"{name}.{self._namespace}"
        try:
            async with self._session.request(method, f"http://{host}{path}", **options) as response:
                if response.status >= 500:
                    raise UnavailableError(name, response.status, (await response.text())[:200])
                return response.status, await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise UnavailableError(name, 0, str(error) or type(error).__name__) from error

    async def opened(self, _app: web.Application) -> AsyncIterator[None]:
        """Keep the session for as long as the application runs (``app.cleanup_ctx``)."""
        # trust_env: the sidecar is announced as http_proxy.
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(trust_env=True, timeout=timeout) as self._session:
            yield


@web.middleware
async def say_unavailable(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer 502 with the reason where a neighbour failed."""
    try:
        response: web.StreamResponse = await handler(request)
    except UnavailableError as error:
        return web.json_response({"error": str(error)}, status=502)
    return response
