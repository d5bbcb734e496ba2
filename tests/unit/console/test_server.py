"""A whole server on free ports: its API, its guards, its live stream."""

import json
import re
from contextlib import asynccontextmanager

import aiohttp
import pytest
import pytest_asyncio
from catalog import CATALOG, VERSIONS
from fastapi.routing import iter_route_contexts

from console.datadir import DataDir, DataDirError
from console.engine import made
from console.services import serving
from console.settings import load
from graph.model import Counters, EdgeKey, Observation, Outcome, Protocol, Reporter, ServiceRef, WorkloadRef
from mesh_runtime.registry import Instance, Role

pytestmark = pytest.mark.asyncio(loop_scope="module")

VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog, namespace: shop}
spec:
  hosts: [catalog]
  http:
  - route:
    - {destination: {host: catalog, subset: v1}, weight: %d}
    - {destination: {host: catalog, subset: v2}, weight: %d}
"""


class Server:
    """A started engine and a client of it."""

    def __init__(self, engine, info, session):
        self.engine, self.info, self.session = engine, info, session
        self.console = engine.console

    async def ask(self, method, path, body=None, **options):
        async with self.session.request(method, f"{self.info.url}{path}", json=body, **options) as answer:
            text = await answer.text()
        return answer.status, json.loads(text) if text.startswith(("{", "[")) else text

    async def private(self, method, path, body=None):
        connector = aiohttp.UnixConnector(self.info.socket)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"http://localhost{path}", json=body) as answer,
        ):
            return answer.status, await answer.text()

    def routes(self):
        """Every path of the public application, with a method, that a request could be sent to."""
        for route in iter_route_contexts(self.engine.web.app.app.app.routes):
            path = "/" + re.sub(r"\{[^}]*\}", "1", route.path).lstrip("/")
            for method in sorted(getattr(route, "methods", None) or ["WEBSOCKET"]):
                yield method, path

    async def status(self, method, path, headers):
        """What a request, or the attempt to open a socket, is answered with."""
        if method == "WEBSOCKET":
            try:
                async with self.session.ws_connect(f"{self.info.url}{path}", headers=headers):
                    return 101
            except aiohttp.WSServerHandshakeError as refused:
                return refused.status
        return (await self.ask(method, path, headers=headers))[0]


@asynccontextmanager
async def started(path, *, demo=True, **web):
    told = []
    flags = {
        "web": {"port": 0, **web},
        "otlp": {"grpc_port": 0, "http_port": 0},
        "graph": {"tick_s": 0.1, "history_step_s": 0},
        "mesh": {"settle_timeout_s": 0.2},
    }
    settings = load(environ={}, flags=flags)
    async with (
        made(settings, DataDir(path), announce=lambda info, _: told.append(info), demo=demo) as engine,
        serving(engine.services),
        aiohttp.ClientSession() as session,
    ):
        yield Server(engine, told[0], session)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def paths(tmp_path_factory):
    return tmp_path_factory.mktemp("server")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(paths):
    async with started(paths / "open") as one:
        status, _ = await one.ask("POST", "/api/v1/config", {"yaml": CATALOG + VERSIONS, "author": "fixture"})
        assert status == 200
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def closed(paths):
    """A server that could be reached from elsewhere."""
    async with started(paths / "closed", listen="0.0.0.0", token="a token of sixteen or more") as one:
        yield one


async def test_every_route_refuses_a_foreign_host_and_a_foreign_origin(server):
    routes = list(server.routes())
    assert ("WEBSOCKET", "/api/v1/stream") in routes
    assert any("_dash" in path for _, path in routes)
    foreign = ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"})
    for method, path in [*routes, ("GET", "/"), ("GET", "/assets/app.css"), ("GET", "/some/deep/link")]:
        for headers in foreign:
            assert await server.status(method, path, headers) in (403, 421), (method, path, headers)


async def test_every_route_refuses_who_has_no_token_where_one_is_needed(closed):
    for method, path in [*closed.routes(), ("GET", "/"), ("GET", "/healthz"), ("GET", "/login")]:
        assert await closed.status(method, path, {}) in (401, 403), (method, path)
    bearer = {"Authorization": "Bearer a token of sixteen or more"}
    assert await closed.status("GET", "/api/v1/config", bearer) == 200


async def test_the_agents_api_is_on_the_unix_socket_only(server):
    assert (await server.ask("POST", "/agent/v1/heartbeat", {"ids": ["shop/catalog-v1~0"]}))[0] == 405
    assert await server.private("POST", "/agent/v1/heartbeat", {"ids": ["x"]}) == (200, '{"unknown":["x"]}')


async def test_a_second_server_on_the_same_data_is_refused(server, paths):
    with pytest.raises(DataDirError, match="another server"):
        async with started(paths / "open"):
            pass


async def test_wrong_config_is_refused_whole_naming_object_field_and_way_out(server):
    before = server.console.store.current.revision
    bad = VIRTUAL_SERVICE % (0, 0) + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: new}\n"
    status, answer = await server.ask("POST", "/api/v1/config", {"yaml": bad})
    assert status == 422
    assert answer["problems"][0]["object"] == "VirtualService shop/catalog"
    assert answer["problems"][0]["path"] == "spec.http[0].route"
    assert server.console.store.current.revision == before


async def test_apply_diff_history_rollback_and_delete(server):
    async def apply(first, second, **more):
        return await server.ask("POST", "/api/v1/config", {"yaml": VIRTUAL_SERVICE % (first, second), **more})

    _, created = await apply(90, 10, author="ann")
    assert [change["action"] for change in created["changed"]] == ["created"]
    _, difference = await server.ask("POST", "/api/v1/config/diff", {"yaml": VIRTUAL_SERVICE % (80, 20)})
    assert "+      weight: 20" in difference["diff"][0]["unified"]
    _, changed = await apply(80, 20, author="bob", reason="more")
    assert (changed["revision"], changed["changed"][0]["action"]) == (created["revision"] + 1, "configured")
    status, _ = await apply(70, 30, dryRun=True)
    assert server.console.store.current.revision == changed["revision"]
    status, conflict = await apply(60, 40, plannedOn=created["revision"])
    assert (status, conflict["author"], conflict["revision"]) == (409, "bob", changed["revision"])
    _, history = await server.ask("GET", "/api/v1/history?limit=1")
    assert (history["items"][0]["author"], history["items"][0]["reason"]) == ("bob", "more")
    await server.ask("POST", "/api/v1/rollback", {"revision": created["revision"]})
    _, shown = await server.ask("GET", "/api/v1/config/vs/shop/catalog")
    assert shown["manifest"]["spec"]["http"][0]["route"][0]["weight"] == 90
    assert (await server.ask("DELETE", "/api/v1/config/vs/shop/catalog"))[0] == 200
    assert (await server.ask("GET", "/api/v1/config/vs/shop/catalog"))[0] == 404


async def test_a_split_is_planned_applied_and_taken_back_to_the_byte(server):
    for version in ("v1", "v2"):
        server.console.registry.put(instance(version))
    shift = {"namespace": "shop", "service": "catalog", "weights": {"v1": 20, "v2": 80}}
    before = (await server.ask("GET", "/api/v1/config?format=yaml"))[1]
    _, plan = await server.ask("POST", "/api/v1/wizards/traffic-shifting/plan", shift)
    assert plan["appliable"], plan["findings"]
    _, applied = await server.ask(
        "POST", "/api/v1/wizards/traffic-shifting/apply", shift | {"plannedOn": plan["plannedOn"], "author": "ann"}
    )
    assert applied["readback_ok"]
    _, listed = await server.ask("GET", "/api/v1/wizards/changes")
    assert listed["items"][0]["id"] == applied["id"]
    status, _ = await server.ask("POST", "/api/v1/wizards/traffic-shifting/undo", {"id": applied["id"]})
    assert status == 200
    assert (await server.ask("GET", "/api/v1/config?format=yaml"))[1] == before
    assert (await server.ask("POST", "/api/v1/wizards/traffic-shifting/undo", {"id": "nothing"}))[0] == 404


def instance(version):
    return Instance(
        id=f"shop/catalog-{version}~0",
        role=Role.SIDECAR,
        node_id=f"sidecar~127.127.255.1~catalog-{version}~0.shop",
        namespace="shop",
        workload=f"catalog-{version}",
        service="catalog",
        version=version,
        service_account="catalog",
        labels={"app": "catalog", "version": version},
        address="127.127.255.1",
        ports={"http": 80},
    )


def observation(version, requests, at_ms):
    source = WorkloadRef("Kubernetes", "shop", "frontend", "frontend", "")
    target = WorkloadRef("Kubernetes", "shop", f"catalog-{version}", "catalog", version)
    return Observation(
        edge=EdgeKey(source, ServiceRef("Kubernetes", "shop", "catalog"), target, Protocol.HTTP),
        reporter=Reporter.SOURCE,
        instance="frontend",
        epoch=at_ms,
        at_ms=at_ms,
        counters=Counters(requests={Outcome("200", "", "-"): requests}),
    )


async def test_the_stream_begins_with_a_snapshot_and_goes_on_with_differences(server):
    live, clock = server.console.live, server.console.clock
    live.observe([observation("v1", 10, clock.now_ms())])
    url = f"{server.info.url}/api/v1/stream?type=versionedApp&window=60"
    async with server.session.ws_connect(url) as socket:
        first = await socket.receive_json()
        assert (first["type"], first["graph"], first["window"]) == ("snapshot", "versionedApp", 60)
        live.observe([observation("v2", 10, clock.now_ms())])
        revision, seen = first["revision"], {edge["target"] for edge in first["edges"]}
        while "vapp:Kubernetes/shop/catalog/v2" not in seen:
            change = await socket.receive_json()
            assert (change["type"], change["from"]) == ("delta", revision)
            revision = change["to"]
            seen |= {edge["target"] for edge in change["edges"]}
    status, graph = await server.ask("GET", "/api/v1/graph?window=1m&namespaces=shop")
    assert status == 200
    assert {edge["target"] for edge in graph["edges"]} >= {"vapp:Kubernetes/shop/catalog/v2"}
    assert (await server.ask("GET", "/api/v1/graph?namespaces=elsewhere"))[1]["nodes"] == []


async def test_the_stream_shows_windows_that_memory_does_not_hold(server):
    server.console.live.observe([observation("v1", 10, server.console.clock.now_ms())])
    async with server.session.ws_connect(f"{server.info.url}/api/v1/stream?type=app&window=6h") as socket:
        first = await socket.receive_json()
    assert (first["type"], first["window"], first["every"]) == ("snapshot", 21_600, 90)
    status, document = await server.ask("GET", "/api/v1/openapi.json")
    assert (status, "/api/v1/stream" in document["info"]["description"]) == (200, True)


async def test_a_topic_ends_with_its_last_reader(server):
    url = f"{server.info.url}/api/v1/stream?type=app&window=300"
    async with server.session.ws_connect(url) as socket:
        await socket.receive_json()
        assert server.console.stream.readers == 1
    async for _ in server.console.clock.every(0.01):
        if not server.console.stream.readers:
            break


async def test_an_unknown_window_or_type_opens_no_stream_and_says_why(server):
    for query, reason in (("window=7", "from 10s to 30d"), ("type=galaxy", "versionedApp"), ("window=x", "not a dur")):
        async with server.session.ws_connect(f"{server.info.url}/api/v1/stream?{query}") as socket:
            ended = await socket.receive()
            assert (ended.type, ended.data, reason in str(ended.extra)) == (aiohttp.WSMsgType.CLOSE, 1008, True), ended
    assert (await server.ask("GET", "/api/v1/graph?window=7"))[0] == 422


async def test_the_graph_is_also_drawn_and_remembered(server):
    for form, beginning in (("dot", "digraph"), ("mermaid", "flowchart"), ("svg", "<svg"), ("graphml", "<graphml")):
        status, text = await server.ask("GET", f"/api/v1/graph?format={form}")
        assert (status, text[: len(beginning)]) == (200, beginning)
    async for _ in server.console.clock.every(0.01):
        if await server.console.snapshots.index():
            break
    status, past = await server.ask("GET", "/api/v1/graph?at=-0.05s")
    assert (status, past["type"]) == (200, "snapshot")
    assert (await server.ask("GET", "/api/v1/graph?at=2020-01-01T00:00:00Z"))[0] == 404
    assert (await server.ask("GET", "/api/v1/graph?at=yesterday"))[0] == 422


async def test_what_the_server_is_and_how_it_does_can_be_asked(server):
    for path in (
        "healthz",
        "metrics",
        "api/v1/openapi.json",
        "api/v1/signals",
        "api/v1/proxies",
        "api/v1/certificates",
    ):
        assert (await server.ask("GET", f"/{path}"))[0] == 200, path
    for path in ("traces", "alerts", "alert-rules", "deliveries", "history", "demo/fault"):
        assert (await server.ask("GET", f"/api/v1/{path}"))[0] == 200, path
    assert (await server.ask("GET", "/api/v1/traces/abc"))[0] == 404
    assert (await server.ask("GET", "/api/v1/proxies/nobody/clusters"))[0] == 404
    assert (await server.ask("POST", "/api/v1/deliveries/1/replay"))[0] == 404


async def test_a_fault_needs_the_shop_and_says_so(server):
    status, answer = await server.ask("POST", "/api/v1/demo/fault", {"mode": "slow"})
    assert (status, "v2" in answer["error"]) == (422, True)


async def test_the_page_runs_under_its_content_policy(server):
    async with server.session.get(server.info.url) as answer:
        policy = answer.headers["content-security-policy"]
        page = await answer.text()
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.partition("style-src")[0]
    assert "_dash" in page
