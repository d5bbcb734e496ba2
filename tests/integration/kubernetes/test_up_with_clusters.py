"""``meshscope up --context``: Kubernetes clusters beside the bundled mesh, before there is any traffic."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import yaml
from aiohttp import web
from api_server import TOKEN, ApiServer
from click.testing import CliRunner
from cluster_objects import deployment, endpoint_slice, namespace, pod, service, virtual_service
from cluster_rig import PATIENCE_S, write_kubeconfig

from console.cli.main import main
from console.web.answers import clusters as cluster_answers

UP = ("-m", "console", "up", "--port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0", "--log-level", "debug")
READ = ["get", "list", "watch"]
ISTIO_READ = ["destinationrules", "envoyfilters", "virtualservices"]

CALL = {
    "reporter": "source",
    "source_cluster": "prod",
    "source_workload": "front-v1",
    "source_workload_namespace": "shop",
    "source_canonical_service": "front",
    "source_canonical_revision": "v1",
    "destination_cluster": "prod",
    "destination_workload": "catalog-v1",
    "destination_workload_namespace": "shop",
    "destination_canonical_service": "catalog",
    "destination_canonical_revision": "v1",
    "destination_service": "catalog.shop.svc.cluster.local",
    "destination_service_name": "catalog",
    "destination_service_namespace": "shop",
    "request_protocol": "http",
    "response_code": "200",
    "response_flags": "-",
}


@asynccontextmanager
async def up(data: Path, kubeconfig: Path, *arguments: str) -> AsyncIterator[Server]:
    """A server as a user starts it; everything that it writes is kept."""
    with (data.parent / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *UP,
            *("--data", str(data), *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=os.environ | {"KUBECONFIG": str(kubeconfig)},
        )
        assert process.stdout
        try:
            word, _, info = (await process.stdout.readline()).decode().partition(" ")
            assert word == "READY"
            async with aiohttp.ClientSession() as session:
                told = json.loads(info)
                yield Server(told["url"] + "/api/v1/", told["otlp_http"], session)
        finally:
            process.send_signal(signal.SIGINT)
            await process.wait()


class Server:
    """What its API says."""

    def __init__(self, api: str, otlp: str, session: aiohttp.ClientSession) -> None:
        self._api = api
        self._otlp = otlp
        self._session = session

    async def get(self, path: str, **query: str) -> Any:
        """Ask."""
        async with self._session.get(self._api + path, params=query) as answer:
            return await answer.json()

    async def send(self, spans: dict[str, Any]) -> None:
        """Send spans."""
        async with self._session.post(f"{self._otlp}/v1/traces", json=spans) as answer:
            assert answer.status == 200

    async def until(self, holds: Callable[[Any], bool], path: str, **query: str) -> Any:
        """Ask until the answer is as expected."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self.get(path, **query)
                if holds(answer):
                    return answer
                await asyncio.sleep(0.05)

    async def workloads(self, cluster: str, *names: str) -> list[dict[str, Any]]:
        """Wait until a cluster has these workloads, and no others."""

        def named(answer: Any) -> bool:
            return {one["workload"] for one in answer.get("workloads", ())} == {*names}

        workloads: list[dict[str, Any]] = (await self.until(named, f"clusters/{cluster}/inventory"))["workloads"]
        return workloads


@pytest.fixture
async def other() -> AsyncIterator[ApiServer]:
    """A second cluster."""
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


async def test_two_clusters_are_shown_before_any_traffic(server: ApiServer, other: ApiServer, tmp_path: Path) -> None:
    front = {**deployment("front"), "status": {"availableReplicas": 1}}
    for item in (namespace(), front, pod("front"), service("front"), virtual_service("front")):
        server.put(item)
    other.put(deployment("ledger", namespace="bank", replicas=0))
    other.put(pod("batch", namespace="bank", sidecar=False))
    other.forbidden = {"virtualservices"}
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", prod=server.url, kind=other.url)
    async with up(tmp_path / "data", kubeconfig, "--context", "prod", "--context", "west=kind") as meshscope:
        [front] = await meshscope.workloads("prod", "front-v1")
        assert (front["namespace"], front["app"], front["version"], front["replicas"]) == ("shop", "front", "v1", 1)
        assert front["badges"] == ["virtual-service", "request-routing", "traffic-shifting"]
        await meshscope.workloads("west", "ledger-v1", "batch-v1")
        cluster_answers.Clusters.model_validate(await meshscope.get("clusters"))
        known = cluster_answers.Inventory.model_validate(await meshscope.get("clusters/prod/inventory"))
        assert [(one.name, [behind.workload for behind in one.workloads]) for one in known.services] == [
            ("front", ["front-v1"])
        ]

        route = (await meshscope.get("clusters/prod/config", kind="virtualservice"))["items"]
        assert [one["spec"]["hosts"] for one in route] == [["front"]]

        graph = await meshscope.get("graph", type="workload")
        health = {(one["cluster"], one["label"]): one["health"] for one in graph["nodes"]}
        assert health.keys() >= {("prod", "front-v1"), ("west", "ledger-v1"), ("west", "batch-v1")}
        assert health["prod", "front-v1"] == "healthy"

        told = {one["name"]: one for one in (await meshscope.get("signals"))["items"]}
        assert told["cluster prod"]["ok"]
        assert "may not be read: virtualservices" in told["cluster west"]["text"]
        role, binding = yaml.safe_load_all(told["cluster west"]["advice"][0]["paste"])
        assert {"apiGroups": ["networking.istio.io"], "resources": ISTIO_READ, "verbs": READ} in role["rules"]
        assert binding["subjects"] == [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "reader"}]

        server.remove("deployments", "shop", "front-v1")
        server.put(deployment("basket"))
        server.remove("pods", "shop", "front-v1-5d8f9c-0")
        await meshscope.workloads("prod", "basket-v1")
    assert TOKEN not in (tmp_path / "log").read_text()


@pytest.fixture
async def page() -> AsyncIterator[int]:
    """The port of a sidecar's page of metrics, on which front's calls of catalog go on."""
    calls = count(10, 10)

    async def metrics(_request: web.Request) -> web.Response:
        labels = ",".join(f'{name}="{value}"' for name, value in CALL.items())
        return web.Response(
            text=f"# TYPE istio_requests_total counter\nistio_requests_total{{{labels}}} {next(calls)}\n"
        )

    app = web.Application()
    app.router.add_get("/stats/prometheus", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_pods_metrics_are_read_without_a_prometheus(server: ApiServer, page: int, tmp_path: Path) -> None:
    said = {"prometheus.io/scrape": "true", "prometheus.io/port": str(page), "prometheus.io/path": "/stats/prometheus"}
    front = pod("front", sidecar=False)
    front["metadata"]["annotations"] = said
    front["status"]["podIP"] = "127.0.0.1"
    for item in (front, pod("catalog", number=1), service("catalog")):
        server.put(item)
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", prod=server.url)
    settings = tmp_path / "meshscope.toml"
    settings.write_text(
        '[[clusters]]\nname = "prod"\ncontext = "prod"\n'
        '[[sources]]\ntype = "scrape"\nkubernetes = ["prod"]\ninterval_s = 0.5\n'
    )
    async with up(tmp_path / "data", kubeconfig, "--settings", str(settings)) as meshscope:
        graph = await meshscope.until(lambda graph: graph["edges"], "graph", type="workload")
        known = {node["id"]: node for node in graph["nodes"]}
        [edge] = graph["edges"]
        assert [known[end]["workload"] for end in (edge["source"], edge["target"])] == ["front-v1", "catalog-v1"]
        assert {node["cluster"] for node in known.values()} == {"prod"}
        assert len(known) == 2


def calls_of(pod_name: str, *hosts: str) -> dict[str, Any]:
    """Spans of an application in the cluster that calls by address, and of nobody whom it calls."""

    def attributes(**values: str) -> list[dict[str, Any]]:
        return [{"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in values.items()]

    now_ns = time.time_ns()
    spans = [
        {
            "traceId": uuid4().hex,
            "spanId": uuid4().hex[:16],
            "name": "GET",
            "kind": 3,
            "startTimeUnixNano": str(now_ns),
            "endTimeUnixNano": str(now_ns + 1_000_000),
            "attributes": attributes(server__address=host, server__port="8080", http__response__status_code="200"),
        }
        for host in hosts
    ]
    said = attributes(
        service__name="front",
        k8s__cluster__name="prod",
        k8s__namespace__name="shop",
        k8s__deployment__name="front-v1",
        k8s__pod__name=pod_name,
    )
    return {"resourceSpans": [{"resource": {"attributes": said}, "scopeSpans": [{"spans": spans}]}]}


async def test_calls_to_addresses_lead_to_who_answers_there(server: ApiServer, tmp_path: Path) -> None:
    front, catalog, stock = (pod(name, number=number) for number, name in enumerate(("front", "catalog", "stock")))
    at_catalog, *by_hand = service("catalog"), service("legacy"), service("machine")
    at_catalog["spec"]["clusterIP"] = "10.96.0.1"
    for one in by_hand:
        del one["spec"]["selector"]
    slices = [
        endpoint_slice("catalog"),
        endpoint_slice("legacy", ("10.0.0.12", True)),
        endpoint_slice("machine", ("203.0.113.9", True), ("203.0.113.10", False)),
    ]
    for item in (front, catalog, stock, at_catalog, *by_hand, *slices):
        server.put(item)
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", prod=server.url)
    async with up(tmp_path / "data", kubeconfig, "--context", "prod=prod") as meshscope:
        await meshscope.workloads("prod", "front-v1", "catalog-v1", "stock-v1")
        services = (await meshscope.get("clusters/prod/inventory"))["services"]
        assert [(one["name"], one["ready"], one["endpoints"], one["badges"]) for one in services] == [
            ("catalog", 0, 0, ["no-endpoints"]),
            ("legacy", 1, 1, []),
            ("machine", 1, 2, []),
        ]
        assert [behind["workload"] for behind in services[1]["workloads"]] == ["stock-v1"]

        await meshscope.send(calls_of(front["metadata"]["name"], "10.0.0.11", "10.96.0.1", "10.0.0.12", "203.0.113.9"))
        graph = await meshscope.until(lambda graph: len(graph["edges"]) == 3, "graph", type="workload", window="5m")
        known = {node["id"]: node["workload"] or node["service"] for node in graph["nodes"]}
        assert {(known[edge["source"]], known[edge["target"]]) for edge in graph["edges"]} == {
            ("front-v1", "catalog-v1"),
            ("front-v1", "stock-v1"),
            ("front-v1", "machine"),
        }


def test_a_context_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", prod="http://127.0.0.1:1", kind="http://127.0.0.1:1")
    settings = tmp_path / "meshscope.toml"
    settings.write_text(f'[[clusters]]\ncontext = "prd"\nkubeconfig = "{kubeconfig}"\n')
    done = CliRunner().invoke(main, [*UP[2:], "--data", str(tmp_path / "data"), "--settings", str(settings)])
    assert done.exit_code == 1
    assert f"{kubeconfig} has no context 'prd'; it has kind, prod" in done.stderr
