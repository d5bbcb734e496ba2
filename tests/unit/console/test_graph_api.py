"""The graph at any instant over any window, as the API answers and the command prints it."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from types import SimpleNamespace

import pytest
from asgi import Visitor, listening, with_routes
from click.testing import CliRunner
from clocks import FixedClock

from collectors.errors import CollectorError
from collectors.snapshots import FrameHistory, SqliteSnapshots
from console.cli import graph as command
from console.cli.compare import compare
from console.courses import WINDOWS, courses_of
from console.web.api import graph as api
from graph.frames import Recorder
from graph.health import Direction
from graph.live import LiveGraph
from graph.model import (
    Counters,
    EdgeKey,
    GraphType,
    Inventory,
    Observation,
    Outcome,
    Protocol,
    Reporter,
    ServiceRef,
    WorkloadRef,
)
from graph.moment import snapshot_of
from mesh_runtime.api.text import load
from mesh_runtime.store.port import Change
from mesh_runtime.store.sqlite import SqliteConfig

T0 = 1_700_000_000_000
NOW = T0 + 900_000
CHANGE_AT = T0 + 600_000
WEB, CART = (WorkloadRef("c", "shop", app, app, "") for app in ("web", "cart"))
EDGE = EdgeKey(WEB, ServiceRef("c", "shop", "cart"), CART, Protocol.HTTP)
OK, FAILED = Outcome("200", "", "-"), Outcome("503", "", "UF")
NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""


def seen(at_ms, ok, failed=0.0, *, epoch=T0):
    return Observation(
        edge=EDGE,
        reporter=Reporter.SOURCE,
        instance="web-1",
        epoch=epoch,
        at_ms=at_ms,
        counters=Counters(requests={OK: float(ok), FAILED: float(failed)}),
    )


class OtherHistory:
    """A source that knows the hour before the server began to watch: a hundred requests a second."""

    trouble = ""

    async def reach(self):
        return T0 - 3_600_000, T0

    async def snapshot(self, kind, window_s, at_ms):
        if self.trouble:
            raise CollectorError(self.trouble)
        from_ms = max(at_ms - 1000 * window_s, T0 - 3_600_000)
        if not from_ms < at_ms <= T0:
            return None
        told = seen(at_ms, (at_ms - from_ms) / 10, epoch=from_ms)
        return snapshot_of([told], Inventory(), kind, from_ms, at_ms, window_s=window_s)


@pytest.fixture
async def console(tmp_path):
    """A server that has watched for a quarter of an hour; after ten minutes a change of config made a tenth fail."""
    clock = FixedClock(T0)
    live, recorder = LiveGraph(clock=clock), Recorder()
    async with (
        SqliteSnapshots(tmp_path / "snapshots.db", 10**6) as frames,
        SqliteConfig(":memory:", clock_ms=clock.now_ms) as store,
    ):
        for second in range(1, 901):
            clock.now = T0 + 1000 * second
            failed = max(0, second - 600)
            live.observe([seen(clock.now, 10 * second - failed, failed)])
            live.tick(clock.now)
            if second % 10 == 0:
                await frames.append(*recorder.record(live.frame()))
            if clock.now == CHANGE_AT:
                await store.commit(Change(put=load(NAMESPACE), author="ann"))
        other = OtherHistory()
        histories = (FrameHistory(frames, live.frame), other)
        courses = OrderedDict()
        yield SimpleNamespace(clock=clock, live=live, store=store, histories=histories, other=other, courses=courses)


@pytest.fixture
def visitor(console):
    return Visitor(with_routes(console, api.api))


async def ask(visitor, query, path="graph"):
    return await visitor.get(f"/api/v1/{path}?type=workload&{query}")


async def only_edge(visitor, query):
    status, body = await ask(visitor, query)
    assert status == 200, body
    (edge,) = body["edges"]
    return edge["requests"], edge["covered"], body["at"]


@pytest.mark.parametrize(
    ("query", "requests", "covered", "at_ms"),
    [
        ("window=10s", 100, 10, NOW),
        ("window=7m", 4200, 420, NOW),
        ("window=1h", 9000, 900, NOW),
        ("window=2m&at=-10m", 1200, 120, NOW - 600_000),
        (f"window=1m30s&at={(T0 + 200_000) // 1000}", 900, 90, T0 + 200_000),
        (f"window=90&at={T0 + 200_000}", 900, 90, T0 + 200_000),
        ("window=60s&at=2023-11-14T22:18:20Z", 600, 60, T0 + 300_000),
        ("window=5m&at=now", 3000, 300, NOW),
    ],
)
async def test_any_window_at_any_instant_can_be_asked_for(visitor, query, requests, covered, at_ms):
    found = await only_edge(visitor, query)
    assert found == (pytest.approx(requests, rel=0.05), pytest.approx(covered, rel=0.05), at_ms)
    assert found[0] == found[1] * 10


async def test_what_the_server_has_not_seen_is_asked_of_other_sources(visitor, console):
    assert await only_edge(visitor, "window=5m&at=-20m") == (30_000, 300, NOW - 1_200_000)
    console.other.trouble = "prometheus is away"
    status, body = await ask(visitor, "window=5m&at=-20m")
    assert (status, "prometheus is away" in body["error"]) == (404, True)
    assert (await only_edge(visitor, "window=5m&at=-10m"))[0] == 3000


async def test_whoever_knows_more_of_a_window_answers(visitor):
    # Disk has the first minute only, the other source the whole window that ended before it.
    assert (await only_edge(visitor, f"window=50m&at={T0}"))[:2] == (300_000, 3000)
    assert (await only_edge(visitor, f"window=5m&at={T0 + 60_000}"))[:2] == (600, 60)


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("window=7", 422, "from 10s to 30d"),
        ("window=31d", 422, "from 10s to 30d"),
        ("window=fast", 422, "is not a duration"),
        ("at=yesterday", 422, "is no instant"),
        ("at=99999999999999", 422, "future"),
        ("at=9999-12-31T23:59:59Z", 422, "future"),
        ("at=2020-01-01T00:00:00Z", 404, "the history reaches from 2023-11-14T22:13:30Z to 2023-11-14T22:28:20Z"),
    ],
)
async def test_what_cannot_be_answered_is_refused_with_the_way_out(visitor, query, status, sentence):
    answered, body = await ask(visitor, query)
    assert (answered, sentence in body["error"]) == (status, True), body


async def test_two_moments_are_compared(visitor):
    status, body = await ask(visitor, "from=-10m&window=2m", "graph/compare")
    assert status == 200
    (change,) = body["edges"]
    assert change["verdicts"] == ["failing"]
    assert (change["before"]["errorRatio"], change["after"]["errorRatio"]) == (0, pytest.approx(0.1))
    status, body = await ask(visitor, "from=-6m&to=-3m&window=1m", "graph/compare")
    assert [change["verdicts"] for change in body["edges"]] == [["failing"]]
    status, body = await ask(visitor, "from=-13m&to=-8m&window=1m", "graph/compare")
    assert (body["edges"], body["same"]) == ([], 1)


async def test_what_came_with_the_first_reading_is_no_news(visitor):
    status, body = await ask(visitor, "from=2023-11-14T21:13:23Z&window=1m", "graph/compare")
    assert (status, "only 3 s before 2023-11-14T21:13:23Z are known" in body.get("error", "")) == (404, True), body


async def test_a_window_after_a_change_holds_nothing_from_before_it(visitor, console):
    # The disk keeps an instant per ten seconds, none of them when this change came.
    console.clock.now = CHANGE_AT + 4000
    await console.store.commit(Change(delete=(load(NAMESPACE)[0].key,), author="ann"))
    console.clock.now = NOW
    _, body = await ask(visitor, "from=revision:2&window=1m", "graph/compare")
    assert (body["from"]["at"], body["to"]["at"]) == (CHANGE_AT, CHANGE_AT + 70_000)


async def test_before_and_after_a_change_of_config_are_compared(visitor):
    status, body = await ask(visitor, "from=revision:1&window=3m", "graph/compare")
    assert status == 200, body
    assert (body["from"]["at"], body["to"]["at"]) == (CHANGE_AT, CHANGE_AT + 180_000)
    assert [change["verdicts"] for change in body["edges"]] == [["failing"]]
    assert (await ask(visitor, "from=revision:1&window=1h", "graph/compare"))[1]["to"]["window"] == 300


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("from=-1m&window=5m", "the two windows overlap: from and to are 60 s apart; ask for a window of at most 60s"),
        ("from=-5s&window=10s", "instants further apart"),
        ("from=-1m&to=-5m&window=1m", "overlap"),
        ("from=revision:2", "the config's revisions go from 1 to 1"),
        ("from=revision:x", "the config's revisions go from 1 to 1"),
        ("window=5m", "from"),
    ],
)
async def test_moments_that_cannot_be_compared_are_refused(visitor, query, sentence):
    status, body = await ask(visitor, query, "graph/compare")
    assert (status, sentence in json.dumps(body)) == (422, True), body


async def test_the_command_tells_what_changed_in_words(visitor):
    async with listening(visitor.app) as url:

        async def run(made, *arguments):
            of_workloads = [*arguments, "--type", "workload", "--server", url]
            return await asyncio.to_thread(CliRunner().invoke, made, of_workloads)

        told = await run(compare, "--before", "revision:1", "--window", "2m")
        short = await run(command.graph, "--compare", "-10m")
        past = await run(command.graph, "--window", "7m", "--at", "-5m")
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[:5] == [
        "2023-11-14 22:23:20Z (120 s)  →  2023-11-14 22:25:20Z (120 s)",
        "",
        "EDGES",
        "  ✗ shop/web → shop/cart: failing, health healthy → failure",
        "      10 → 10/s; 0 → 10 % errors",
    ]
    assert "✗ shop/web → shop/cart: failing" in short.output
    assert told.output.endswith("0 edges as before, 0 with too few requests to tell\n")
    assert [edge["requests"] for edge in json.loads(past.output)["edges"]] == [4200]


async def test_a_course_reaches_further_back_than_memory_and_has_gaps_where_nobody_watched(console):
    node = next(node.id for node in console.live.snapshot(GraphType.WORKLOAD, 60).nodes.values() if node.inbound)
    recent = (await courses_of(console, GraphType.WORKLOAD, node, 300))[Direction.INBOUND]
    assert len(recent.at_ms) > WINDOWS
    told = (await courses_of(console, GraphType.WORKLOAD, node, 6000))[Direction.INBOUND]
    assert len(told.at_ms) == WINDOWS
    nobody, other, memory = told.rate[:6], told.rate[7:20], told.rate[21:]
    assert set(nobody) == {None}
    assert other == pytest.approx([100] * len(other))
    assert memory == pytest.approx([10] * len(memory), rel=0.1)
    assert not any((await courses_of(console, GraphType.WORKLOAD, node, 6000))[Direction.OUTBOUND].rate[7:])


async def test_courses_that_histories_told_are_kept_for_a_while(console):
    first = await courses_of(console, GraphType.WORKLOAD, "any", 6000)
    assert await courses_of(console, GraphType.WORKLOAD, "any", 6000) is first
    console.clock.now += 60_000
    assert await courses_of(console, GraphType.WORKLOAD, "any", 6000) is not first
