"""Pages of real HTTP servers, as they are listed, found, lost and found again."""

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth, web
from clocks import FakeClock
from own_ca import OwnCA

from collectors.errors import CollectorError
from collectors.scrape import HttpSd, ScrapeConfig, ScrapeSource, TargetGroup
from graph.live import LiveGraph
from graph.model import GraphType, Presence

GOLDEN = Path(__file__).parents[2] / "golden" / "dialects"
SERIES = (
    'istio_requests_total{reporter="source",source_workload="%s",source_workload_namespace="shop",'
    'destination_workload="cart",destination_workload_namespace="shop",response_code="200"} %d\n'
)
BROKEN = 'istio_request_duration_milliseconds_bucket{reporter="source",source_workload="a",le="much"} 1\n'
UPTIME = "envoy_server_uptime{} %d\n"


class Pages:
    """A server of pages, by path with query; ``down`` breaks connections off."""

    def __init__(self):
        self.pages = {}
        self.down = False
        self.headers = {}
        self.address = ""

    async def answer(self, request):
        self.headers = request.headers
        if self.down:
            request.transport.abort()
        page = self.pages.get(request.path_qs)
        if callable(page):
            return await page(request)
        return web.Response(status=404) if page is None else web.Response(text=page)

    @property
    def url(self):
        return f"http://{self.address}"


@asynccontextmanager
async def served(tls=None):
    pages = Pages()
    app = web.Application()
    app.router.add_get("/{path:.*}", pages.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    pages.address = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield pages
    finally:
        await runner.cleanup()


@pytest.fixture
async def pages():
    async with served() as server:
        yield server


@asynccontextmanager
async def scraping(clock=None, **settings):
    source = ScrapeSource(ScrapeConfig(name="s", **settings), clock or FakeClock())
    try:
        yield source
    finally:
        await source.close()


def callers(batch):
    return sorted(seen.edge.source.workload for seen in batch)


def target_of(page):
    return dict(one.split("=", 1) for one in page.partition("\n")[0].removeprefix("# target: ").split())


@pytest.mark.parametrize(
    "name", ["linkerd/proxy", "envoy/proxy", "consul/proxy", "istio/sidecar", "service-graph/tempo"]
)
async def test_each_page_is_read_in_the_words_of_its_mesh(pages, name):
    page = (GOLDEN / f"{name}.prom").read_text()
    labels = target_of(page) if page.startswith("# target: ") else {}
    pages.pages["/metrics"] = page
    async with scraping(static_configs=[TargetGroup(targets=(pages.address,), labels=labels)]) as source:
        batch = await source.observe()
        (state,) = source.state.targets
    assert batch
    assert state.dialects[0] == name.partition("/")[0]
    assert {seen.origin for seen in batch} == {f"{pages.url}/metrics"}


async def test_envoys_page_is_found_where_envoy_has_it(pages):
    pages.pages["/stats/prometheus"] = SERIES % ("web", 3)
    async with scraping(targets=(pages.address,)) as source:
        assert callers(await source.observe()) == ["web"]


async def test_scheme_path_and_parameters_of_a_target_are_prometheus_labels(pages):
    pages.pages["/probe?module=http"] = SERIES % ("web", 3)
    labels = {"__scheme__": "http", "__metrics_path__": "/probe", "__param_module": "http"}
    async with scraping(static_configs=[TargetGroup(targets=(pages.address,), labels=labels)]) as source:
        assert callers(await source.observe()) == ["web"]


async def test_targets_come_and_go_with_their_files(pages, tmp_path):
    pages.pages |= {"/a": SERIES % ("a", 1), "/b": SERIES % ("b", 1)}
    yaml, jsn = tmp_path / "one.yaml", tmp_path / "two.json"
    async with scraping(file_sd=(str(tmp_path / "*"),)) as source:
        assert await source.observe() == []
        assert f"there is no file {tmp_path}/*" in source.state.discovery[0]
        yaml.write_text(f"- targets: ['{pages.address}']\n  labels: {{__metrics_path__: /a}}\n")
        jsn.write_text(json.dumps([{"targets": [pages.address], "labels": {"__metrics_path__": "/b"}}]))
        assert callers(await source.observe()) == ["a", "b"]
        yaml.write_text("- targets: 7\n")
        assert callers(await source.observe()) == ["a", "b"], "a broken file keeps its last targets"
        assert "one.yaml: group 0: targets must be a list" in source.state.discovery[0]
        yaml.unlink()
        assert callers(await source.observe()) == ["b"]
        assert source.state.discovery == ()
        assert "no longer among the targets" in " ".join(source.doubts.values())


async def test_a_server_lists_targets_and_may_be_away(pages):
    clock = FakeClock()
    pages.pages["/metrics"] = SERIES % ("web", 1)
    pages.pages["/sd"] = json.dumps([{"targets": [pages.address], "labels": {"instance": "web-1"}}])
    async with scraping(clock, http_sd=(HttpSd(url=f"{pages.url}/sd", bearer_token="list-secret"),)) as source:
        assert [seen.instance for seen in await source.observe()] == ["s/web-1"]
        del pages.pages["/sd"]
        clock.now += 30_000
        assert callers(await source.observe()) == ["web"]
        assert "answered 404, expected a list of targets" in source.state.discovery[0]


async def test_a_target_that_is_down_is_told_and_its_edges_go_stale_and_no_others(pages):
    clock = FakeClock()
    graph = LiveGraph(clock=FakeClock(0))

    async def step():
        clock.now += 5_000
        graph.observe(await source.observe())
        graph.doubt("s", source.doubts)
        graph.tick(clock.now)
        edges = graph.snapshot(GraphType.WORKLOAD, 60).edges.values()
        return {edge.source.rpartition("/")[2]: (edge.presence, edge.reason) for edge in edges}

    async with served() as other:
        pages.pages["/metrics"], other.pages["/metrics"] = SERIES % ("a", 1), SERIES % ("b", 1)
        async with scraping(clock, targets=(pages.address, other.address)) as source:
            await step()
            other.down = True
            for _ in range(5):
                shown = await step()
            down = next(state for state in source.state.targets if state.error)
    presence = {name[-1]: told[0] for name, told in shown.items()}
    assert presence["b"] is Presence.STALE
    assert presence["a"] is not Presence.STALE
    assert other.address in " ".join(why for _, why in shown.values())
    assert (down.failures, down.last_success_ms) == (5, 1_005_000)
    assert down.url == f"{other.url}/metrics"


async def test_a_proxy_that_started_again_is_counted_on(pages):
    clock = FakeClock()
    graph = LiveGraph(clock=FakeClock(1))

    async def read(uptime, requests):
        clock.now += 60_000
        pages.pages["/metrics"] = UPTIME % uptime + SERIES % ("web", requests)
        graph.observe(await source.observe())
        graph.tick(clock.now)
        (edge,) = graph.snapshot(GraphType.WORKLOAD, 3600).edges.values()
        return edge.signals.requests

    async with scraping(clock, targets=(pages.address,)) as source:
        assert await read(30, 10) == 10, "it began while the graph was watching"
        assert await read(90, 15) == 15
        assert await read(5, 20) == 35, "though its counter is above what it was"


async def test_what_an_old_proxy_counts_first_is_counted_from_nothing(pages):
    clock = FakeClock()
    graph = LiveGraph(clock=FakeClock(900_000))
    async with scraping(clock, targets=(pages.address,)) as source:
        for page in ("", SERIES % ("web", 7)):
            clock.now += 5_000
            pages.pages["/metrics"] = UPTIME % 86_400 + page
            graph.observe(await source.observe())
    graph.tick(clock.now)
    (edge,) = graph.snapshot(GraphType.WORKLOAD, 60).edges.values()
    assert edge.signals.requests == 7


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"bearer_token": "tell-nobody"}, "Bearer tell-nobody"),
        ({"username": "u", "password": "tell-nobody"}, encode_basic_auth("u", "tell-nobody")),
    ],
)
async def test_credentials_are_sent_and_never_shown(pages, settings, sent):
    async def refused(_request):
        return web.Response(status=401)

    pages.pages["/metrics"] = refused
    async with scraping(targets=(pages.address,), **settings) as source:
        await source.observe()
        (state,) = source.state.targets
    assert pages.headers["Authorization"] == sent
    assert "answered 401" in state.error
    assert "it does not take this" in state.error
    assert "tell-nobody" not in f"{state.error} {source.config!r}"


async def test_our_certificate_is_shown_to_who_asks_for_it_and_theirs_is_checked(tmp_path):
    authority = OwnCA()
    (tmp_path / "ca.pem").write_text(authority.pem)
    for name in ("server", "client"):
        pair = authority.issue(f"{name}.test")
        (tmp_path / f"{name}.pem").write_text(pair.pem + pair.key_pem)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    tls.load_cert_chain(tmp_path / "server.pem")
    tls.verify_mode = ssl.CERT_REQUIRED
    trusting = {"ca_file": str(tmp_path / "ca.pem"), "server_name": "server.test", "scheme": "https"}
    async with served(tls) as pages:
        pages.pages["/metrics"] = SERIES % ("web", 1)
        settings = {"targets": (pages.address,), **trusting}
        async with scraping(**settings, cert_file=str(tmp_path / "client.pem")) as source:
            assert callers(await source.observe()) == ["web"]
        async with scraping(**settings) as stranger:
            assert await stranger.observe() == []
        async with scraping(targets=(pages.address,), scheme="https") as distrusting:
            assert await distrusting.observe() == []
            assert "set ca_file" in distrusting.state.targets[0].error


async def test_pages_are_bounded_in_size_and_time(pages):
    ended = asyncio.Event()

    async def never(_request):
        await ended.wait()

    pages.pages |= {"/large": SERIES % ("web", 1) * 100, "/slow": never, "/broken": SERIES % ("web", 1) + BROKEN}
    targets = [f"{pages.url}{path}" for path in pages.pages]
    async with scraping(targets=targets, most_bytes=1000, timeout_s=0.1) as source:
        assert await source.observe() == []
        ended.set()
        errors = [state.error for state in source.state.targets]
    assert "more than 1000 bytes" in errors[0]
    assert "did not answer within 0.1 s (timeout_s)" in errors[1]
    assert "cannot be read" in errors[2]


async def test_text_is_asked_for_and_whatever_else_comes_is_named(pages):
    async def protobuf(_request):
        return web.Response(body=b"\x8a\x01", content_type="application/vnd.google.protobuf")

    pages.pages["/metrics"] = protobuf
    async with scraping(targets=(pages.address,)) as source:
        assert await source.observe() == []
        assert "application/vnd.google.protobuf, which is no text" in source.state.targets[0].error
        pages.pages["/metrics"] = "\n<!doctype html><title>Log in</title>"
        assert await source.observe() == []
        assert "answered with a web page, expected metrics; is a login in between?" in source.state.targets[0].error
    assert pages.headers["Accept"].startswith("text/plain")


async def test_our_own_page_is_not_counted_again_but_another_meshscopes_is(pages):
    async def page(_request):
        return web.Response(text=SERIES % ("web", 1), headers={"Meshscope-Run": "1"})

    pages.pages["/metrics"] = page
    told = {}
    for run in ("1", "2"):
        source = ScrapeSource(ScrapeConfig(targets=(pages.address,)), FakeClock(), own_run=run)
        told[run] = callers(await source.observe()), source.state.targets[0].error
        await source.close()
    assert told["2"] == (["web"], "")
    assert told["1"][0] == []
    assert "a page of our own" in told["1"][1]


async def test_targets_beyond_the_bound_are_counted(pages):
    pages.pages["/metrics"] = SERIES % ("web", 1)
    async with scraping(targets=(pages.address, "127.0.0.1:1", "127.0.0.1:2"), most_targets=1) as source:
        assert len(await source.observe()) == 1
        assert source.state.unread == 2


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "needs targets"),
        ({"targets": ("a b",)}, "neither host:port nor"),
        ({"targets": ("ftp://h/",)}, "no http:// or https://"),
        ({"targets": ("http://u:p@h/",)}, "username and password"),
        ({"targets": ("h:1",), "labels": {"no-name": "x"}}, "no name of a label"),
        ({"targets": ("h:1",), "interval_s": 0}, "interval_s must be above 0"),
        ({"targets": ("h:1",), "key_file": "k"}, "cert_file"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, complaint):
    with pytest.raises(CollectorError, match=complaint):
        ScrapeConfig(**settings)


def test_an_unknown_dialect_is_named():
    with pytest.raises(CollectorError, match="there is no dialect nosuch; there are istio"):
        ScrapeSource(ScrapeConfig(targets=("h:1",), dialects=("nosuch",)), FakeClock())
