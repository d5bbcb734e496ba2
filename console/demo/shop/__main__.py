"""``python -m console.demo.shop APP``: run one program of the shop on ``$PORT`` until SIGTERM."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import sys
import warnings

from aiohttp import web

from console.demo.shop.place import Place

APPS = ("frontend", "catalog", "inventory", "orders", "payments")
# The proxy in front reuses connections for an hour; were it us who close them, a request could meet the close.
KEEP_ALIVE_S = 2 * 3600
GRACE_S = 5.0


async def serve(name: str, place: Place) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    app: web.Application = importlib.import_module(f"console.demo.shop.{name}").build(place)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=GRACE_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", place.port).start()
        await stopped.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Read the name of the program, trace it unless it plays somebody else's, serve."""
    if len(sys.argv) != 2 or sys.argv[1] not in APPS:
        sys.exit(f"usage: python -m console.demo.shop {{{'|'.join(APPS)}}}")
    name = sys.argv[1]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # The instrumentation derives from web.Application, which aiohttp discourages; nothing for us to act on.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    finish = None
    if name != "payments":
        from console.demo.shop import telemetry  # noqa: PLC0415 - payments stands for a program without it

        finish = telemetry.start()
    try:
        asyncio.run(serve(name, Place.of(os.environ)))
    finally:
        if finish is not None:
            finish()


if __name__ == "__main__":
    main()
