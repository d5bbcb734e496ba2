"""A console whose mesh is played: real graph, stream, config store and pages; invented readings and proxies.

By hand: ``python tests/browser/fake_console.py 8321``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import orjson
import uvicorn
from fake_shop import Shop
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from console.clock import SystemClock
from console.dash_app import build
from console.demo.manifests import objects as shop_manifests
from console.settings import Settings
from console.web.security import Guard, policy
from graph.differ import delta
from graph.live import LiveGraph
from graph.model import GraphType
from graph.wire import delta_json, snapshot_json
from mesh_runtime.store.port import Change
from mesh_runtime.store.sqlite import SqliteConfig
from wizards.apply import Wizards
from wizards.facts import Facts, facts_of
from wizards.ports import Applied, Settlement

PAST_S = 320


class MovableClock(SystemClock):
    """The machine's clock, turned back while the past is played."""

    offset_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.offset_ms


class FakeConsole:
    """Plays the shop once a second."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.clock.offset_ms = -PAST_S * 1000
        began = self.clock.now_ms()
        self.shop = Shop(began)
        self.live = LiveGraph(clock=self.clock)
        self.live.inventory(self.shop.inventory())
        for second in range(0, PAST_S, 5):
            now = began + second * 1000
            self.live.observe(self.shop.advance(now, 5))
            self.live.tick(now)
        self.clock.offset_ms = 0
        self.changed = asyncio.Event()
        self.settings = Settings()
        self.paused = False

    async def play(self) -> None:
        async for now in self.clock.every(1):
            if not self.paused:
                self.live.observe(self.shop.advance(now, 1))
                self.live.tick(now)
                self.changed.set()
                self.changed = asyncio.Event()


def proxies(shop: Shop) -> tuple[Any, ...]:
    names = [ref.workload for ref in shop.inventory().workloads] + ["inventory-v1~2"]
    return tuple(
        SimpleNamespace(
            node_id=f"sidecar~127.64.0.{n}~{name}.shop",
            instance_id=f"shop/{name}~1",
            namespace="shop",
            workload=name,
            role="gateway" if name == "ingress" else "sidecar",
            connected=True,
            revision_acked=1,
            in_sync=True,
            types={},
        )
        for n, name in enumerate(names, 2)
    )


class Notebook:
    """A change log in memory."""

    def __init__(self) -> None:
        self.entries: dict[str, Applied] = {}

    async def record(self, applied: Applied) -> None:
        self.entries[applied.id] = applied

    async def entry(self, applied_id: str) -> Applied | None:
        return self.entries.get(applied_id)

    async def recent(self, limit: int = 50) -> Sequence[Applied]:
        return list(reversed(self.entries.values()))[:limit]


def wizards_of(fake: FakeConsole, store: SqliteConfig) -> Wizards:
    """The real wizards; what they write moves the played traffic as it would the real."""

    async def settle(_revision: int, _timeout_s: float) -> Settlement:
        for item in store.current.of("VirtualService", "shop"):
            for rule in item.manifest["spec"].get("http", ()):
                for route in rule.get("route", ()):
                    if route["destination"].get("subset") == "v2":
                        fake.shop.split(route.get("weight", 0))
        return Settlement(acknowledged=8, elapsed_ms=47.0)

    def facts(namespace: str, service: str) -> Facts:
        snapshot = fake.live.snapshot(GraphType.VERSIONED_APP, 10)
        return facts_of(fake.shop.inventory(), snapshot, namespace, service)

    return Wizards(store, Notebook(), settle, facts=facts)


class NoTraces:
    async def search(self, _query: object) -> list[Any]:
        return []


async def serve(port: int) -> None:
    fake = FakeConsole()
    store = SqliteConfig(":memory:", clock_ms=fake.clock.now_ms)
    await store.open()
    await store.commit(Change(put=shop_manifests(), author="demo", reason="the shop"))
    console: Any = SimpleNamespace(
        settings=fake.settings,
        clock=fake.clock,
        live=fake.live,
        store=store,
        control=SimpleNamespace(status=lambda: proxies(fake.shop), certificates=lambda: ()),
        traces=NoTraces(),
        wizards=wizards_of(fake, store),
        alerts=SimpleNamespace(firing=()),
    )
    api = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @api.websocket("/api/v1/stream")
    async def stream(socket: WebSocket) -> None:
        kind, window = GraphType(socket.query_params["type"]), int(socket.query_params["window"])
        await socket.accept()
        current = fake.live.snapshot(kind, window)
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await socket.send_text(orjson.dumps(snapshot_json(current)).decode())
            while True:
                await fake.changed.wait()
                new = fake.live.snapshot(kind, window)
                await socket.send_text(orjson.dumps(delta_json(delta(current, new), new)).decode())
                current = new

    app = build(console, api)
    guard = Guard(api, policy("127.0.0.1", allowed_hosts=(), token="", max_body_bytes=1 << 20), app.csp_hashes)
    server = uvicorn.Server(
        uvicorn.Config(guard, host="127.0.0.1", port=port, log_level="warning", ws="websockets-sansio")
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(fake.play())
        await server.serve()
        raise SystemExit


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
