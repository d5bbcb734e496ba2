"""Kiali's addresses: its parameters, its refusals, its shape."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from asgi import Visitor, with_routes
from clocks import FixedClock

from console.web.api import kiali
from graph.live import LiveGraph
from graph.model import (
    Counters,
    EdgeKey,
    Inventory,
    NodeKind,
    Observation,
    Outcome,
    Protocol,
    Reporter,
    ServiceRef,
    Workload,
    WorkloadRef,
)

T0 = 1_700_000_000_000


def ref(app: str, namespace: str = "shop") -> WorkloadRef:
    return WorkloadRef("east", namespace, f"{app}-v1", app, "v1")


def call(source: WorkloadRef, target: WorkloadRef, requests: float, operation: str = "") -> Observation:
    return Observation(
        edge=EdgeKey(source, ServiceRef("east", target.namespace, target.app), target, Protocol.HTTP),
        reporter=Reporter.SOURCE,
        instance=source.workload,
        epoch=T0,
        at_ms=T0 + 20_000,
        counters=Counters(requests={Outcome("200", "", "-"): requests}),
        operation=operation,
    )


@pytest.fixture
def visitor():
    live = LiveGraph(clock=FixedClock(T0))
    workloads = [ref("web"), ref("cart"), ref("idle"), ref("pay", "bank")]
    live.inventory(
        Inventory(workloads={one: Workload(ref=one, kind=NodeKind.WORKLOAD, replicas=1) for one in workloads})
    )
    live.observe(
        [
            call(ref("web"), ref("cart"), 200, "GET /cart"),
            call(ref("cart"), ref("pay", "bank"), 100),
        ]
    )
    live.tick(T0 + 20_000)
    console = SimpleNamespace(live=live, clock=FixedClock(T0 + 20_000), histories=())
    return Visitor(with_routes(console, kiali.api, prefix=kiali.PREFIX))


async def drawn(visitor, target: str):
    status, body = await visitor.get(target)
    assert status == 200, body
    return body


def labels(graph) -> set[str]:
    return {
        one["data"].get("aggregate") or one["data"].get("workload") or one["data"].get("service") or one["data"]["app"]
        for one in graph["elements"]["nodes"]
        if one["data"]["nodeType"] != "box"
    }


async def test_namespaces_and_whoever_they_talk_to_are_drawn(visitor):
    graph = await drawn(visitor, "/api/namespaces/graph?namespaces=shop&duration=10s&appenders=")
    assert labels(graph) == {"web-v1", "cart-v1", "pay-v1"}
    assert (graph["graphType"], graph["duration"], graph["timestamp"]) == ("workload", 10, T0 // 1000 + 20)
    web = next(one["data"] for one in graph["elements"]["nodes"] if one["data"].get("app") == "web")
    assert web["traffic"] == [{"protocol": "http", "rates": {"httpOut": "10.00"}}]
    assert web["isRoot"] is True


async def test_all_appenders_run_unless_some_are_named(visitor):
    graph = await drawn(visitor, "/api/namespaces/graph?namespaces=shop&duration=10s")
    assert labels(graph) == {"web-v1", "cart-v1", "pay-v1", "idle-v1", "request_operation=GET /cart"}
    [idle] = [one["data"] for one in graph["elements"]["nodes"] if one["data"].get("app") == "idle"]
    assert idle["isIdle"] is True
    assert idle["healthData"]["status"]["status"] == "Healthy"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "namespaces"),
        ("namespaces=shop&appenders=nonsense", "nonsense"),
        ("namespaces=shop&graphType=pie", "graphType"),
        ("namespaces=shop&duration=soon", "duration"),
        ("namespaces=shop&duration=1s", "duration"),
        ("namespaces=shop&boxBy=colour", "boxBy"),
        ("namespaces=shop&queryTime=yesterday", "queryTime"),
        ("namespaces=shop&rateHttp=sent", "rateHttp"),
        ("namespaces=shop&rateGrpc=bytes", "rateGrpc"),
        ("namespaces=shop&rateTcp=requests", "rateTcp"),
        ("namespaces=shop&ambientTraffic=most", "ambientTraffic"),
        ("namespaces=shop&responseTime=42", "responseTime"),
        ("namespaces=shop&throughputType=both", "throughputType"),
        ("namespaces=shop&includeIdleEdges=perhaps", "includeIdleEdges"),
        ("namespaces=shop&injectServiceNodes=2", "injectServiceNodes"),
        ("namespaces=shop&waypoints=no", "waypoints"),
        ("namespaces=shop&refreshInterval=5", "efresh"),
        ("namespaces=shop&configVendor=other", "configVendor"),
    ],
)
async def test_what_kiali_refuses_is_refused_with_the_parameters_name(visitor, query, field):
    status, body = await visitor.get(f"/api/namespaces/graph?{query}")
    assert (status, field in body["error"]) == (400, True), body


async def test_a_namespace_that_nobody_knows_is_forbidden(visitor):
    answer = await visitor.ask("GET", "/api/namespaces/graph?namespaces=shop,elsewhere&duration=10s")
    assert (answer.status, "elsewhere" in answer.text) == (403, True)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("shop/workloads/cart-v1/graph?", {"web-v1", "cart-v1", "pay-v1"}),
        ("shop/workloads/web-v1/graph?", {"web-v1", "cart-v1"}),
        ("shop/services/cart/graph?", {"web-v1", "cart-v1"}),
        ("bank/applications/pay/graph?graphType=app&", {"cart", "pay"}),
        ("shop/applications/cart/versions/v1/graph?graphType=versionedApp&", {"web-v1", "cart-v1", "pay-v1"}),
        ("shop/applications/cart/versions/v9/graph?graphType=versionedApp&", set()),
    ],
)
async def test_a_node_is_drawn_with_its_neighbours(visitor, path, expected):
    assert labels(await drawn(visitor, f"/api/namespaces/{path}duration=10s&appenders=")) == expected


async def test_a_node_graph_of_an_application_needs_a_graph_of_applications(visitor):
    answer = await visitor.ask("GET", "/api/namespaces/shop/applications/cart/graph?graphType=workload")
    assert answer.status == 400


async def test_an_unknown_kind_of_node_is_not_found(visitor):
    answer = await visitor.ask("GET", "/api/namespaces/shop/secrets/cart/graph")
    assert answer.status == 404


async def test_nothing_is_known_of_an_instant_before_anybody_watched(visitor):
    answer = await visitor.ask("GET", "/api/namespaces/graph?namespaces=shop&queryTime=1500000000")
    assert answer.status == 404
