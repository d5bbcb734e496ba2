"""Every mesh's metrics, scraped by a real Prometheus, in the graph of a real ``meshscope up --prometheus``."""

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from prometheus_rig import Exporter, Job, Prometheus, advancing, served, until

from collectors.dialects import known
from collectors.exposition import Exposition
from graph.model import Protocol, Reporter

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOLDEN = Path(__file__).parents[2] / "golden" / "dialects"
ACME = GOLDEN / "acme" / "acme.toml"
DIALECTS = known([ACME])
NAMED = sorted(name for name, dialect in DIALECTS.items() if dialect.covered_by or name == "acme")
"""Found only when they are asked for by name: a better one is there in this Prometheus, or they come from a file."""
# Istio's pages of Envoy's own admin are our sidecars'; a pod's are scraped without the prefix.
PAGES = sorted(
    page
    for page in GOLDEN.glob("*/*.prom")
    if page.parent.name.removesuffix("-ambient") in DIALECTS and not page.stem.startswith("envoy-")
)
UP = (sys.executable, "-m", "console", "up", "--port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0")


def name_of(page: Path) -> str:
    return page.parent.name.removesuffix("-ambient")


def text_of(page: Path) -> str:
    return page.read_text().replace("envoy_istio_", "istio_")


def target_of(page: Path) -> dict[str, str]:
    """The labels that scraping adds stand in a page's first line."""
    first = text_of(page).partition("\n")[0]
    return dict(one.split("=", 1) for one in first.removeprefix("# target: ").split()) if "# target: " in first else {}


def job_of(page: Path, address: str) -> Job:
    name = f"{page.parent.name}-{page.stem}"
    labels = {"instance": f"{name}:9090", **target_of(page)}
    return Job(labels.pop("job", name), [address], path=f"/{name}", labels=labels)


@dataclass
class Console:
    """What a server's API says."""

    api: str
    session: aiohttp.ClientSession
    ready: datetime

    async def __call__(self, path: str, **query: str) -> dict:
        async with self.session.get(f"{self.api}/{path}", params=query) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def console(tmp_path_factory):
    """A server that has counted something of both kinds of meshes: found, and asked for by name."""
    exporter, directory = Exporter(), tmp_path_factory.mktemp("meshes")
    exporter.pages = {f"{page.parent.name}-{page.stem}": advancing(text_of(page)) for page in PAGES}
    async with contextlib.AsyncExitStack() as stack:
        address = (await stack.enter_async_context(served(exporter.app))).removeprefix("http://")
        jobs = [job_of(page, address) for page in PAGES]
        server = await stack.enter_async_context(Prometheus(directory / "prometheus", jobs))
        await until(lambda: server.value(f"count(count_over_time(up[10s]) > 2) >= {len(jobs)}"))
        settings = directory / "meshscope.toml"
        settings.write_text(
            f'[[sources]]\ntype = "prometheus"\nname = "asked"\nurl = "{server.url}"\n'
            f"dialects = {NAMED}\ndialect_files = ['{ACME}']\n"
        )
        up = subprocess.Popen(  # noqa: ASYNC220 - its pipe is read in a thread
            [*UP, "--data", directory / "data", "--settings", settings, "--prometheus", f"prod={server.url}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            ready = await asyncio.to_thread(up.stdout.readline)
            assert ready.startswith("READY"), ready
            session = await stack.enter_async_context(aiohttp.ClientSession())
            api = json.loads(ready.removeprefix("READY"))["url"] + "/api/v1"
            ask = Console(api, session, datetime.now(UTC).replace(microsecond=0))

            async def counts() -> bool:
                edges = (await ask("graph", type="workload", window="60"))["edges"]
                told = {
                    one["origin"].rpartition(" (")[0] for edge in edges if edge["requests"] for one in edge["evidence"]
                }
                return {"istio in prod", "envoy in asked"} <= told

            await until(counts, every_s=0.5)
            yield ask
        finally:
            up.send_signal(signal.SIGINT)
            await asyncio.to_thread(up.communicate, timeout=30)


def told(page: Path) -> set[tuple[str, str]]:
    """Which callers call which callees, by what the dialect reads on the page itself."""
    reader = Exposition(DIALECTS[name_of(page)], cluster="Kubernetes")
    seen = reader.read(text_of(page), instance="p", epoch=1, at_ms=1, origin="here", target=target_of(page))
    return {
        (one.edge.source.app, (one.edge.target.app if one.edge.target else one.edge.service.name).rpartition(":")[2])
        for one in seen
        if one.reporter is not Reporter.DESTINATION
        and one.edge.protocol is not Protocol.TCP
        and not one.carrier
        and sum(one.counters.requests.values())
        and (one.edge.target or one.edge.service)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
async def test_the_graph_shows_who_calls_whom_in_every_mesh(console, page):
    graph = await console("graph", type="workload", window="60")
    nodes = {node["id"]: {node["app"], node["workload"], node["service"], node["label"]} for node in graph["nodes"]}
    drawn = [
        (nodes[edge["source"]], nodes[edge["target"]])
        for edge in graph["edges"]
        if edge["requests"] > 0 and edge["presence"] == "live"
    ]
    for source, target in told(page):
        assert any(source in one and target in other for one, other in drawn), (source, target)


@pytest.mark.parametrize("name", sorted({name_of(page) for page in PAGES}))
async def test_signals_name_every_mesh_that_was_found_and_what_it_cannot_tell(console, name):
    signals = {one["name"]: one for one in (await console("signals"))["items"]}
    source = "asked" if name in NAMED else "prod"
    assert signals[f"prometheus {source}"]["ok"], signals
    found = signals[f"prometheus {source}: {name}"]
    assert re.search(r"counted exactly, scraped every [01](\.\d)? s", found["text"])
    for gap in DIALECTS[name].gaps:
        assert gap.reason in found["text"]


def covered_s(graph: dict) -> float:
    return max(edge["covered"] for edge in graph["edges"])


async def test_the_past_is_answered_by_prometheus_from_before_the_console_began(console):
    """Memory and disk have next to nothing of it: the server was only just running."""
    graph = await console("graph", type="workload", window="10", at=console.ready.isoformat())
    assert covered_s(graph) > 2
    assert any(edge["requests"] for edge in graph["edges"])


async def test_a_window_longer_than_the_console_has_run_is_answered_by_prometheus_as_far_as_it_knows(console):
    running_s = (datetime.now(UTC) - console.ready).total_seconds()
    graph = await console("graph", type="workload", window="1h")
    assert running_s + 2 < covered_s(graph) < 600
