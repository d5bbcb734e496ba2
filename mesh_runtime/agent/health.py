"""Whether an application can be sent requests, found out by asking it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from mesh_runtime.registration import Health

__all__ = ["Health", "watch"]

LISTEN_POLL_S = 0.05
"""How often an application is asked that has not answered yet."""
_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"


async def watch(health: Health, port: int, tell: Callable[[bool], None]) -> None:
    """Ask until cancelled, and *tell* each change: ready, or not any more."""
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
    if health.grpc is not None:
        return await _serves(health, health.grpc, port)
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


async def _serves(health: Health, service: str, port: int) -> bool:
    import grpc  # noqa: PLC0415 - few agents ask in gRPC, and all are to be small

    name = service.encode()
    request = b"\x0a" + bytes([len(name)]) + name  # field 1, as bytes: the protocol's whole message
    # The agent's own environment may name a proxy.
    options = (("grpc.enable_http_proxy", 0),)
    async with grpc.aio.insecure_channel(f"{_in_url(health.host)}:{port}", options=options) as channel:
        try:
            answer: bytes = await channel.unary_unary(_CHECK)(request, timeout=health.timeout_s)
        except grpc.aio.AioRpcError:
            return False
    return answer == _SERVING


async def _listens(health: Health, port: int) -> bool:
    try:
        async with asyncio.timeout(health.timeout_s):
            _, writer = await asyncio.open_connection(health.host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
