"""Push time to real Envoys, and the latency of the demo's config against a minimal pair configured by hand."""

from __future__ import annotations

import asyncio
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from console.demo.manifests import text
from mesh_runtime.sidecar.child import Child
from tests.bench import minimal_pair
from tests.bench.timing import ratio
from tests.integration.xds.xds_mesh import Mesh, until

PROXIES, PUSHES = 20, 15
PAIRS, REQUESTS = 21, 300
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
            manifests = SPLIT % (number + 1, 99 - number)
            ours.append(await _push(many, manifests))
            theirs.append(await _push(one, manifests))
        yield ratio(ours[2:], theirs[2:]).line(
            f"one route changed: commit to the last ACK of {PROXIES} Envoys", "ms", "of one Envoy"
        )


async def latency_report() -> AsyncIterator[str]:
    async with _mesh(0, text()) as mesh:
        caller = await mesh.workload("frontend", app=_flat)
        for version in ("v1", "v2"):
            await mesh.workload("catalog", version, app=_flat)
        near, far = caller.address.rpartition(".")[0] + ".201", caller.address.rpartition(".")[0] + ".202"
        app = await _flat(mesh)
        for name, config in (
            ("peer-client", _client(mesh, near, far)),
            ("peer-server", _server(mesh, far, app)),
        ):
            mesh.envoys[name] = await mesh.envoy(name, config)
        await until(lambda: asyncio.to_thread(_listens, near, far), 15)
        ours, theirs = await asyncio.to_thread(_interleaved, caller.address, near)
        yield ratio(ours, theirs).line("mesh latency, p50 of the demo's config", "µs", "minimal Envoy pair with mTLS")


@asynccontextmanager
async def _mesh(proxies: int, manifests: str = "") -> AsyncIterator[Mesh]:
    mesh = Mesh()
    try:
        yield await _filled(await mesh.start(manifests), proxies)
    finally:
        await mesh.close()


async def _filled(mesh: Mesh, proxies: int) -> Mesh:
    for number in range(proxies):
        await mesh.workload(f"s{number // 2}", f"v{1 + number % 2}")
    if proxies == 1:
        await mesh.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    return mesh


async def _push(mesh: Mesh, manifests: str) -> float:
    started = time.perf_counter()
    await mesh.apply(manifests)
    return (time.perf_counter() - started) * 1000


async def _flat(mesh: Mesh) -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    child = await Child.start([sys.executable, FLAT, str(port)])
    mesh.stack.push_async_callback(child.kill)
    await until(lambda: asyncio.to_thread(_answers, ("127.0.0.1", port)), 10)
    return port


def _client(mesh: Mesh, near: str, far: str) -> dict:
    return minimal_pair.client(mesh.authority, listen=(near, 15001), far=(far, 15006), admin=mesh.dir / "pc.admin")


def _server(mesh: Mesh, far: str, app: int) -> dict:
    return minimal_pair.server(mesh.authority, listen=(far, 15006), app=("127.0.0.1", app), admin=mesh.dir / "ps.admin")


def _listens(near: str, far: str) -> bool:
    return _answers((near, 15001)) and _answers((far, 15006))


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def _interleaved(mesh: str, pair: str) -> tuple[list[float], list[float]]:
    with (
        socket.create_connection((mesh, 15001), timeout=10) as ours,
        socket.create_connection((pair, 15001), timeout=10) as theirs,
    ):
        for warm in (ours, theirs):
            _median_us(warm)
        return tuple(zip(*((_median_us(ours), _median_us(theirs)) for _ in range(PAIRS)), strict=True))


def _median_us(connection: socket.socket) -> float:
    request = b"GET /bench HTTP/1.1\r\nhost: catalog.shop\r\n\r\n"
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    took = []
    for _ in range(REQUESTS):
        started = time.perf_counter_ns()
        connection.sendall(request)
        answer = connection.recv(65536)
        while not answer.endswith(b"ok"):
            answer += connection.recv(65536)
        took.append(time.perf_counter_ns() - started)
        assert answer.startswith(b"HTTP/1.1 200"), answer[:100]
    return statistics.median(took) / 1000
