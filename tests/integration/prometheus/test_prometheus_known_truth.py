"""A mesh of which every call is known, in a real Prometheus: what is read out of it is what happened."""

import asyncio
from itertools import chain
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from clocks import FakeClock
from known_truth import T0, Mesh, by_class, ends, envoy, istio, open_metrics
from prometheus_rig import PROMETHEUS, Misbehaving, Prometheus, served

from collectors.poll import MetricsPoll
from collectors.prometheus.config import PrometheusConfig
from collectors.prometheus.history import PrometheusHistory
from collectors.prometheus.source import PrometheusSource
from graph.live import LiveGraph
from graph.model import GraphType, Inventory

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERY_S = 10


class Backfilled(Prometheus):
    """A server that holds what was scraped of a mesh."""

    def __init__(self, directory: Path, scrapes) -> None:
        super().__init__(directory, [])
        (directory / "scrapes").write_text(open_metrics(scrapes))

    async def start(self) -> None:
        fill = (PROMETHEUS.with_name("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet")
        done = await asyncio.create_subprocess_exec(*fill, self.directory / "scrapes", self.directory / "data")
        assert await done.wait() == 0
        await super().start()


class Rewound(Misbehaving):
    """A server that takes the present for the instant of a clock."""

    def __init__(self, target: str, clock: FakeClock) -> None:
        super().__init__(target)
        self.clock = clock

    def _bent(self, body: bytes) -> bytes:
        if b'"resultType":"scalar"' not in body:
            return body
        now_s = self.clock.now / 1000
        return orjson.dumps({"status": "success", "data": {"resultType": "scalar", "result": [now_s, str(now_s)]}})


@pytest.fixture(scope="module")
def mesh():
    mesh = Mesh(11)
    mesh.restart(6, every_s=EVERY_S)
    return mesh


TRUTH = {"istio": Mesh.truth, "envoy": lambda mesh, **of: by_class(mesh.truth(**of))}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(mesh, tmp_path_factory):
    scrapes = mesh.scrapes(lambda call: chain(istio(call), envoy(call)), EVERY_S)
    async with Backfilled(tmp_path_factory.mktemp("truth"), scrapes) as server:
        yield server


@pytest.mark.parametrize("dialect", TRUTH)
async def test_the_past_is_told_to_the_request_by_status_whatever_restarted(mesh, prometheus, dialect):
    clock = FakeClock(mesh.end_ms)
    source = PrometheusSource(PrometheusConfig(url=prometheus.url, name="prod", dialects=(dialect,)), clock)
    history = PrometheusHistory(source, clock, Inventory)
    try:
        assert ends(await history.snapshot(GraphType.FINEST, mesh.seconds, mesh.end_ms)) == TRUTH[dialect](mesh)
        last_minute = await history.snapshot(GraphType.WORKLOAD, 60, mesh.end_ms)
        recent = TRUTH[dialect](mesh, of=lambda call: call.at_ms > mesh.end_ms - 60_000)
        told = sum(edge.signals.rate for edge in last_minute.edges.values())
        assert told == pytest.approx(sum(ended.total() for ended in recent.values()) / 60, rel=0.01)
    finally:
        await source.close()


@pytest.mark.parametrize("dialect", TRUTH)
async def test_what_is_followed_as_it_comes_is_counted_to_the_request(mesh, prometheus, dialect):
    clock = FakeClock(T0)
    async with served(Rewound(prometheus.url, clock).app) as url:
        source = PrometheusSource(PrometheusConfig(url=url, name="prod", dialects=(dialect,)), clock)
        graph = LiveGraph(clock=clock)
        poll = MetricsPoll(source, graph, clock)
        try:
            while clock.now <= mesh.end_ms:
                assert await poll.once(), poll.state.error
                graph.tick(clock.now)
                clock.now += 1000 * EVERY_S
        finally:
            await source.close()
    assert ends(graph.snapshot(GraphType.FINEST, 3600)) == TRUTH[dialect](mesh)
