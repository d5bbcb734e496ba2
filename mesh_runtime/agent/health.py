"""Whether an application can be sent requests, found out by asking it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

LISTEN_POLL_S = 0.05
"""How often an application is asked that has not answered yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an application shows that it is ready, as Kubernetes' readiness probes ask."""

    path: str = ""
    """Ready while a GET of it on the application's port is answered with 200 to 399; ``""``: while the port is open."""
    interval_s: float = 2.0
    timeout_s: float = 1.0
    failures: int = 3
    """This many in a row, and it gets no more requests until it answers again."""


async def watch(health: Health, port: int, tell: Callable[[bool], None]) -> None:
    """Ask for ever, and *tell* each change: ready, or not any more."""
    missed = health.failures  # it is not ready until it has said so
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=health.timeout_s)) as session:
        while True:
            answers = await (
                _answers(session, f"http://127.0.0.1:{port}{health.path}") if health.path else _listens(port)
            )
            was_ready = missed < health.failures
            missed = 0 if answers else missed + 1
            is_ready = missed < health.failures
            if is_ready != was_ready:
                tell(is_ready)
            await asyncio.sleep(health.interval_s if is_ready else min(LISTEN_POLL_S, health.interval_s))


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, allow_redirects=False) as answer:
            return answer.status < 400
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 1.0)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
