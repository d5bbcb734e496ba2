"""Whether an application can be sent requests, found out by asking it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp

from mesh_runtime.registration import Health
from mesh_runtime.sidecar.binary import SidecarError
from mesh_runtime.sidecar.child import Child

__all__ = ["Health", "listens", "watch"]

log = logging.getLogger(__name__)

LISTEN_POLL_S = 0.05
"""How often an application is asked that has not answered yet; by a command, as often as any other."""
_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"


async def watch(
    health: Health, port: int, tell: Callable[[bool], None], environment: Mapping[str, str] | None = None
) -> None:
    """Ask until cancelled, and *tell* each change: ready, or not any more. *environment* is what a command gets."""
    await asyncio.sleep(health.delay_s)
    is_ready, unlike = False, 0
    hurried_s = health.interval_s if health.command else min(LISTEN_POLL_S, health.interval_s)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=health.timeout_s)) as session:
        while True:
            answers = await _is_there(session, health, health.port or port, environment)
            unlike = 0 if answers is is_ready else unlike + 1
            if unlike >= (health.failures if is_ready else health.successes):
                is_ready, unlike = answers, 0
                tell(is_ready)
            await asyncio.sleep(health.interval_s if is_ready else hurried_s)


async def _is_there(
    session: aiohttp.ClientSession, health: Health, port: int, environment: Mapping[str, str] | None
) -> bool:
    if health.command:
        return await _succeeds(health, environment)
    if health.grpc is not None:
        return await _serves(health, health.grpc, port)
    if not health.path:
        return await listens(health, port)
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


async def _succeeds(health: Health, environment: Mapping[str, str] | None) -> bool:
    """Run the command to its end, or for as long as it may take: nothing that it started is left then."""
    try:
        command = await Child.start(health.command, environment=environment, output=Path(os.devnull))
    except SidecarError as trouble:
        log.warning("the application cannot be asked: %s", trouble)
        return False
    try:
        async with asyncio.timeout(health.timeout_s):
            return await command.wait() == 0
    except TimeoutError:
        return False
    finally:
        await command.end(0)


async def listens(health: Health, port: int) -> bool:
    """Tell whether somebody takes connections there."""
    try:
        async with asyncio.timeout(health.timeout_s):
            _, writer = await asyncio.open_connection(health.host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
