"""The graph's history in SQLite, and what can be asked of it."""

from __future__ import annotations

import asyncio
import sys

import pytest
from clocks import FakeClock

from collectors.errors import CollectorError
from collectors.snapshots import FrameHistory, SqliteSnapshots
from graph.frames import Recorder
from graph.live import LiveGraph
from graph.model import (
    Counters,
    EdgeKey,
    GraphType,
    Observation,
    Outcome,
    Protocol,
    Reporter,
    ServiceRef,
    WorkloadRef,
)
from graph.ports import Kept

T0 = 1_700_000_000_000
VAPP = GraphType.VERSIONED_APP
WEB, CART = (WorkloadRef("c", "shop", app, app, "") for app in ("web", "cart"))


@pytest.fixture
async def store(tmp_path):
    async with SqliteSnapshots(tmp_path / "snapshots.db", retention_s=600) as opened:
        yield opened


async def served(store, seconds, *, began_ms=T0, counted=0):
    """A server that watches ten requests a second and keeps a frame every ten seconds, until it dies."""
    clock = FakeClock(began_ms)
    live, recorder = LiveGraph(clock=clock), Recorder()
    for second in range(1, seconds + 1):
        at_ms = began_ms + 1000 * second
        counters = Counters(requests={Outcome("200", "", "-"): counted + 10.0 * second})
        live.observe([_seen(at_ms, counters)])
        live.tick(at_ms)
        if second % 10 == 0:
            await store.append(*recorder.record(live.frame()))
    return live


def _seen(at_ms, counters):
    return Observation(
        edge=EdgeKey(WEB, ServiceRef("c", "shop", "cart"), CART, Protocol.HTTP),
        reporter=Reporter.SOURCE,
        instance="web-1",
        epoch=T0,
        at_ms=at_ms,
        counters=counters,
    )


async def requests(history, window_s, at_ms):
    snapshot = await history.snapshot(VAPP, window_s, at_ms)
    if snapshot is None:
        return None
    (edge,) = snapshot.edges.values()
    return edge.signals.requests, edge.signals.covered_s


async def test_frames_are_found_by_their_instants(store):
    for at_ms in (10_000, 20_000, 30_000):
        await store.append(Kept(at_ms, 0, 10_000, 5), f"{at_ms}".encode())
    assert await store.bodies({10_000, 30_000, 99}) == {10_000: b"10000", 30_000: b"30000"}
    assert [frame.at_ms for frame in await store.index()] == [10_000, 20_000, 30_000]


async def test_any_moment_can_be_asked_for_once_frames_are_kept(store):
    await served(store, 400)
    history = FrameHistory(store)
    assert await requests(history, 60, T0 + 120_000) == (600, 60)
    assert await requests(history, 60, T0 + 127_000) == (600, 60)
    assert await requests(history, 300, T0 + 400_000) == (3000, 300)
    assert await requests(history, 3600, T0 + 400_000) == (4000, 400)
    assert await history.reach() == (T0 + 10_000, T0 + 400_000)
    assert await requests(history, 60, T0 + 5_000) is None
    assert await requests(history, 60, T0 + 900_000) is None


async def test_the_newest_step_is_part_of_the_history_before_it_is_kept(store):
    live = await served(store, 45)
    assert await requests(FrameHistory(store, live.frame), 20, T0 + 45_000) == (250, 25)


async def test_a_window_that_spans_a_restart_is_put_together(tmp_path):
    async with SqliteSnapshots(tmp_path / "s.db", retention_s=10_000) as store:
        await served(store, 100)
    async with SqliteSnapshots(tmp_path / "s.db", retention_s=10_000) as store:
        live = await served(store, 60, began_ms=T0 + 140_000, counted=1400)
        history = FrameHistory(store, live.frame)
        # The last 40 s of the first run, and all but the first reading of the second.
        assert await requests(history, 140, T0 + 200_000) == (400 + 590, 40 + 60)
        assert await requests(history, 30, T0 + 90_000) == (300, 30)
        assert await requests(history, 10, T0 + 130_000) is None


async def test_a_start_by_a_clock_that_is_wrong_costs_no_history(store):
    await served(store, 60)
    before = await store.index()
    await served(store, 20, began_ms=T0 - 86_400_000)
    assert set(before) <= set(await store.index())
    shown = await FrameHistory(store).snapshot(VAPP, 30, T0 + 60_000)
    assert [one.signals.rate for one in shown.edges.values()] == [10.0]


async def test_frames_older_than_the_retention_are_let_go(store):
    for at_ms in range(0, 2_000_000, 10_000):
        await store.append(Kept(at_ms, 0, at_ms, 5), b"frame")
    oldest = (await store.index())[0].at_ms
    assert 1_320_000 <= oldest <= 1_390_000
    assert (await store.bodies({oldest}))[oldest] == b"frame"
    assert not await store.bodies({oldest - 10_000})


async def test_an_empty_store_has_no_reach(store):
    history = FrameHistory(store)
    assert await history.reach() is None
    assert await history.snapshot(VAPP, 60, T0) is None


async def test_a_damaged_frame_is_named(store):
    await store.append(Kept(T0, T0, T0, 5), b"frame")
    with pytest.raises(CollectorError, match=f"frame of {T0}"):
        await FrameHistory(store).snapshot(VAPP, 60, T0)


async def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "s.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(CollectorError, match=r"s\.db"):
        async with SqliteSnapshots(tmp_path / "s.db"):
            pass


WRITER = """
import asyncio, sys
from collectors.snapshots import SqliteSnapshots
from graph.ports import Kept

async def write():
    async with SqliteSnapshots(sys.argv[1], retention_s=10**6) as store:
        for at_ms in range(0, 10**9, 10_000):
            await store.append(Kept(at_ms, 0, at_ms, 4000), str(at_ms).encode() * 400)
            print(at_ms, flush=True)

asyncio.run(write())
"""


async def test_a_killed_server_loses_no_frame_that_it_had_kept(tmp_path):
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(tmp_path / "s.db"), stdout=asyncio.subprocess.PIPE
    )
    try:
        last = [int(await writer.stdout.readline()) for _ in range(50)][-1]
    finally:
        writer.kill()
        await writer.communicate()
    async with SqliteSnapshots(tmp_path / "s.db", retention_s=10**6) as store:
        kept = [frame.at_ms for frame in await store.index()]
        assert last in kept
        bodies = await store.bodies(kept)
    assert all(body == str(at_ms).encode() * (len(body) // len(str(at_ms))) for at_ms, body in bodies.items())
