"""A webhook receiver to try alerts on: verifies Standard Webhooks signatures and keeps the last messages in memory.

``python -m console.demo.inbox --port N`` with the secret (``whsec_…``) in ``$INBOX_SECRET``. Deliveries go to
``POST /``; ``GET /messages`` lists what came, newest first; ``POST /fail {"times": 5}`` has it answer 503 so often.
Written from the specification, apart from the sender, so that the two check each other.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import os
import signal
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

KEPT = 200
TOLERANCE_S = 300
LARGEST_BODY = 256 * 1024
SECRET_VARIABLE = "INBOX_SECRET"  # noqa: S105 - the variable's name


class RefusedError(Exception):
    """A delivery that is not what it should be; the message says why."""


def verify(key: bytes, headers: Mapping[str, str], body: bytes, now_s: float) -> str:
    """Check a delivery against https://www.standardwebhooks.com and give its id, or raise :class:`RefusedError`."""
    identifier, sent, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (identifier and sent and signatures):
        raise RefusedError("webhook-id, webhook-timestamp or webhook-signature is missing")
    if not (sent.isascii() and sent.isdecimal()) or abs(now_s - int(sent[:15])) > TOLERANCE_S:
        raise RefusedError(f"webhook-timestamp is not within {TOLERANCE_S} seconds of now")
    expected = hmac.digest(key, f"{identifier}.{sent}.".encode() + body, hashlib.sha256)
    # A header may carry several signatures while a secret is being replaced; one that fits is enough.
    for signature in signatures.split(" "):
        version, _, encoded = signature.partition(",")
        if version == "v1" and hmac.compare_digest(_decoded(encoded), expected):
            return identifier
    raise RefusedError("no signature fits")


def key_of(secret: str) -> bytes:
    """Read ``whsec_<base64>``; raises ``ValueError`` where it is not one."""
    if not secret.startswith("whsec_"):
        raise ValueError("a secret begins with whsec_")
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


class Inbox:
    """What came, by id; a message that comes again is the same message with one delivery more."""

    def __init__(self, key: bytes, clock_s: Callable[[], float]) -> None:
        self._key = key
        self._clock_s = clock_s
        self._messages: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._failing = 0
        self._refused = 0

    async def receive(self, request: web.Request) -> web.Response:
        """Take a delivery: 204, 401 where it cannot be trusted, 503 while told to fail."""
        body = await request.read()
        try:
            identifier = verify(self._key, request.headers, body, self._clock_s())
            content = json.loads(body)
        except (RefusedError, ValueError) as error:
            self._refused += 1
            return web.json_response({"error": str(error)}, status=401)
        if self._failing:
            self._failing -= 1
            return web.json_response({"error": "told to fail"}, status=503, headers={"retry-after": "1"})
        now_ms = int(self._clock_s() * 1000)
        known = self._messages.pop(identifier, {"id": identifier, "receivedAt": now_ms, "deliveries": 0})
        self._messages[identifier] = {**known, "deliveries": known["deliveries"] + 1, "verified": True, "body": content}
        while len(self._messages) > KEPT:
            self._messages.popitem(last=False)
        return web.Response(status=204)

    async def messages(self, _request: web.Request) -> web.Response:
        """List what came, newest first."""
        return web.json_response(
            {"messages": list(reversed(self._messages.values())), "refused": self._refused, "failing": self._failing}
        )

    async def fail(self, request: web.Request) -> web.Response:
        """Answer the next so many valid deliveries with 503."""
        try:
            times = int((await request.json())["times"])
        except (ValueError, KeyError, TypeError):
            return web.json_response({"error": 'send {"times": n}'}, status=400)
        self._failing = min(max(times, 0), 10_000)
        return web.json_response({"failing": self._failing})


def build(key: bytes, clock_s: Callable[[], float] = time.time) -> web.Application:
    """Make the application."""
    inbox = Inbox(key, clock_s)
    app = web.Application(client_max_size=LARGEST_BODY)
    app.router.add_post("/", inbox.receive)
    app.router.add_get("/messages", inbox.messages)
    app.router.add_post("/fail", inbox.fail)
    return app


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


async def _serve(app: web.Application, host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await stopped.wait()
    finally:
        await runner.cleanup()


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m console.demo.inbox", description="Receives webhooks and checks them."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "9481")))
    options = parser.parse_args(arguments)
    try:
        key = key_of(os.environ.get(SECRET_VARIABLE, ""))
    except ValueError:
        print(f"put the webhook's secret (whsec_…) into ${SECRET_VARIABLE}", file=sys.stderr)  # noqa: T201
        return 2
    asyncio.run(_serve(build(key), options.host, options.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
