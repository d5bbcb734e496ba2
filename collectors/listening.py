"""HTTP receivers with a port of their own: what listening means for each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from collectors.errors import CollectorError

STOP_S = 1.0


async def listen(app: web.Application, address: str, name: str, ready: Callable[[int], None]) -> None:
    """Serve on ``host:port`` until cancelled, and say which port it is; port 0 takes a free one.

    Bodies come as they were sent: receivers decompress themselves, so that their bound holds before the memory is
    spent. Raises :class:`CollectorError` where the address cannot be had.
    """
    runner = web.AppRunner(app, auto_decompress=False, access_log=None, shutdown_timeout=STOP_S)
    await runner.setup()
    try:
        host, _, port = address.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as trouble:
            raise CollectorError(f"cannot listen on {address} for {name}: {trouble.strerror}") from trouble
        ready(runner.addresses[0][1])
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
