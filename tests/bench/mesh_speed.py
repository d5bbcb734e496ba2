"""Push time to real Envoys, and the latency of the demo's config against a minimal pair configured by hand."""

from __future__ import annotations

import asyncio
import selectors
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from console.demo.manifests import text
from mesh_runtime.api import load
from mesh_runtime.sidecar.child import Child
from mesh_runtime.store.port import Change
from mesh_runtime.xds.snapshot import Kind
from tests.bench import minimal_pair
from tests.bench.timing import ratio
from tests.integration.xds.xds_mesh import NAMESPACE, Mesh, until

PROXIES, PUSHES = 20, 15
PAIRS, REQUESTS = 21, 300
CONNECTIONS, RATE_S = 8, 0.4
REQUEST = b"GET /bench HTTP/1.1\r\nhost: inventory.shop\r\n\r\n"
FLAT = Path(__file__).with_name("flat.py")
SPLIT = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: s0, namespace: shop}
spec: {host: s0, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: s0, namespace: shop}
spec:
  hosts: [s0]
  http:
  - route:
    - {destination: {host: s0, subset: v1}, weight: %d}
    - {destination: {host: s0, subset: v2}, weight: %d}
"""


async def push_report() -> AsyncIterator[str]:
    async with _mesh(1) as one, _mesh(PROXIES) as many:
        ours, theirs = [], []
        for number in range(PUSHES + 2):
            ours.append(await push_ms(many, number))
            theirs.append(await push_ms(one, number))
        yield ratio(ours[2:], theirs[2:]).line(
            f"one route changed: commit to the last ACK of {PROXIES} Envoys", "ms", "of one Envoy"
        )


async def latency_report() -> AsyncIterator[str]:
    async with _mesh(0, text()) as mesh:
        caller = await mesh.workload("frontend", app=_flat)
        # One instance, as behind the pair: two of them are two more processes, which cost a tenth on two cores.
        await mesh.workload("inventory", app=_flat)
        near, far = caller.address.rpartition(".")[0] + ".201", caller.address.rpartition(".")[0] + ".202"
        app = await _flat(mesh)
        for name, config in (
            ("peer-client", _client(mesh, near, far)),
            ("peer-server", _server(mesh, far, app)),
        ):
            mesh.envoys[name] = await mesh.envoy(name, config)
        await until(lambda: asyncio.to_thread(_listens, near, far), 15)
        for what, unit, goal, measure in (
            ("latency, p50", "µs", "at most 1.05", _median_us),
            (f"rate over {CONNECTIONS} connections", "requests/s", "at least 0.95", _rate),
        ):
            ours, theirs = await asyncio.to_thread(_interleaved, measure, caller.address, near)
            line = ratio(ours, theirs).line(
                f"mesh {what} of the demo's config", unit, "minimal Envoy pair, same mTLS and counters"
            )
            yield f"{line}, goal {goal}"


@asynccontextmanager
async def _mesh(proxies: int, manifests: str = "") -> AsyncIterator[Mesh]:
    async with Mesh(manifests) as mesh:
        yield await _filled(mesh, proxies)


async def _filled(mesh: Mesh, proxies: int) -> Mesh:
    for number in range(proxies):
        await mesh.workload(f"s{number // 2}", f"v{1 + number % 2}")
    if proxies == 1:
        await mesh.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    return mesh


async def push_ms(mesh: Mesh, number: int) -> float:
    """Change one route; return how long it took from the commit to the last ACK."""
    objects = tuple(load(SPLIT % (number + 1, 99 - number), default_namespace=NAMESPACE))
    started = time.perf_counter()
    await mesh.commit(Change(put=objects), settle=True)
    return (time.perf_counter() - started) * 1000


async def _flat(mesh: Mesh) -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    child = await Child.start([sys.executable, FLAT, str(port)])
    mesh.stack.push_async_callback(child.kill)
    await until(lambda: asyncio.to_thread(_answers, ("127.0.0.1", port)), 10)
    return port


def _client(mesh: Mesh, near: str, far: str) -> dict:
    logs = _logs(mesh, "frontend", "15001")
    return minimal_pair.client(
        mesh.authority, listen=(near, 15001), far=(far, 15006), admin=mesh.dir / "pc.admin", logs=logs
    )


def _server(mesh: Mesh, far: str, app: int) -> dict:
    logs = _logs(mesh, "inventory", "15006")
    return minimal_pair.server(
        mesh.authority, listen=(far, 15006), app=("127.0.0.1", app), admin=mesh.dir / "ps.admin", logs=logs
    )


def _logs(mesh: Mesh, name: str, port: str) -> list[dict]:
    """Return the counters of a sidecar's listener, for the pair to count the same."""
    workload = mesh.workloads[name]
    snapshot = mesh.control.server.snapshots[workload.grant.node_id]
    listener = snapshot.resources[Kind.LDS][f"{workload.address}_{port}"].content
    (manager, *_) = (one["typed_config"] for one in listener["filter_chains"][0]["filters"][-1:])
    return manager["access_log"]


def _listens(near: str, far: str) -> bool:
    return _answers((near, 15001)) and _answers((far, 15006))


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def _interleaved(measure: Callable[[str], float], mesh: str, pair: str) -> tuple[list[float], list[float]]:
    for warm in (mesh, pair):
        measure(warm)
    return tuple(zip(*((measure(mesh), measure(pair)) for _ in range(PAIRS)), strict=True))


def _median_us(address: str) -> float:
    took = []
    with _connected(address) as connection:
        for _ in range(REQUESTS):
            started = time.perf_counter_ns()
            connection.sendall(REQUEST)
            answer = connection.recv(65536)
            while not answer.endswith(b"ok"):
                answer += connection.recv(65536)
            took.append(time.perf_counter_ns() - started)
            assert answer.startswith(b"HTTP/1.1 200"), answer[:100]
    return statistics.median(took) / 1000


def _rate(address: str) -> float:
    """Keep one request under way on each of several connections."""
    answered = 0
    with ExitStack() as stack, selectors.DefaultSelector() as waiting:
        for _ in range(CONNECTIONS):
            connection = stack.enter_context(_connected(address))
            waiting.register(connection, selectors.EVENT_READ)
            connection.sendall(REQUEST)
        started = time.perf_counter()
        while (spent := time.perf_counter() - started) < RATE_S:
            for key, _ in waiting.select(1):
                if key.fileobj.recv(65536).endswith(b"ok"):
                    answered += 1
                    key.fileobj.sendall(REQUEST)
    return answered / spent


def _connected(address: str) -> socket.socket:
    connection = socket.create_connection((address, 15001), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
