"""The agent and the real control plane: programs behind proxies reach each other, and only so."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from console.clock import SystemClock
from mesh_runtime import api
from mesh_runtime.addresses import AddressPlan
from mesh_runtime.agent import wire
from mesh_runtime.agent.agent import Agent
from mesh_runtime.agent.client import AgentClient
from mesh_runtime.agent.member import Member
from mesh_runtime.api.admission import admit
from mesh_runtime.control import ControlPlane
from mesh_runtime.identity.authority import Authority
from mesh_runtime.registration import Registration
from mesh_runtime.registry import Registry, Role
from mesh_runtime.store.port import Change
from mesh_runtime.store.sqlite import SqliteConfig

STRICT_WITH_GATEWAY = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress, namespace: shop}
spec:
  selector: {app: ingress}
  servers: [{port: {number: 18080, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: frontend, namespace: shop}
spec:
  hosts: ["*"]
  gateways: [ingress]
  http:
  - route: [{destination: {host: frontend}}]
    headers: {response: {set: {x-started: "%ENVIRONMENT(TEAM)% %ENVIRONMENT(FROM)%"}}}
"""


@asynccontextmanager
async def server(directory):
    """The control plane of a data directory, behind the agents' protocol; leaving the block is its death."""
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(SqliteConfig(directory / "config.db", admit=admit))
        registry = stack.enter_context(contextlib.closing(Registry(directory / "registry.db", clock.now_ms)))
        plan = stack.enter_context(contextlib.closing(AddressPlan(directory, clock.now_ms)))
        authority = Authority(directory / "ca", clock.now_ms)
        control = ControlPlane(store, registry, authority, addresses=plan, run_dir=directory, clock=clock)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        ready = asyncio.Event()
        serving = group.create_task(control.run(ready.set))
        stack.callback(serving.cancel)
        await ready.wait()
        await stack.enter_async_context(agents_api(control, directory / "s.sock"))
        control.store, control.registry = store, registry
        yield control


@asynccontextmanager
async def agents_api(control, path):
    async def register(request):
        registration = wire.decode(Registration, await request.read())
        return web.Response(body=wire.encode(await control.register(registration)))

    async def heartbeat(request):
        ids = wire.decode(wire.Heartbeat, await request.read()).ids
        return web.Response(body=wire.encode(wire.Unknown(unknown=tuple(await control.heartbeat(ids)))))

    async def drain(request):
        await control.drain(wire.decode(wire.Named, await request.read()).id)
        return web.Response(status=204)

    async def remove(request):
        await control.deregister(wire.decode(wire.Named, await request.read()).id)
        return web.Response(status=204)

    application = web.Application()
    for route, handler in ((wire.REGISTER, register), (wire.HEARTBEAT, heartbeat), (wire.DRAIN, drain)):
        application.router.add_post(route, handler)
    application.router.add_post(wire.REMOVE, remove)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    try:
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def agent_of(directory, members, run_dir="r1"):
    sockets = directory / run_dir
    sockets.mkdir()
    async with AgentClient(directory / "s.sock") as client, asyncio.TaskGroup() as group:
        agent = Agent(client, members, run_dir=sockets, logs=directory / "logs", drain_s=1, heartbeat_s=0.3)
        ready = asyncio.Event()
        task = group.create_task(agent.run(ready.set))
        try:
            await ready.wait()
            yield agent
        finally:
            agent.stop()
            await task


async def until(condition):
    while not condition():  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.05)


class Shop:
    """A gateway, a frontend and a catalog in a running mesh."""

    def __init__(self, agent, session):
        self.agent = agent
        self.session = session
        self.gateway = f"http://{agent.addresses['shop/ingress~0']}:18080"

    async def get(self, path):
        async with self.session.get(self.gateway + path) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
def members(make_member):
    ingress = Registration(role=Role.GATEWAY, namespace="shop", service="ingress", labels={"app": "ingress"})
    return [Member(registration=ingress), make_member("frontend"), make_member("catalog", version="v1")]


@pytest.fixture
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("m")


@asynccontextmanager
async def opened(directory, control, members):
    objects = api.load(STRICT_WITH_GATEWAY)
    await control.store.commit(Change(put=tuple(o for o in objects if o.key.kind != "VirtualService")))
    async with agent_of(directory, members) as agent, aiohttp.ClientSession() as session:
        await control.store.commit(Change(put=objects))
        shop = Shop(agent, session)
        async with asyncio.timeout(60):
            while (await shop.get("/"))[0] != 200:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.05)
        yield shop


async def test_a_request_passes_the_gateway_and_two_sidecars_by_name_alone(directory, members):
    async with server(directory) as control, opened(directory, control, members) as shop:
        status, answer = await shop.get("/go?url=http://catalog/beans")
        assert (status, answer["service"], answer["version"], answer["path"]) == (200, "catalog", "v1", "/beans")
        await until(lambda: all(proxy.in_sync for proxy in control.status()))


async def test_a_strict_port_refuses_plaintext(directory, members):
    async with server(directory) as control, opened(directory, control, members) as shop:
        address = shop.agent.addresses["shop/catalog-v1~0"]
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://{address}:15006/", timeout=aiohttp.ClientTimeout(total=60))


async def test_no_request_fails_while_the_server_dies_and_comes_back(directory, members):
    async with contextlib.AsyncExitStack() as later:
        async with server(directory) as control:
            shop = await later.enter_async_context(opened(directory, control, members))
        answers = [await shop.get("/go?url=http://catalog/") for _ in range(20)]
        async with server(directory) as control:
            assert set(shop.agent.addresses) == set(control.registry.current.instances)
            answers += [await shop.get("/go?url=http://catalog/") for _ in range(20)]
            await until(lambda: all(proxy.in_sync for proxy in control.status()))
            answers += [await shop.get("/go?url=http://catalog/") for _ in range(20)]
            assert {status for status, _ in answers} == {200}
            await later.aclose()


async def test_no_request_fails_while_one_of_two_replicas_is_drained(directory, members, make_member):
    async with server(directory) as control, opened(directory, control, members) as shop:
        stop = asyncio.Event()
        answers = []

        async def ask():
            while not stop.is_set():
                answers.append(await shop.get("/go?url=http://catalog/"))

        second = agent_of(directory, [make_member("catalog", version="v1")], run_dir="r2")
        async with second as leaving, asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ask())
            names = set(leaving.addresses)
            await until(lambda: any(answer["instance"] in names for _, answer in answers))
            leaving.stop()
            await until(lambda: not names & set(control.registry.current.instances))
            stop.set()
        assert {status for status, _ in answers} == {200}


PROXIES = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'defaultConfig: {concurrency: 1, proxyMetadata: {TEAM: nobody, FROM: mesh}}'}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: default, namespace: shop}
spec: {concurrency: 2, environmentVariables: {TEAM: shop}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: catalog, namespace: shop}
spec: {selector: {matchLabels: {app: catalog}}, concurrency: 3}
"""


async def test_proxies_are_started_with_the_threads_and_variables_that_proxy_configs_say(directory, members):
    async with server(directory) as control:
        await control.store.commit(Change(put=api.load(PROXIES)))
        async with opened(directory, control, members) as shop:
            instances = control.registry.current.instances
            frontend, catalog = (instances[f"shop/{name}~0"] for name in ("frontend", "catalog-v1"))
            assert [await threads(one) for one in (frontend, catalog)] == [2, 3]
            async with shop.session.get(shop.gateway + "/") as answer:
                assert answer.headers["x-started"] == "shop mesh"


async def threads(instance):
    connector = aiohttp.UnixConnector(instance.admin)
    async with aiohttp.ClientSession(connector=connector) as session, session.get("http://a/server_info") as answer:
        return (await answer.json())["command_line_options"]["concurrency"]
