"""A light HTTP service: answers who it is and what it was sent. ``python tests/echo.py [--status N]``.

Port, name and version come from the environment that an agent sets. ``/go?url=URL`` calls on, through
the proxy that the environment names; ``/slow?ms=N`` answers late; ``/status?code=N`` answers with it.
"""

import asyncio
import os
import signal
import sys

from aiohttp import ClientSession, ClientTimeout, web

ATTRIBUTES = dict(pair.split("=", 1) for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",") if pair)
WHO = {
    "service": os.environ.get("OTEL_SERVICE_NAME", "echo"),
    "version": ATTRIBUTES.get("service.version", ""),
    "instance": ATTRIBUTES.get("service.instance.id", ""),
    "pid": os.getpid(),
}


async def answer(request):
    if request.path == "/go":
        async with request.app["session"].get(request.query["url"]) as far:
            return web.Response(text=await far.text(), status=far.status, headers={"x-through": WHO["service"]})
    if request.path == "/slow":
        await asyncio.sleep(float(request.query.get("ms", "100")) / 1000)
    body = await request.read()
    about = {"method": request.method, "path": request.path_qs, "headers": dict(request.headers), "bytes": len(body)}
    return web.json_response({**WHO, **about}, status=int(request.query.get("code", "200")))


async def main(port):
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with ClientSession(trust_env=True, timeout=ClientTimeout(total=30)) as session:
        app["session"] = session
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        await stop.wait()
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1] if len(sys.argv) > 1 else os.environ["PORT"])))
