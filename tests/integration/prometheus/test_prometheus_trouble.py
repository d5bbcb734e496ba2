"""A real Prometheus, and between it and us a proxy that misbehaves: the graph says so, recovers, invents nothing."""

import asyncio
import contextlib
import time

import pytest
import pytest_asyncio
from prometheus_rig import Exporter, Job, Misbehaving, Prometheus, served, until, value

from collectors.poll import MetricsPoll
from collectors.prometheus.config import PrometheusConfig
from collectors.prometheus.history import PrometheusHistory, WindowError
from collectors.prometheus.source import PrometheusSource
from collectors.prometheus.track import Mode
from console.clock import SystemClock
from console.signals.metrics import of_prometheus
from console.views.shell import Silence, silence
from graph.live import LiveGraph
from graph.model import GraphType, Inventory, Presence

pytestmark = pytest.mark.asyncio(loop_scope="module")

PER_SECOND = 50
CLOCKS_DIFFER_S = 1
"""By less than that, the clocks of two servers are known to each other."""
STARTED = time.monotonic()


def page(caller: str) -> str:
    """What a caller's proxy has counted: so many requests each second, to each of two callees."""
    count = int(PER_SECOND * (time.monotonic() - STARTED)) + 1000
    labels = f'reporter="source",source_workload="{caller}",source_workload_namespace="shop",response_code="200"'
    return "".join(
        f'istio_requests_total{{{labels},destination_workload="{callee}",destination_workload_namespace="shop"}} {count}\n'
        for callee in ("cart", "mail")
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(tmp_path_factory):
    exporter = Exporter()
    callers = ("web", "app")
    exporter.pages = {caller: lambda caller=caller: page(caller) for caller in callers}
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(exporter.app))
        jobs = [Job(one, [url[7:]], path=f"/{one}", labels={"pod": f"{one}-1", "namespace": "shop"}) for one in callers]
        server = await stack.enter_async_context(Prometheus(tmp_path_factory.mktemp("prometheus"), jobs))
        await until(lambda: server.value("count(count_over_time(istio_requests_total[10s]) > 2) > 3"))
        yield server


class Watch:
    """A source that is polled into a graph, which is looked at."""

    def __init__(self, url: str, **settings) -> None:
        clock = SystemClock()
        self.config = PrometheusConfig(url=url, name="prod", **settings)
        self.source = PrometheusSource(self.config, clock)
        self.live = LiveGraph(clock=clock)
        self.clock = clock
        self.history = PrometheusHistory(self.source, clock, Inventory)
        self.poll = MetricsPoll(self.source, self.live, clock, 0.3)
        self.began = 0.0
        """When the samples were scraped that are its zero, or earlier."""
        self.follows = 0.0
        """When its zero was read."""

    @contextlib.asynccontextmanager
    async def running(self):
        age_s = await value(self.config.url, "time() - min(timestamp(istio_requests_total))")
        self.began = time.monotonic() - (age_s or 0.0)

        async def tick() -> None:
            async for now in self.clock.every(0.3):
                self.live.tick(now)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.poll.run(lambda: None)), group.create_task(tick())]
            try:
                await until(self.edges)
                self.follows = time.monotonic()
                yield self
            finally:
                for task in tasks:
                    task.cancel()
                await self.source.close()

    def edges(self, window_s: int = 60) -> dict[str, object]:
        edges = self.live.snapshot(GraphType.WORKLOAD, window_s).edges.values()
        return {"→".join(end.rpartition("/")[2] for end in (one.source, one.target)): one for one in edges}

    def presences(self) -> set[Presence]:
        return {edge.presence for edge in self.edges().values()}

    def requests(self) -> float:
        return sum(edge.signals.requests for edge in self.edges().values())

    async def flows(self) -> None:
        """Wait until all four edges are live and have traffic."""
        before = self.requests()
        await until(lambda: self.presences() == {Presence.LIVE} and self.requests() > before and len(self.edges()) == 4)

    def silence(self) -> Silence | None:
        """Say what the pages' frame tells while everything is old."""
        now_ms = self.clock.now_ms()
        return silence(self.live.unheard_since_ms, now_ms, of_prometheus(self.source, self.poll.state, now_ms))

    async def stale(self, reason: str) -> None:
        """Wait until all edges are stale for this reason."""
        await until(
            lambda: all(edge.presence is Presence.STALE and reason in edge.reason for edge in self.edges().values())
        )


@pytest_asyncio.fixture(loop_scope="module")
async def trouble(prometheus):
    proxy = Misbehaving(prometheus.url)
    async with served(proxy.app) as url:
        proxy.url = url
        yield proxy


def is_exact(watch: Watch) -> None:
    """Nothing is invented and nothing lost: what was sent since its zero, less what is not scraped or read yet."""
    edges = watch.edges().values()
    now = time.monotonic()
    unread_s = (watch.clock.now_ms() - min(edge.at_ms for edge in edges)) / 1000 + CLOCKS_DIFFER_S
    most, least = (len(edges) * (PER_SECOND * (now - since) + 1) for since in (watch.began, watch.follows + unread_s))
    assert least - 2 * len(edges) <= watch.requests() <= most


async def test_what_a_prometheus_counts_is_shown_to_the_request(trouble):
    async with Watch(trouble.url).running() as watch:
        await watch.flows()
        assert set(watch.edges()) == {"web→cart", "web→mail", "app→cart", "app→mail"}
        is_exact(watch)
        assert 0.5 < watch.source.state.dialects[0].interval_s < 2  # as a busy machine scrapes once a second
        assert all(edge.signals.requests % 1 == 0 for edge in watch.edges().values())


FAULTS = {
    "answered 503: upstream is away": {"status": 503},
    "did not answer within 3 s": {"delay_s": 9.0},
    "answers something else than the query API does": {"body": b"<html>log in</html>"},
    "broke off": {"is_cut": True},
    "answers a query of istio with garbage": {"sample": "many"},
    "it evaluates no PromQL": {"body": b'{"status":"success","data":{"resultType":"matrix","result":[7]}}'},
}
"""Down, slow, a page, cut off, garbage, nonsense: by the reason that is told."""


async def test_edges_of_a_prometheus_in_trouble_are_stale_and_say_why_until_it_recovers(prometheus):
    async def suffer(reason: str, fault: dict) -> None:
        proxy = Misbehaving(prometheus.url)
        async with served(proxy.app) as url, Watch(url, timeout_s=3.0).running() as watch:
            await watch.flows()
            vars(proxy).update(fault)
            await watch.stale(reason)
            assert "prod" in watch.poll.state.error
            assert reason in str(watch.silence())
            stale = watch.requests()
            await asyncio.sleep(0.7)
            assert watch.requests() == stale, "nobody counted meanwhile"
            vars(proxy).update({name: vars(Misbehaving(""))[name] for name in fault})
            await watch.flows()
            assert {edge.reason for edge in watch.edges().values()} == {""}
            assert watch.silence() is None
            is_exact(watch)

    async with asyncio.TaskGroup() as group:
        for reason, fault in FAULTS.items():
            group.create_task(suffer(reason, fault))


async def test_the_first_poll_that_fails_is_told_on_every_edge_and_lets_no_rate_fall(prometheus):
    async def fail(reason: str, fault: dict) -> None:
        proxy = Misbehaving(prometheus.url)
        async with served(proxy.app) as url:
            watch = Watch(url, timeout_s=3.0)

            async def look() -> bool:
                answered = await watch.poll.once()
                watch.live.tick(watch.clock.now_ms())
                return answered and watch.requests() > 0 and len(watch.edges()) == 4

            await until(look)
            rates = {name: edge.signals.rate for name, edge in watch.edges().items()}
            vars(proxy).update(fault)
            assert not await look()
            edges = watch.edges()
            assert {reason in edge.reason for edge in edges.values()} == {True}, edges
            assert all(edge.signals.rate >= rates[name] for name, edge in edges.items())
            await watch.source.close()

    async with asyncio.TaskGroup() as group:
        for reason, fault in FAULTS.items():
            group.create_task(fail(reason, fault))


async def test_a_prometheus_that_dies_and_comes_back_costs_no_request(prometheus, trouble):
    async with Watch(trouble.url).running() as watch:
        await watch.flows()
        await prometheus.stop()
        await watch.stale("prod")
        await prometheus.start()
        await watch.flows()
        is_exact(watch)


async def test_half_of_the_series_lost_makes_their_edges_stale_and_leaves_the_others(trouble):
    async with Watch(trouble.url).running() as watch:
        await watch.flows()
        trouble.lose = lambda metric: metric.get("destination_workload") == "mail"
        trouble.warning = "store-2:10901 is unavailable"
        live, stale = Presence.LIVE, Presence.STALE
        # Each process is scraped at moments of its own, so one of them is found out first.
        shown = {"web→cart": live, "app→cart": live, "web→mail": stale, "app→mail": stale}
        await until(lambda: {name: edge.presence for name, edge in watch.edges().items()} == shown)
        assert "prod has no new samples of 1 of 1 series of shop/web-1" in watch.edges()["web→mail"].reason
        assert watch.source.state.partial == ("store-2:10901 is unavailable",)
        trouble.lose, trouble.warning = lambda _: False, ""
        await watch.flows()
        is_exact(watch)


async def test_series_that_were_lost_from_the_start_are_not_counted_from_the_beginning_of_time(trouble):
    trouble.lose = lambda metric: metric.get("destination_workload") == "mail"
    async with Watch(trouble.url).running() as watch:
        await until(lambda: len(watch.edges()) == 2 and watch.requests() > 0)
        trouble.lose = lambda _: False
        await watch.flows()
        assert watch.requests() <= 4 * PER_SECOND * (time.monotonic() - watch.began) + 4


async def test_a_clock_that_is_wrong_is_measured_and_corrected(prometheus):
    async def correct(skew_s: int) -> None:
        proxy = Misbehaving(prometheus.url)
        proxy.skew_s = skew_s
        async with served(proxy.app) as url, Watch(url).running() as watch:
            await watch.flows()
            is_exact(watch)
            assert abs(watch.source.state.skew_ms - 1000 * skew_s) < 1000 * CLOCKS_DIFFER_S

            def is_new() -> bool:
                newest = max(edge.at_ms for edge in watch.edges().values())
                return abs(watch.clock.now_ms() - newest) < 4000

            async def has_a_past() -> bool:
                snapshot = await watch.history.snapshot(GraphType.WORKLOAD, 10, watch.clock.now_ms())
                return bool(snapshot) and sum(edge.signals.requests for edge in snapshot.edges.values()) > 0

            await until(is_new)
            await until(has_a_past)

    async with asyncio.TaskGroup() as group:
        for skew_s in (3600, -90):
            group.create_task(correct(skew_s))


async def test_above_the_limit_of_series_increases_are_asked_for_and_come_out_alike(trouble):
    async with Watch(trouble.url, most_series=3).running() as watch:
        await watch.flows()
        assert watch.source.state.dialects[0].mode is Mode.INCREASES

        def are_alike():
            rates = [edge.signals.rate for edge in watch.edges(10).values()]
            return all(abs(rate - PER_SECOND) < 0.4 * PER_SECOND for rate in rates)

        await until(are_alike)


async def test_a_tick_is_one_query_set_for_everything_and_reads_only_what_is_new(trouble):
    watch = Watch(trouble.url)
    try:
        for _ in range(3):
            await watch.poll.once()
        requests, received = trouble.requests, watch.source.client.bytes
        await watch.poll.once()
        # its time, and the samples
        assert trouble.requests - requests == 2
        assert watch.source.client.bytes - received < 4000
    finally:
        await watch.source.close()


async def test_the_past_is_answered_for_any_window_that_has_enough_samples(prometheus):
    watch = Watch(prometheus.url, scrape_interval_s=1.0)
    try:
        now = watch.clock.now_ms()
        await until(lambda: watch.clock.now_ms() - now > 3000)

        async def is_right(window_s: int) -> bool:
            """Whether it tells what was sent: not of a moment at which a busy machine has scraped late."""
            snapshot = await watch.history.snapshot(GraphType.WORKLOAD, window_s, watch.clock.now_ms() - 3000)
            assert {edge.presence for edge in snapshot.edges.values()} == {Presence.LIVE}
            requests = [edge.signals.requests for edge in snapshot.edges.values()]
            assert all(one % 1 == 0 for one in requests)
            return all(abs(one - PER_SECOND * window_s) <= PER_SECOND * 1.3 for one in requests)

        for window_s in (4, 5):
            await until(lambda window_s=window_s: is_right(window_s))
        with pytest.raises(WindowError, match="take 4 s or more"):
            await watch.history.snapshot(GraphType.WORKLOAD, 1, now)
        with pytest.raises(WindowError, match="30 days"):
            await watch.history.snapshot(GraphType.WORKLOAD, 31 * 86_400, now)
        assert await watch.history.snapshot(GraphType.WORKLOAD, 60, now - 3_600_000) is None
        oldest, newest = await watch.history.reach()
        assert oldest <= now <= newest
    finally:
        await watch.source.close()
