"""Requests of real Envoys in the tap: by their output, by OpenTelemetry, by Envoy's own log service."""

import asyncio
import json
import tempfile
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import grpc
import pytest
import pytest_asyncio
from plain_envoy import address, cluster, listener, to
from xds_mesh import PATIENCE_S, Mesh, free_echo_server, mesh_config, until

from collectors.als.receiver import METHOD, AlsReceiver
from collectors.als.sources import AccessLogs
from collectors.als.tap import Tap, TapQuery
from collectors.inventory import inventory_of, workload_ref, workloads_of
from collectors.logs.sqlite import SqliteLogs
from collectors.logs.tail import Tail
from collectors.otlp.ingest import Ingest
from collectors.otlp.logs import Logs
from collectors.otlp.receiver import OtlpReceiver
from collectors.peers import Peers
from console.clock import SystemClock
from console.tapping.switch import TapSwitch
from console.web.api.tap import MANIFEST
from graph.ports import LogQuery, LogSource
from mesh_runtime.sidecar.binary import envoy_path
from mesh_runtime.sidecar.child import Child
from mesh_runtime.xds.protos import any_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Nobody:
    def observe(self, batch):
        pass


class Tapped:
    """A tap with every way in, for the mesh of a test."""

    def __init__(self, mesh, store):
        self.mesh, self.store = mesh, store
        self.tap = Tap()
        self.access = AccessLogs(self.tap, self.peers)
        self.folder = Path(tempfile.mkdtemp(dir=mesh.dir))
        self.tail = Tail(self.folder, store, SystemClock(), who=self.who, also=self.access.lines)
        spans = Ingest(Nobody(), SystemClock())
        self.logs = Logs(store, SystemClock(), tap=self.access)
        self.otlp = OtlpReceiver(spans, "127.0.0.1:0", "127.0.0.1:0", [self.logs])
        self.als = AlsReceiver(self.access, "127.0.0.1:0")

    def peers(self):
        state = self.mesh.registry.current
        services = [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"selector": {"app": name}},
            }
            for name in ("catalog", "frontend", "db")
        ]
        return Peers(inventory_of(services, workloads_of(state)), state)

    def who(self, instance):
        known = self.mesh.registry.current.instances.get(instance)
        return workload_ref(known) if known else None

    def link(self, name):
        """Give a proxy's output the name that an agent would give it."""
        instance = self.mesh.workloads[name].grant.id.replace("/", ".")
        link = self.folder / f"{instance}.proxy.log"
        if not link.exists():
            link.symlink_to(self.mesh.dir / f"{name}.log")

    async def seen(self, **query):
        """Wait for the first request that matches."""
        found = []

        async def there():
            self.tail.once()
            found[:] = self.tap.recent(TapQuery(**query), 10)
            return found

        await until(there)
        return found[-1]


@asynccontextmanager
async def running(*services):
    async with asyncio.TaskGroup() as group:
        tasks = []
        for service in services:
            ready = asyncio.Event()
            tasks.append(group.create_task(service.run(ready.set)))
            await ready.wait()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def tapped(tmp_path_factory):
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog", "v1")
        async with SqliteLogs(tmp_path_factory.mktemp("logs"), SystemClock(), capacity_bytes=10_000_000) as store:
            it = Tapped(mesh, store)
            async with running(it.otlp, it.als):
                yield it


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def plain(tapped):
    """Forget what the test before did."""
    yield
    await tapped.mesh.forget("Telemetry", "ConfigMap", "EnvoyFilter")


async def ask(it, path, **options):
    """Send a request on a connection of its own: one from before a change would still be served as before it."""
    frontend = it.mesh.workloads["frontend"]
    return await it.mesh.get(frontend, f"catalog/{path}", headers={"connection": "close"}, **options)


def ends(request):
    return (
        request.source and request.source.workload,
        request.service and request.service.name,
        request.target and request.target.workload,
    )


async def test_the_telemetry_that_the_tap_advises_brings_each_request_with_both_its_ends(tapped):
    tapped.link("frontend")
    await tapped.mesh.apply(MANIFEST.format(namespace="shop"))
    await tapped.mesh.drained()
    tapped.mesh.workloads["catalog-v1"].fail[503] = 1
    await ask(tapped, "tapped?a=b", method="POST", data="twelve bytes")
    request = await tapped.seen(path="/tapped")
    assert ends(request) == ("frontend", "catalog", "catalog-v1")
    assert (request.method, request.path, request.code, request.received) == ("POST", "/tapped?a=b", "503", 12)
    assert request.failed
    assert request.reporter == "source"
    [line] = (await tapped.store.search(LogQuery(text="/tapped", sources=frozenset({LogSource.ACCESS})))).lines
    assert (line.workload.workload, line.level) == ("frontend", "error")


async def configured(mesh, wanted):
    """Wait until there is a Telemetry, or none, and every proxy has heard of it."""
    async with asyncio.timeout(PATIENCE_S):
        async for config in mesh.store.watch():
            if any(config.of("Telemetry")) == wanted:
                break
    await mesh.control.settled(mesh.store.current.revision, PATIENCE_S)
    await mesh.drained()


async def test_proxies_tell_with_the_trace_while_somebody_watches_and_then_no_more(tapped):
    mesh = tapped.mesh
    tapped.link("frontend")
    switch = TapSwitch(mesh.store, mesh.registry, SystemClock(), peers=tapped.peers, linger_ms=0)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with running(switch):
        with switch.watching(TapQuery(source="frontend", target="catalog")):
            await configured(mesh, True)
            frontend = mesh.workloads["frontend"]
            headers = {"connection": "close", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
            await mesh.get(frontend, "catalog/traced", headers=headers)
            request = await tapped.seen(path="/traced")
            assert (ends(request), request.trace_id) == (("frontend", "catalog", "catalog-v1"), trace)
        await configured(mesh, False)
    seen = tapped.tap.state.requests
    await ask(tapped, "unwatched")
    tapped.tail.once()
    assert tapped.tap.state.requests == seen


async def test_a_proxys_access_logs_by_opentelemetry_are_tapped(tapped):
    labels = {
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(:PATH)%",
        "response_code": "%RESPONSE_CODE%",
        "response_flags": "%RESPONSE_FLAGS%",
        "duration": "%DURATION%",
        "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
        "upstream_host": "%UPSTREAM_HOST%",
        "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
        "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    provider = {"service": "127.0.0.1", "port": tapped.otlp.grpc_port, "logFormat": {"text": "", "labels": labels}}
    mesh = {
        "extensionProviders": [{"name": "tap", "envoyOtelAls": provider}],
        "defaultProviders": {"accessLogging": ["tap"]},
    }
    await tapped.mesh.apply(mesh_config(json.dumps(mesh)))
    await tapped.mesh.drained()
    await ask(tapped, "by-otlp")
    request = await tapped.seen(path="/by-otlp", source="frontend")
    assert ends(request) == ("frontend", "catalog", "catalog-v1")
    assert (request.method, request.code, request.failed) == ("GET", "200", False)

    async def both_have_told():
        return tapped.logs.state.access_records >= 2

    await until(both_have_told)
    both = tapped.tap.recent(TapQuery(path="/by-otlp"), 10)
    assert len(both) == 1, "what both proxies log is one request"


async def test_a_connection_is_tapped_when_it_ends(tapped):
    await tapped.mesh.workload("db", protocol="tcp", app=free_echo_server)
    tapped.link("frontend")
    await tapped.mesh.apply(MANIFEST.format(namespace="shop"))
    await tapped.mesh.drained()
    caller = tapped.mesh.workloads["frontend"]
    again = replace(caller.registration, id=caller.grant.id, token=caller.grant.token)
    reader, writer = await asyncio.open_connection(*(await tapped.mesh.control.register(again)).tcp_services["db"])
    writer.write(b"seven!!")
    await reader.readexactly(7)
    writer.close()
    request = await tapped.seen(target="db")
    assert ends(request) == ("frontend", "db", "db")
    assert (request.protocol, request.received, request.sent) == ("tcp", 7, 7)


def bootstrap(als_port, upstream_port):
    """Any Envoy with a gRPC access logger, as Istio's envoyHttpAls configures it."""
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {options: any_of(options, explicit_http_config={"http2_protocol_options": {}})}
    logger = any_of(
        "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        common_config={
            "log_name": "tap",
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": "als"}},
            "buffer_flush_interval": "0.1s",
        },
    )
    name = "outbound|80||catalog.shop.svc.cluster.local"
    refused = {"match": {"path": "/refused"}, "direct_response": {"status": 503}}
    labels = {"app": "web", "version": "v3"}
    return {
        "node": {
            "id": "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local",
            "cluster": "web.shop",
            "metadata": {"NAMESPACE": "shop", "WORKLOAD_NAME": "web-v3", "CLUSTER_ID": "east", "LABELS": labels},
        },
        "admin": {"address": address(0)},
        "static_resources": {
            "listeners": [listener(0, refused, to(name), access_log=[{"name": "als", "typed_config": logger}])],
            "clusters": [
                cluster("als", als_port, typed_extension_protocol_options=http2),
                cluster(name, upstream_port),
            ],
        },
    }


@asynccontextmanager
async def envoy(folder, config):
    """Start an Envoy by itself; yields its listener's port."""
    path, told = folder / "als.json", folder / "als.admin"
    path.write_text(json.dumps(config))
    child = await Child.start(
        [envoy_path(), "-c", path, "--disable-hot-restart", "--concurrency", "1", "--admin-address-path", told],
        output=folder / "als.log",
    )
    try:

        async def there():
            return told.exists() and told.read_text()

        await until(there)
        url = f"http://{told.read_text()}/listeners?format=json"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            listeners = await answer.json(content_type=None)
        yield listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"]
    finally:
        await child.kill()


async def test_any_envoys_grpc_log_service_is_tapped_with_who_it_is(tapped):
    upstream = await tapped.mesh.application("upstream")
    async with envoy(tapped.folder, bootstrap(tapped.als.port, upstream)) as port:
        await tapped.mesh.send(f"http://127.0.0.1:{port}/by-als", "catalog.shop", headers={"user-agent": "visitor"})
        await tapped.mesh.send(f"http://127.0.0.1:{port}/refused", "catalog.shop")
        request = await tapped.seen(path="/by-als")
        refused = await tapped.seen(path="/refused", errors_only=True)
    assert request.source._asdict() == {
        "cluster": "east",
        "namespace": "shop",
        "workload": "web-v3",
        "app": "web",
        "version": "v3",
    }
    assert request.service.name == "catalog"
    assert (request.method, request.code, request.authority) == ("GET", "200", "catalog.shop")
    assert request.user_agent == "visitor"
    assert 0 < request.duration_ms < 1000 * PATIENCE_S
    assert refused.code == "503"


async def test_bytes_that_are_no_access_logs_are_refused_and_counted(tapped):
    before = tapped.tap.state.drops["unreadable"]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{tapped.als.port}") as channel:
        call = channel.stream_unary(METHOD)(iter([b"\x0a\xff\xff\xff"]), timeout=PATIENCE_S)
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        call = channel.stream_unary(METHOD)(iter([b"\x12\x04\x0a\x02\x0a\xff"]), timeout=PATIENCE_S)
        assert await call.code() is grpc.StatusCode.OK
    assert tapped.tap.state.drops["unreadable"] == before + 2
