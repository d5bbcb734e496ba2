"""What a change costs: with real Envoys, with a thousand simulated proxies, and as the mesh grows."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

from mesh_runtime.api import load
from mesh_runtime.api.objects import Config
from mesh_runtime.identity.authority import Authority
from mesh_runtime.identity.enrolment import instance_of
from mesh_runtime.registration import Registration
from mesh_runtime.registry import Instance, RegistryState, Role
from mesh_runtime.store.port import Change
from mesh_runtime.xds import protos
from mesh_runtime.xds.publisher import Publisher
from mesh_runtime.xds.snapshot import Kind
from mesh_runtime.xds.stream import DeltaStream
from mesh_runtime.xds.translate import MeshSettings
from mesh_runtime.xds.translate.routing.routes import OUTBOUND_ROUTES
from tests.bench.mesh_speed import SPLIT, push_ms
from tests.bench.timing import ratio
from tests.integration.xds.xds_mesh import NAMESPACE, Mesh, Workload

ENVOYS, SIMULATED, SERVICES = 50, 1000, 50
CHANGES, WARM_UP = 40, 5
SIZES = (10, 100, 1000)


async def push_envoys() -> AsyncIterator[str]:
    async with Mesh() as mesh:
        await _envoys(mesh, ENVOYS, SERVICES)
        yield _goal(f"one route changed: commit to the last ACK of {ENVOYS} Envoys", await _pushes(mesh), (60, 150))


async def push_simulated() -> AsyncIterator[str]:
    async with Mesh() as mesh, _clients(mesh, SIMULATED, SERVICES, processes=2):
        took = await _pushes(mesh)
        yield _goal(f"one route changed: commit to the last ACK of {SIMULATED:,} simulated proxies", took, (250, None))
        pss, rss = _memory(os.getpid())
        yield f"the server process with them: PSS {pss:,.0f} MB, RSS {rss:,.0f} MB (goal 250 MB)"


async def sidecar_memory() -> AsyncIterator[str]:
    async with Mesh() as mesh:
        await _envoys(mesh, 10, SERVICES)
        await _pushes(mesh)
        found = [_memory(child.pid)[0] for child in mesh.envoys.values()]
        yield f"PSS of a sidecar, median of {len(found)} with {SERVICES} services: {statistics.median(found):.1f} MB"


async def flat_cost() -> AsyncIterator[str]:
    async with (
        Mesh(_services(SIZES[0])) as small,
        Mesh(_services(SIZES[1])) as middle,
        Mesh(_services(SIZES[2])) as large,
        _clients(small, 4, 2, processes=1),
        _clients(middle, 4, 2, processes=1),
        _clients(large, 4, 2, processes=1),
    ):
        for what, change in (("route", _change_route), ("endpoint", _change_endpoint)):
            rounds = [[await _cost(mesh, change, n) for mesh in (small, middle, large)] for n in range(CHANGES)]
            for measured, unit in enumerate(("CPU", "wall")):
                base, *others = ([one[mesh][measured] for one in rounds[WARM_UP:]] for mesh in range(len(SIZES)))
                for size, found in zip(SIZES[1:], others, strict=True):
                    yield ratio(found, base).line(
                        f"one {what} changed at {size:,} services, {unit} to the last byte written", "ms", "at 10"
                    )


def new_proxy() -> Iterator[str]:
    objects = {item.key: item for item in load(_services(SIZES[-1]), default_namespace=NAMESPACE)}
    known = dict(_instance(number) for number in range(20))
    with tempfile.TemporaryDirectory() as folder:
        publisher = Publisher(Authority(Path(folder), lambda: time.time_ns() // 1_000_000), MeshSettings())
        revisions = count(1)

        def publish(added: dict[str, Instance]):
            registry = RegistryState(revision=next(revisions), instances={**known, **added})
            return publisher.snapshots(Config(revision=1, objects=objects), registry)

        cold = _timed(lambda: publish({}))
        warm = [_timed(lambda number=number: _first(publish, number)) for number in range(100, 100 + CHANGES)]
    yield (
        f"one more proxy at {SIZES[-1]:,} services, snapshot and first answers: p50 {statistics.median(warm):.1f} ms "
        f"(goal 50 ms, {statistics.median(warm) / 50:.2f} of it); the first {len(known)} from nothing {cold:,.0f} ms"
    )


def _instance(number: int) -> tuple[str, Instance]:
    registration = Registration(role=Role.SIDECAR, namespace=NAMESPACE, service=f"s{number}", version="v1", port=9)
    one = instance_of(registration, key=f"{NAMESPACE}/s{number}-v1~0", address=f"127.99.0.{number + 1}")
    return one.id, one


def _first(publish: Callable, number: int) -> int:
    key, one = _instance(number)
    return _full(publish({key: one})[one.node_id])


def _full(snapshot) -> int:
    """Play a new proxy up to its routes; return how many bytes it was sent."""
    stream, sent = DeltaStream("new"), 0
    routes = {kind: [OUTBOUND_ROUTES] for kind in (Kind.RDS, Kind.VHDS)}
    asked = {Kind.CDS: [], Kind.LDS: [], Kind.EDS: list(snapshot.resources[Kind.EDS]), **routes}
    for kind, names in asked.items():
        request = {"type_url": kind.type_url, "resource_names_subscribe": names}
        stream.receive(protos.message(protos.DELTA_REQUEST, request), 0)
        sent += sum(map(len, stream.due(snapshot, 10_000)))
    return sent


async def _envoys(mesh: Mesh, count: int, services: int) -> None:
    async def no_application(_: Mesh) -> int:
        return 9

    await mesh.apply(_services(services))
    for start in range(0, count, 10):
        async with asyncio.TaskGroup() as group:
            for number in range(start, min(start + 10, count)):
                # Two of them answer for the service whose routes change.
                name = f"s{max(0, number - 1)}"
                group.create_task(mesh.workload(name, f"v{1 + number % 2}", app=no_application))


@asynccontextmanager
async def _clients(mesh: Mesh, count: int, services: int, *, processes: int) -> AsyncIterator[None]:
    lines = []
    for number in range(count):
        options = {"service": f"s{number % services}", "version": f"v{1 + number // services % 2}"}
        registration = Registration(role=Role.SIDECAR, namespace=NAMESPACE, port=9, **options)
        grant = await mesh.control.register(registration)
        mesh.workloads[f"simulated-{number}"] = Workload(grant, registration)
        lines.append(f"{grant.node_id} {grant.token}\n")
    started = [await _client_process(mesh, lines[number::processes]) for number in range(processes)]
    try:
        for process in started:
            assert await process.stdout.readline() == b"complete\n"
        yield
    finally:
        for process in started:
            process.stdin.close()
            await process.wait()


async def _client_process(mesh: Mesh, lines: list[str]) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "tests.bench.delta_clients", mesh.dir / "xds.sock"]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(("".join(lines) + "\n").encode())
    await process.stdin.drain()
    return process


async def _pushes(mesh: Mesh) -> list[float]:
    gc.collect()
    took = []
    for number in range(CHANGES):
        took.append(await push_ms(mesh, number))
        await asyncio.sleep(0.05)
    return took[WARM_UP:]


async def _cost(mesh: Mesh, change: Callable, number: int) -> tuple[float, float]:
    """Return the milliseconds of CPU and of wall time from a change until all of it is written."""
    cpu, wall = time.process_time(), time.perf_counter()
    wanted = await change(mesh, number)
    while not mesh.control.delivery.is_served(*wanted):
        await mesh.control.server.progress()
    await mesh.control.server.written(1)
    cost = (time.process_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000
    await mesh.control.settled(wanted[0], 5)
    return cost


async def _change_route(mesh: Mesh, number: int) -> tuple[int, int]:
    objects = tuple(load(SPLIT % (number + 1, 99 - number), default_namespace=NAMESPACE))
    return (await mesh.store.commit(Change(put=objects))).number, 0


async def _change_endpoint(mesh: Mesh, _: int) -> tuple[int, int]:
    one = mesh.registry.current.instances[mesh.workloads["simulated-0"].grant.id]
    mesh.registry.put(replace(one, draining=not one.draining))
    return 0, mesh.registry.current.revision


def _services(count: int) -> str:
    return "---\n".join(
        f"{{apiVersion: v1, kind: Service, metadata: {{name: s{number}, namespace: {NAMESPACE}}}, "
        f"spec: {{selector: {{app: s{number}}}, ports: [{{name: http, port: 80, targetPort: 9}}]}}}}\n"
        for number in range(count)
    )


def _goal(title: str, took: list[float], goals: tuple[float, float | None]) -> str:
    p50, p99 = statistics.median(took), statistics.quantiles(took, n=100, method="inclusive")[98]
    wanted = " / ".join(f"{goal}" for goal in goals if goal)
    return f"{title}: p50 {p50:.0f} ms, p99 {p99:.0f} ms of {len(took)} (goal {wanted} ms), p50 is {p50 / goals[0]:.2f} of the goal"


def _memory(pid: int) -> tuple[float, float]:
    """Return a process's PSS and RSS in MB."""
    lines = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return tuple(int(lines[name].split()[0]) * 1024 / 1e6 for name in ("Pss", "Rss"))


def _timed(work: Callable) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000
