"""The load tool sends at its own pace and tells the truth about what came back."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from console.demo import load

Serve = Callable[[Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]], Awaitable[str]]


@pytest.fixture
async def serve(unused_port: int) -> AsyncIterator[Serve]:
    runners = []

    async def serve(handler: Any) -> str:
        runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", unused_port).start()
        return f"http://127.0.0.1:{unused_port}"

    yield serve
    for runner in runners:
        await runner.cleanup()


async def test_a_slow_server_does_not_slow_the_sender(serve: Serve) -> None:
    answer = asyncio.Event()
    arrived = 0

    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        nonlocal arrived
        arrived += 1
        if arrived == 50:
            answer.set()  # nobody is answered before all have been sent
        await answer.wait()
        return web.Response()

    report = await load.generate(await serve(handler), load.visit(["/"]), rate=500, requests=50)
    assert (report.sent, report.completed, report.errors) == (50, 50, 0)
    assert max(report.latencies_ms) > 80  # the first was due 98 ms before the last


async def test_an_answer_is_late_from_when_it_was_due(serve: Serve) -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    url = await serve(handler)

    def with_a_stall() -> Any:
        yield load.Ask("GET", "/")
        yield load.Ask("GET", "/")
        import time

        time.sleep(0.2)  # the sender itself is held up: the third request is due long before it is sent
        yield load.Ask("GET", "/")

    report = await load.generate(url, with_a_stall(), rate=100)
    assert report.completed == 3
    assert max(report.latencies_ms) > 150
    assert report.rate < 20


async def test_every_status_and_every_broken_connection_is_counted(serve: Serve) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/broken":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=int(request.path[1:]) if request.path != "/broken" else 200)

    paths = ["/200", "/404", "/503", "/broken"]
    report = await load.generate(await serve(handler), load.visit(paths), rate=400, requests=40)
    assert report.statuses == {200: 10, 404: 10, 503: 10}
    assert report.failed == 10
    assert report.errors == 20
    assert report.json()["errors"] == 20


async def test_a_name_with_two_addresses_is_asked_at_the_one_that_answers(serve: Serve) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text=request.host, headers={"connection": "close"})

    url = await serve(answer)
    named = url.replace("127.0.0.1", "door.test")
    report = await load.generate(
        named, load.visit(["/"]), rate=200, requests=20, addresses={"door.test": ["127.0.0.2", "127.0.0.1"]}
    )
    assert (report.completed, report.errors) == (20, 0)


async def test_too_many_open_requests_are_dropped_and_counted(serve: Serve) -> None:
    release = asyncio.Event()

    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    def twenty() -> Iterator[load.Ask]:
        yield from itertools.repeat(load.Ask("GET", "/"), 20)
        release.set()

    report = await load.generate(await serve(handler), twenty(), rate=1000, most_open=5)
    assert (report.sent, report.dropped, report.completed) == (5, 15, 5)


async def test_visitors_are_not_traced_themselves(serve: Serve) -> None:
    seen = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        seen.append("traceparent" in request.headers)
        return web.Response()

    await load.generate(await serve(handler), load.visit(["/"]), rate=500, requests=10)
    assert seen == [False] * 10


async def test_people_arrive_by_chance_at_the_rate_asked_for() -> None:
    due = list(itertools.islice(load.arrivals(50, random.Random(1)), 5000))
    assert 90 < due[-1] < 110
    gaps = [after - before for before, after in itertools.pairwise(due)]
    assert min(gaps) < 0.001
    assert max(gaps) > 0.1


async def test_visitors_do_everything_the_shop_offers() -> None:
    asks = list(itertools.islice(load.browse(random.Random(1)), 1000))
    assert {(ask.method, ask.path.split("?")[0].split("/")[1]) for ask in asks} == {
        ("GET", ""),
        ("GET", "products"),
        ("GET", "search"),
        ("GET", "cart"),
        ("POST", "cart"),
        ("POST", "checkout"),
    }
    assert all(ask.cookie for ask in asks if ask.path == "/checkout")


async def test_the_command_prints_what_it_measured(serve: Serve, environ: dict[str, str]) -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    options = ["--url", await serve(handler), "--paths", "/a,/b", "--rate", "200", "--duration", "0.2", "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console.demo.load", *options, env=environ, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    measured = json.loads(printed)
    assert process.returncode == 0
    assert measured["sent"] == measured["completed"] == 40
    assert measured["statuses"] == {"200": 40}
    assert measured["errors"] == measured["dropped"] == 0
    assert measured["achieved_rate"] == pytest.approx(40 / measured["seconds"], rel=0.01)
    assert measured["target_rate"] == 200
    assert measured["achieved_rate"] < 205, "on time or late, never early"
    assert set(measured["latency_ms"]) == {"p50", "p95", "p99", "max"}
