"""A real mesh for tests: control plane, Envoys and echo applications in one loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import ssl
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import aiohttp
from aiohttp import web

from console.clock import SystemClock
from mesh_runtime.addresses import AddressPlan
from mesh_runtime.api import load
from mesh_runtime.control import ControlPlane
from mesh_runtime.identity.authority import Authority
from mesh_runtime.registration import Registration
from mesh_runtime.registry import Registry, Role
from mesh_runtime.sidecar.binary import envoy_path
from mesh_runtime.sidecar.bootstrap import bootstrap
from mesh_runtime.sidecar.child import Child
from mesh_runtime.store.port import Change
from mesh_runtime.store.sqlite import SqliteConfig

NAMESPACE = "shop"
PATIENCE_S = 60
"""Longer than anything takes on a slow machine, and less than a test may take."""
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress}
spec:
  selector: {istio: ingress}
  servers: [{port: {number: 9080, name: http, protocol: HTTP}, hosts: ["*"]}]
"""
TO_CATALOG = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com]
  gateways: [ingress]
  http: [{name: only, route: [{destination: {host: catalog}}]}]
"""
FRESH_CONNECTIONS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog}
spec:
  host: catalog
  # Connections that are open already keep the policies under which they were opened until they are drained.
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
"""


def together(*documents):
    """Join YAML documents."""
    return "\n---\n".join(documents)


def mesh_config(text):
    """MeshConfig, which is YAML, as the object that holds it."""
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n"
    return f"{head}data: {{mesh: {json.dumps(text)}}}\n"


async def telemetry(mesh, spec, name="default", namespace=NAMESPACE):
    """Have a Telemetry obeyed, also by the listeners of connections that are open."""
    head = f"apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
    await mesh.apply(f"{head}spec: {spec}\n")
    await mesh.drained()


@contextlib.contextmanager
def silent(*workloads):
    """Let the applications of these answer only when the block is over."""
    for one in workloads:
        one.may_answer.clear()
    try:
        yield
    finally:
        for one in workloads:
            one.may_answer.set()


async def at_once(send, count, workloads, waits_for):
    """Send requests that none of these workloads' applications answers before *waits_for*, of the tasks, is true."""
    async with asyncio.TaskGroup() as group:
        with silent(*workloads):
            asked = [group.create_task(send()) for _ in range(count)]

            async def are_there():
                return waits_for(asked)

            await until(are_there)
    return [one.result() for one in asked]


def are_answered(count):
    """Tell whether so many requests have their answers: from proxies, while the applications are silent."""
    return lambda asked: sum(one.done() for one in asked) >= count


async def until(happened, timeout_s=PATIENCE_S):
    """Wait until *happened*, an async function, says so."""
    async with asyncio.timeout(timeout_s):
        while True:
            if await happened():
                return
            await asyncio.sleep(0.02)


@dataclass
class Answer:
    status: int
    headers: dict
    text: str

    @property
    def app(self):
        return json.loads(self.text)["app"]

    @property
    def seen(self):
        """The request as the application saw it."""
        return json.loads(self.text)


@dataclass
class Workload:
    grant: object
    registration: Registration
    requests: list = field(default_factory=list)
    port: int = 0
    fail: Counter = field(default_factory=Counter)
    """Status to number of answers with it still to give."""
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    """Its application answers while this is set."""

    def __post_init__(self):
        self.may_answer.set()

    @property
    def address(self):
        return self.grant.address


class Mesh:
    """An async context manager. Start it once per module; everything it started ends with it."""

    def __init__(self, manifests="", **options):
        self.manifests, self.options = manifests, options
        # Socket paths must stay below 108 bytes: pytest's tmp_path may be longer.
        self.dir = Path(tempfile.mkdtemp(prefix="xds"))
        self.stack = AsyncExitStack()
        self.clock = SystemClock()
        self.workloads = {}
        self.envoys = {}
        self._services = None

    async def __aenter__(self):
        return await self.start()

    async def __aexit__(self, *_):
        await self.close()

    async def start(self):
        self.stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
        now = self.clock.now_ms
        self.store = await self.stack.enter_async_context(SqliteConfig(":memory:", clock_ms=now))
        self.registry = Registry(self.dir / "registry.db", now)
        self.stack.callback(self.registry.close)
        self.addresses = AddressPlan(self.dir, now)
        self.stack.callback(self.addresses.close)
        self.authority = Authority(self.dir / "ca", now)
        self.http = await self.stack.enter_async_context(
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
                connector=aiohttp.TCPConnector(limit=0),
                auto_decompress=False,
            )
        )
        if self.manifests:
            await self.apply(self.manifests, settle=False)
        await self.start_control(**self.options)
        return self

    async def start_control(self, **options):
        self.control = ControlPlane(
            self.store,
            self.registry,
            self.authority,
            addresses=self.addresses,
            run_dir=self.dir,
            clock=self.clock,
            **options,
        )
        ready = asyncio.Event()
        self._stop = asyncio.Event()
        self._running = asyncio.get_running_loop().create_task(self._run(ready))
        await ready.wait()

    async def stop_control(self):
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self, ready):
        async with asyncio.TaskGroup() as group:
            group.create_task(self.control.run(ready.set))
            group.create_task(self._heartbeat())

    async def _heartbeat(self):
        while True:
            await self.control.heartbeat([workload.grant.id for workload in self.workloads.values()])
            await asyncio.sleep(1)

    async def close(self):
        for child in self.envoys.values():
            await child.kill()
        await self.stop_control()
        await self.stack.aclose()

    async def apply(self, manifests, *, settle=True):
        objects = load(manifests, default_namespace=NAMESPACE)
        return await self.commit(Change(put=tuple(objects)), settle)

    async def delete(self, *keys, settle=True):
        return await self.commit(Change(delete=tuple(keys)), settle)

    async def forget(self, *kinds):
        """Delete all objects of these kinds."""
        if keys := [key for key in self.store.current.objects if key.kind in kinds]:
            await self.delete(*keys)

    async def drained(self):
        """Wait until no proxy serves a connection by a listener from before the last change."""

        async def are_gone():
            pages = [(await self.admin(one, "/stats?filter=draining")).text for one in self.workloads.values()]
            return all(line.endswith(": 0") for page in pages for line in page.splitlines())

        await until(are_gone)

    async def commit(self, change, settle):
        revision = await self.store.commit(change)
        if settle:
            settled = await self.control.settled(revision.number, PATIENCE_S)
            assert not settled.waiting, settled
            assert not settled.rejected, settled
            return settled
        return revision

    async def workload(self, service, version="", *, protocol="http", app=None, namespace=NAMESPACE, **options):
        """Start an echo application and its sidecar."""
        name = f"{service}-{version}" if version else service
        workload = Workload(None, None)
        if app is None:
            workload.port = await self._echo(name, workload)
        else:
            workload.port = await app(self)
        workload.registration = Registration(
            role=Role.SIDECAR,
            namespace=namespace,
            service=service,
            version=version,
            port=workload.port,
            protocol=protocol,
            admin=str(self.dir / f"{name}.{namespace}.admin"),
            epoch=self.clock.now_ms(),
            **options,
        )
        return await self.join(name if namespace == NAMESPACE else f"{name}.{namespace}", workload)

    async def gateway(self, name, ports=MappingProxyType({}), **labels):
        admin = str(self.dir / f"{name}.admin")
        registration = Registration(
            role=Role.GATEWAY, namespace=NAMESPACE, service=name, ports=ports, labels=labels, admin=admin
        )
        return await self.join(name, Workload(None, registration))

    async def join(self, name, workload):
        """Start a proxy; on return it is live, and all others know of it."""
        workload.grant = await self.control.register(workload.registration)
        self.workloads[name] = workload
        self.envoys[name] = await self.envoy(name, bootstrap(workload.grant, workload.registration))
        await self.live(workload)
        await self.control.settled(self.store.current.revision, PATIENCE_S)
        return workload

    async def envoy(self, name, config):
        path = self.dir / f"{name}.json"
        path.write_text(json.dumps(config))
        return await Child.start(
            [
                envoy_path(),
                *("-c", path),
                *("--concurrency", "1"),
                "--disable-hot-restart",
                "--reject-unknown-dynamic-fields",
                *("--log-level", "warning"),
                "--skip-deprecated-logs",
                *("--drain-time-s", "1"),
                *("--file-flush-interval-msec", "100"),
            ],
            output=self.dir / f"{name}.log",
        )

    async def live(self, workload):
        async def is_live():
            try:
                return (await self.admin(workload, "/ready")).status == 200
            except (aiohttp.ClientError, OSError):
                return False  # not listening yet

        await until(is_live)

    async def admin(self, workload, path):
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(workload.registration.admin)) as session,
            session.get(f"http://envoy{path}") as answer,
        ):
            return Answer(answer.status, dict(answer.headers), await answer.text())

    async def metrics(self, workload, name, **labels):
        """Sum Istio counters of a proxy that carry these labels."""
        page = (await self.admin(workload, "/stats/prometheus?filter=^istio")).text
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [line for line in page.splitlines() if line.startswith(f"envoy_{name}{{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(item in line for item in wanted))

    async def get(self, caller, url, *, method="GET", headers=None, data=None):
        """Send a request through a caller's sidecar, as its application would by proxy variable."""
        host, _, path = url.partition("/")
        return await self.send(f"http://{caller.address}:15001/{path}", host, method, headers, data)

    async def send(self, url, host, method="GET", headers=None, data=None):
        request = self.http.request(
            method, url, headers={**(headers or {}), "Host": host}, data=data, allow_redirects=False
        )
        async with request as answer:
            return Answer(
                answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.text()
            )

    async def share(self, caller, url, count=200, **options):
        """Send many requests, and count which application answered."""
        answers = [await self.get(caller, url, **options) for _ in range(count)]
        return Counter(answer.app if answer.status == 200 else answer.status for answer in answers)

    async def application(self, name):
        """Start an echo application without a sidecar; returns its port."""
        return await self._echo(name, Workload(None, None))

    async def _echo(self, name, workload):
        async def answer(request):
            headers = {key.lower(): value for key, value in request.headers.items()}
            seen = {"app": name, "method": request.method, "path": request.path_qs, "headers": headers}
            workload.requests.append(seen)
            await workload.may_answer.wait()
            for status, left in workload.fail.items():
                if left > 0:
                    workload.fail[status] -= 1
                    return web.Response(status=status)
            return web.json_response(seen, headers={"x-app": name})

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner.addresses[0][1]


async def free_echo_server(mesh):
    """A TCP application that sends back what it gets."""

    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)

    async def close():
        server.close()

    mesh.stack.push_async_callback(close)
    return server.sockets[0].getsockname()[1]


async def ended(writer):
    """Close a connection, however the other end takes it."""
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


async def listening(mesh, serve, **options):
    """Serve connections on a free port until the mesh ends; returns the port."""
    writers = set()

    async def handle(reader, writer):
        writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        await ended(writer)

    async def close():
        server.close()
        for writer in writers:
            await ended(writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
    mesh.stack.push_async_callback(close)
    return server.sockets[0].getsockname()[1]
