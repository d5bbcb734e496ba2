"""Whether an application can be sent requests, found out by asking it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from mesh_runtime.registration import Health

__all__ = ["Health", "watch"]

LISTEN_POLL_S = 0.05
"""How often an application is asked that has not answered yet."""


async def watch(health: Health, port: int, tell: Callable[[bool], None]) -> None:
    """Ask for ever, and *tell* each change: ready, or not any more."""
    await asyncio.sleep(health.delay_s)
    is_ready, unlike = False, 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=health.timeout_s)) as session:
        while True:
            answers = await _is_there(session, health, health.port or port)
            unlike = 0 if answers is is_ready else unlike + 1
            if unlike >= (health.failures if is_ready else health.successes):
                is_ready, unlike = answers, 0
                tell(is_ready)
            await asyncio.sleep(health.interval_s if is_ready else min(LISTEN_POLL_S, health.interval_s))


async def _is_there(session: aiohttp.ClientSession, health: Health, port: int) -> bool:
    if not health.path:
        return await _listens(health, port)
    url = f"{'https' if health.encrypted else 'http'}://{_in_url(health.host)}:{port}{health.path}"
    try:
        async with session.get(url, headers=health.headers, ssl=False, allow_redirects=False) as answer:
            return 200 <= answer.status < 400
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _listens(health: Health, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(health.host, port), health.timeout_s)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
