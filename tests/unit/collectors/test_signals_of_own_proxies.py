"""What Signals say of the bundled mesh's own proxies, some of which do not answer."""

from __future__ import annotations

from aiohttp import web
from clocks import FakeClock
from collector_fakes import FixedRegistry, instance

from collectors.poll import MetricsPoll
from collectors.scrape import AdminScrape
from console.signals.metrics import of_sources
from console.signals.signal import Presence
from graph.live import LiveGraph


async def test_proxies_that_do_not_answer_are_counted_and_the_first_of_them_says_why(tmp_path):
    async def page(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/stats/prometheus", page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "1")).start()
    clock = FakeClock()
    both = [instance(number=number, admin=str(tmp_path / str(number))) for number in (1, 2)]
    poll = MetricsPoll(AdminScrape(FixedRegistry(*both), clock), LiveGraph(clock=clock), clock)

    async def told():
        await poll.once()
        (signal,) = of_sources([poll], clock.now_ms())
        return signal

    signal = await told()
    assert signal.presence is Presence.STALE
    assert signal.text.startswith("1 of 2 proxies not answering, as sidecar~127.64.1.2~web~2.shop: ")
    await runner.cleanup()
    assert (await told()).presence is Presence.STALE, "one answer that is missing says nothing yet"
    clock.now += 11_000
    signal = await told()
    assert (signal.presence, signal.text[:27]) == (Presence.FAILING, "2 of 2 proxies not answerin")
    assert signal.advice
