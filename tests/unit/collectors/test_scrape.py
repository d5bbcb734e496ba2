import asyncio
from contextlib import asynccontextmanager

from aiohttp import web
from clocks import FakeClock
from collector_fakes import FixedRegistry, instance

from collectors.scrape import AdminScrape
from graph.live import LiveGraph
from graph.model import GraphType

SERIES = 'envoy_istio_requests_total{reporter="source",source_workload="web",source_workload_namespace="shop",response_code="200"} %d\n'


@asynccontextmanager
async def admin(path, answer):
    app = web.Application()
    app.router.add_get("/stats/prometheus", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    try:
        yield str(path)
    finally:
        await runner.cleanup()


def scrape_of(*instances, **settings):
    return AdminScrape(FixedRegistry(*instances), FakeClock(), **settings)


async def test_two_replicas_of_a_workload_are_two_instances(tmp_path):
    async def page(request):
        assert "istio" in request.query["filter"]
        return web.Response(text=SERIES % 5)

    async with admin(tmp_path / "1", page) as one, admin(tmp_path / "2", page) as two:
        scrape = scrape_of(instance(number=1, admin=one, epoch=3), instance(number=2, admin=two, epoch=4))
        batch = await scrape.observe()
    assert len({observation.edge for observation in batch}) == 1
    assert {(observation.instance, observation.epoch, observation.origin) for observation in batch} == {
        ("sidecar~127.64.1.1~web~1.shop", 3, one),
        ("sidecar~127.64.1.2~web~2.shop", 4, two),
    }


async def test_a_proxy_that_is_gone_does_not_hide_the_others_and_says_why(tmp_path):
    async def page(request):
        return web.Response(text=SERIES % 5)

    async with admin(tmp_path / "1", page) as one:
        scrape = scrape_of(instance(number=1, admin=one), instance(number=2, admin=str(tmp_path / "nobody")))
        assert len(await scrape.observe()) == 1
    well, gone = scrape.states.values()
    assert (well.error, well.last_success_ms, well.identities) == ("", 1_000_000, 1)
    assert "nobody" in gone.error
    assert (gone.failures, gone.last_success_ms) == (1, 0)


async def test_a_proxy_that_never_answers_is_given_up_after_the_timeout(tmp_path):
    done = asyncio.Event()

    async def page(request):
        await done.wait()

    async with admin(tmp_path / "1", page) as one:
        scrape = scrape_of(instance(admin=one), timeout_s=0.05)
        assert await scrape.observe() == []
        done.set()
    [state] = scrape.states.values()
    assert state.error


async def test_a_page_that_cannot_be_read_is_the_proxys_error(tmp_path):
    async def page(request):
        return web.Response(text='envoy_istio_requests_total{reporter="source",source_workload="w"} many\n')

    async with admin(tmp_path / "1", page) as one:
        scrape = scrape_of(instance(admin=one))
        assert await scrape.observe() == []
    [state] = scrape.states.values()
    assert "'many' is not a number" in state.error


async def test_an_admin_that_refuses_is_the_proxys_error(tmp_path):
    async def page(request):
        return web.Response(status=403)

    async with admin(tmp_path / "1", page) as one:
        scrape = scrape_of(instance(admin=one))
        await scrape.observe()
    [state] = scrape.states.values()
    assert "answered 403" in state.error


async def test_a_proxy_whose_restart_is_told_late_is_not_counted_twice(tmp_path):
    counted = iter([900, 500, 510, 4])

    async def page(request):
        return web.Response(text=SERIES % next(counted))

    async with admin(tmp_path / "1", page) as one:
        registry, clock = FixedRegistry(instance(admin=one, epoch=1_000_000)), FakeClock(2_000_000)
        scrape, graph = AdminScrape(registry, clock), LiveGraph(clock=FakeClock(1_000_000))

        async def requests(*, told):
            registry.current = FixedRegistry(instance(admin=one, epoch=told)).current
            clock.now += 1_000
            graph.observe(await scrape.observe())
            graph.tick(clock.now)
            [edge] = graph.snapshot(GraphType.APP, 3600).edges.values()
            return edge.signals.requests

        assert await requests(told=1_000_000) == 900
        assert await requests(told=1_000_000) == 1400  # it started again at 2_001_500, which nobody knows yet
        assert await requests(told=2_001_500) == 1410
        assert await requests(told=2_003_500) == 1414
