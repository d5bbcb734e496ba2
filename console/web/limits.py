"""How much a request may bring."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Wraps an ASGI application: bodies are refused by what they announce, and counted as they arrive."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self.app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or answer 413."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif _announced(scope) > self._most_bytes:
            await JSONResponse({"error": self._sentence()}, 413)(scope, receive, send)
        else:
            await self.app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most_bytes:
                raise HTTPException(413, self._sentence())
            return message

        return counted

    def _sentence(self) -> str:
        return f"the body is larger than {self._most_bytes} bytes"


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length[:18]) if length.isascii() and length.isdigit() else 0
