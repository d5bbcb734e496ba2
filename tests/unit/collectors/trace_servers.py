"""Trace stores of others, as small HTTP servers: what a test sees is what goes over the wire."""

import json
from contextlib import asynccontextmanager

from aiohttp import web


class Recorded:
    """Answers by path, and remembers what it was asked. An answer is (status, type, body)."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        self.url = ""

    async def answer(self, request):
        self.asked.append(request)
        found = self.answers.get(request.path, (404, "text/plain", "not found"))
        status, kind, body = found(request) if callable(found) else found
        if isinstance(body, dict | list):
            body = json.dumps(body)
        return web.Response(status=status, content_type=kind, body=body)


def as_json(body):
    return 200, "application/json", body


@asynccontextmanager
async def serving(answers):
    server = Recorded(answers)
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
