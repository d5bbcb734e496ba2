"""``meshscope up --context``: Kubernetes clusters beside the bundled mesh, before there is any traffic."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_server import TOKEN, ApiServer
from cluster_objects import deployment, namespace, pod, service, virtual_service
from cluster_rig import PATIENCE_S, write_kubeconfig

from console.web.api import cluster_answers

UP = ("-m", "console", "up", "--port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0", "--log-level", "debug")


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
                yield Server(json.loads(info)["url"] + "/api/v1/", session)
        finally:
            process.send_signal(signal.SIGINT)
            await process.wait()


class Server:
    """What its API says."""

    def __init__(self, api: str, session: aiohttp.ClientSession) -> None:
        self._api = api
        self._session = session

    async def get(self, path: str, **query: str) -> Any:
        """Ask."""
        async with self._session.get(self._api + path, params=query) as answer:
            return await answer.json()

    async def until(self, path: str, expected: set[str]) -> list[dict[str, Any]]:
        """Ask for items until they have these names."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self.get(path)
                items: list[dict[str, Any]] = answer.get("workloads") or answer.get("items") or []
                if {one.get("workload") or one["metadata"]["name"] for one in items} == expected:
                    return items
                await asyncio.sleep(0.05)


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
        [front] = await meshscope.until("clusters/prod/inventory", {"front-v1"})
        assert (front["namespace"], front["app"], front["version"], front["replicas"]) == ("shop", "front", "v1", 1)
        assert front["badges"] == ["virtual-service", "request-routing", "traffic-shifting"]
        await meshscope.until("clusters/west/inventory", {"ledger-v1", "batch-v1"})
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
        paste = told["cluster west"]["advice"][0]["paste"]
        assert paste == (
            '- {apiGroups: ["networking.istio.io"], resources: [virtualservices], verbs: [get, list, watch]}'
        )

        server.remove("deployments", "shop", "front-v1")
        server.put(deployment("basket"))
        server.remove("pods", "shop", "front-v1-5d8f9c-0")
        await meshscope.until("clusters/prod/inventory", {"basket-v1"})
    assert TOKEN not in (tmp_path / "log").read_text()


async def test_a_context_that_is_not_there_is_refused_at_the_start(server: ApiServer, tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", prod=server.url, kind=server.url)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *UP,
        *("--data", str(tmp_path / "data"), "--context", "prd"),
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"KUBECONFIG": str(kubeconfig)},
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert f"{kubeconfig} has no context 'prd'; it has kind, prod" in said.decode()
