"""Drives an ASGI application: without a network, or behind a free port where a real client asks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, FastAPI

from console.services import serving
from console.web import errors
from console.web.server import WebServer, tcp_socket


def with_routes(console, *routers: APIRouter, prefix: str = "/api/v1") -> FastAPI:
    """Some of the server's routes alone, over what a test takes for the console."""
    app = FastAPI()
    app.state.console = console
    errors.install(app)
    for router in routers:
        app.include_router(router, prefix=prefix)
    return app


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """Serve on a free port; yields the address."""
    door = tcp_socket("127.0.0.1", 0, setting="port")
    async with serving([WebServer("routes", lambda: app, door)]):
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""


class Visitor:
    """One browser or program: sends requests and opens sockets, keeps cookies."""

    def __init__(self, app, host: str = "127.0.0.1:20001") -> None:
        self.app, self.host, self.cookie = app, host, ""

    def _scope(self, kind: str, method: str, target: str, headers: dict[str, str]) -> dict[str, Any]:
        path, _, query = target.partition("?")
        sent = {"host": self.host} | ({"cookie": self.cookie} if self.cookie else {}) | headers
        return {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http" if kind == "http" else "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "subprotocols": [],
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        }

    async def ask(self, method: str, target: str, headers=None, body: Iterable[bytes] = ()) -> Answer:
        chunks = list(body)
        answer = Answer()

        async def receive():
            if not chunks:
                return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        async def send(message):
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            else:
                answer.text += message.get("body", b"").decode()

        await self.app(self._scope("http", method, target, headers or {}), receive, send)
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    async def get(self, target: str) -> tuple[int, Any]:
        """The status and the JSON that the application answers with."""
        answer = await self.ask("GET", target)
        return answer.status, json.loads(answer.text)

    async def open(self, target: str, headers=None) -> bool:
        """Whether the application accepted the socket."""
        sent = []

        async def receive():
            return {"type": "websocket.connect"} if not sent else {"type": "websocket.disconnect", "code": 1000}

        async def send(message):
            sent.append(message["type"])

        await self.app(self._scope("websocket", "GET", target, headers or {}), receive, send)
        return sent[0] == "websocket.accept"
