"""A server that knows only the agent's protocol, and an xDS that has nothing to say."""

import asyncio
import dataclasses
import itertools
import random
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from aiohttp import web
from free_ports import free_port

from mesh_runtime.agent import wire
from mesh_runtime.agent.agent import Agent
from mesh_runtime.agent.client import AgentClient
from mesh_runtime.agent.member import Member, Restart
from mesh_runtime.registration import Grant, Registration
from mesh_runtime.registry import Role

ECHO = (sys.executable, str(Path(__file__).parents[2] / "echo.py"))


def protobuf_string(number, text):
    return bytes([number << 3 | 2, len(text)]) + text


def type_of(request):
    """Find type_url, field 2 of DeltaDiscoveryRequest; field 1, the node, is skipped."""
    at = 0
    while at < len(request):
        number, at, length, shift = request[at] >> 3, at + 1, 0, 0
        while True:
            length |= (request[at] & 127) << shift
            at, shift, more = at + 1, shift + 7, request[at] & 128
            if not more:
                break
        if number == 2:
            return request[at : at + length]
        at += length
    raise AssertionError("a request without a type")


async def nothing_to_say(requests, _context):
    told = set()
    async for request in requests:
        kind = type_of(request)
        if kind not in told:
            told.add(kind)
            yield protobuf_string(4, kind) + protobuf_string(5, b"1")


class FakeServer:
    """Grants whatever is asked for, remembers what it was asked, and can die and come back."""

    def __init__(self, directory):
        self.socket = directory / "s.sock"
        self.xds = directory / "xds.sock"
        self.calls = []
        self.health = None
        self.instances = {}
        self.changed = asyncio.Condition()
        self._network = f"127.{random.randrange(128, 250)}.1."
        self._hosts = itertools.count(1)
        self._addresses = {}

    @asynccontextmanager
    async def up(self):
        application = web.Application()
        application.router.add_post(wire.REGISTER, self._register)
        application.router.add_post(wire.HEARTBEAT, self._heartbeat)
        application.router.add_post(wire.DRAIN, self._drain)
        application.router.add_post(wire.REMOVE, self._remove)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(self.socket)).start()
        ads = grpc.aio.server()
        method = grpc.stream_stream_rpc_method_handler(nothing_to_say)
        service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
        ads.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"DeltaAggregatedResources": method}),)
        )
        ads.add_insecure_port(f"unix:{self.xds}")
        await ads.start()
        try:
            yield self
        finally:
            await ads.stop(0)
            await runner.cleanup()

    async def until(self, condition, timeout_s=60):
        async with asyncio.timeout(timeout_s), self.changed:
            await self.changed.wait_for(condition)

    def forget_everything(self):
        self.instances.clear()

    async def _note(self, what, about):
        async with self.changed:
            self.calls.append((what, about))
            self.changed.notify_all()

    async def _register(self, request):
        asked = wire.decode(Registration, await request.read())
        workload = f"{asked.service}-{asked.version}" if asked.version else asked.service
        key = asked.id or f"{asked.namespace}/{workload}~{len(self._addresses)}"
        self._addresses.setdefault(key, f"{self._network}{next(self._hosts)}")
        self.instances[key] = asked
        await self._note("register", asked)
        grant = Grant(
            id=key,
            node_id=f"sidecar~{key}",
            workload=workload,
            address=self._addresses[key],
            token=asked.token or f"token of {key}",
            service_account=asked.service_account or asked.service,
            outbound_port=15001,
            xds_socket=str(self.xds),
            tcp_services={"db": (self._addresses[key], 6379)},
            health=self.health,
        )
        return web.Response(body=wire.encode(grant))

    async def _heartbeat(self, request):
        ids = wire.decode(wire.Heartbeat, await request.read()).ids
        await self._note("heartbeat", ids)
        return web.Response(body=wire.encode(wire.Unknown(unknown=tuple(set(ids) - set(self.instances)))))

    async def _drain(self, request):
        await self._note("drain", wire.decode(wire.Named, await request.read()).id)
        return web.json_response({})

    async def _remove(self, request):
        key = wire.decode(wire.Named, await request.read()).id
        self.instances.pop(key, None)
        await self._note("remove", key)
        return web.json_response({})


OF_A_MEMBER = {field.name for field in dataclasses.fields(Member)}


def echo_member(service="catalog", **changes):
    fields = {"role": Role.SIDECAR, "namespace": "shop", "service": service, "port": free_port()}
    member = {"command": ECHO, "logged": True, "restart": Restart.ALWAYS}
    for name, value in changes.items():
        (member if name in OF_A_MEMBER else fields)[name] = value
    return Member(registration=Registration(**fields), **member)


@pytest.fixture
def make_member():
    return echo_member


@pytest.fixture
def fake_server():
    return FakeServer


@pytest.fixture
async def server(tmp_path_factory):
    async with FakeServer(tmp_path_factory.mktemp("s")).up() as running:
        yield running


@pytest.fixture
def running(tmp_path):
    """Run an agent around a block; ``agent.code`` is its exit code afterwards."""

    @asynccontextmanager
    async def run(server, *members, ever_ready=True, **options):
        run_dir = tmp_path / "run"
        run_dir.mkdir(exist_ok=True)
        async with AgentClient(server.socket) as client, asyncio.TaskGroup() as group:
            agent = Agent(
                client,
                members,
                run_dir=run_dir,
                logs=tmp_path / "logs",
                otlp="http://127.0.0.1:4317",
                drain_s=1,
                **{"heartbeat_s": 0.2, **options},
            )
            ready = asyncio.Event()
            task = group.create_task(agent.run(ready.set))
            if ever_ready:
                async with asyncio.timeout(60):
                    await ready.wait()
            try:
                yield agent
            finally:
                agent.stop()
                agent.code = await task

    return run
