"""uvicorn inside our loop, on sockets that we open ourselves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

BACKLOG = 512
STOP_S = 2
"""How long open connections may take to end when the server stops."""


class ListenError(Exception):
    """The address cannot be listened on; the message says why and the way out."""


def tcp_socket(listen: str, port: int, *, setting: str) -> socket.socket:
    """Listen; who connects waits until somebody serves. Port 0 takes a free one.

    *setting* is the flag or key to name where the port is taken.
    """
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((listen, port))
        sock.listen(BACKLOG)
    except OSError as trouble:
        sock.close()
        raise ListenError(
            f"{listen}:{port} cannot be listened on: {trouble.strerror}; choose another {setting}"
        ) from trouble
    return sock


def unix_socket(path: Path) -> socket.socket:
    """Bind a socket that only this user can open, in the place of one that a killed server left behind."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    os.chmod(path, 0o600)  # before listen: nobody can have connected  # noqa: PTH101
    return sock


class _WebSocket(WebSocketsSansIOProtocol):
    """One that can be ended also while its visitor is leaving, which uvicorn takes for an error."""

    def shutdown(self) -> None:
        with contextlib.suppress(InvalidState):
            super().shutdown()


class WebServer:
    """A service: one ASGI application on one socket, which it closes in the end.

    The application is made when the service starts, in a thread: what it imports stalls nobody else.
    """

    def __init__(self, name: str, make: Callable[[], ASGIApp], sock: socket.socket) -> None:
        self.name = name
        self.app: ASGIApp | None = None
        """What is served, once ready."""
        self._make = make
        self._socket = sock

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled; open connections then get a moment to end."""
        self.app = await asyncio.to_thread(self._make)
        config = uvicorn.Config(
            self.app,
            lifespan="on",  # Dash adds its catch-all route there
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the client's address must not be the client's choice
            ws=_WebSocket,
            ws_max_size=1024 * 1024,
            ws_per_message_deflate=False,  # would compress each message once per client
            timeout_graceful_shutdown=STOP_S,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[self._socket])
        ready()
        # not serve(): it takes over the process's signals
        try:
            await server.main_loop()
        finally:
            await server.shutdown(sockets=[self._socket])
            if self._socket.family == socket.AF_UNIX:
                with contextlib.suppress(OSError):
                    self._socket.close()
