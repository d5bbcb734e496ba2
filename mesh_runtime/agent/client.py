"""The agent's side of its conversation with the server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from mesh_runtime.agent import wire
from mesh_runtime.pauses import growing
from mesh_runtime.registration import Grant, Registration

log = logging.getLogger(__name__)

REGISTER_TIMEOUT_S = 10.0
TIMEOUT_S = 3.0
RETRY_S = 0.25
RETRY_MOST_S = 2.0


class AgentError(Exception):
    """The root of what goes wrong in an agent."""


class ServerAwayError(AgentError):
    """Nobody answers at the socket, or the answer is that the server cannot answer now."""


class RefusedError(AgentError):
    """The server understood and said no; asking again would not help."""


class AgentClient:
    """Speaks to the server over its Unix socket; an async context manager."""

    def __init__(self, socket: Path | str) -> None:
        self._socket = str(socket)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(self._socket, limit=32),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def register(self, registration: Registration) -> Grant:
        """Register, waiting for as long as the server is away. Raises :class:`RefusedError`."""
        pauses, level = growing(RETRY_S, RETRY_MOST_S), logging.WARNING
        while True:
            try:
                return wire.decode(Grant, await self._post(wire.REGISTER, registration, REGISTER_TIMEOUT_S))
            except ServerAwayError as away:
                log.log(level, "waiting for the server: %s", away, extra={"service": registration.service})
                level = logging.DEBUG  # once is enough
            await asyncio.sleep(next(pauses))

    async def heartbeat(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Prolong leases; returns what must be registered again. Raises :class:`ServerAwayError`."""
        answer = await self._post(wire.HEARTBEAT, wire.Heartbeat(ids=tuple(ids)))
        return wire.decode(wire.Unknown, answer).unknown

    async def drain(self, key: str) -> None:
        """Have others send no more to this instance. Raises :class:`ServerAwayError`."""
        await self._post(wire.DRAIN, wire.Named(id=key))

    async def remove(self, key: str) -> None:
        """Have the instance forgotten. Raises :class:`ServerAwayError`."""
        await self._post(wire.REMOVE, wire.Named(id=key))

    async def _post(self, path: str, message: object, timeout_s: float = TIMEOUT_S) -> bytes:
        assert self._session is not None, "use the client as a context manager"
        headers = {"content-type": "application/json"}
        try:
            async with self._session.post(
                f"http://localhost{path}",
                data=wire.encode(message),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as trouble:
            raise ServerAwayError(f"no answer at {self._socket}: {trouble or 'timed out'}") from trouble
        if answer.status >= 500:
            raise ServerAwayError(f"{path} answered {answer.status}: {_reason(body)}")
        if answer.status >= 400:
            raise RefusedError(_reason(body))
        return body


def _reason(body: bytes) -> str:
    """Find the sentence in an error's body."""
    text = body.decode(errors="replace")
    try:
        fields = json.loads(text)
    except ValueError:
        return text[:500]
    if not isinstance(fields, dict):
        return text[:500]
    return str(fields.get("message") or fields.get("error") or fields.get("detail") or text)[:500]
