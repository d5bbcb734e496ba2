"""What Kiali's appenders add: figures, config, existence, operations, health."""

from __future__ import annotations

import pytest
from graph_words import latency
from test_kiali_graph import OK, WINDOW_S, call, draw, edges, name, nodes, rates, ref, svc

from graph.kiali import APPENDERS
from graph.model import Counters, Inventory, NodeKind, Outcome, Reporter, Service, Workload


def world(*workloads, services=()):
    return Inventory(workloads={one.ref: one for one in workloads}, services={one.ref: one for one in services})


def runs(reference, **more):
    return Workload(**{"ref": reference, "kind": NodeKind.WORKLOAD, "replicas": 1} | more)


def serves(label, **more):
    return Service(
        **{
            "ref": svc(label),
            "kind": NodeKind.SERVICE,
            "hosts": (f"{label}.shop.svc.cluster.local",),
            "workloads": (),
        }
        | more
    )


def only(graph):
    [edge] = edges(graph).values()
    return edge


@pytest.mark.parametrize(("asked", "shown"), [("avg", "18"), ("50", "4"), ("95", "88"), ("99", "98")])
def test_response_times_are_the_quantile_or_the_mean_of_all_requests(asked, shown):
    def timed(version, *samples):
        reading = call(ref("web"), ref("cart", version))
        counters = Counters(requests={OK: float(len(samples))}, latency_ms=latency(*samples))
        return type(reading)(
            edge=reading.edge,
            reporter=reading.reporter,
            instance=version,
            epoch=0,
            at_ms=reading.at_ms,
            counters=counters,
        )

    graph = draw(
        timed("v1", 3, 3, 3, 3), timed("v2", 78), graphType="app", appenders="responseTime", responseTime=asked
    )
    assert only(graph)["responseTime"] == shown


def test_response_times_are_not_told_before_an_injected_service():
    reading = call(ref("web"), ref("cart"))
    counters = Counters(requests={OK: 1.0}, latency_ms=latency(3))
    timed = type(reading)(
        edge=reading.edge, reporter=reading.reporter, instance="1", epoch=0, at_ms=reading.at_ms, counters=counters
    )
    found = edges(draw(timed, appenders="responseTime", injectServiceNodes="true"))
    assert {key[:2]: "responseTime" in edge for key, edge in found.items()} == {
        ("web-v1", "cart"): False,
        ("cart", "cart-v1"): True,
    }


@pytest.mark.parametrize(("asked", "shown"), [("request", "20"), ("response", "300")])
def test_throughput_is_that_of_requests_or_answers(asked, shown):
    flow = {"request_bytes": 20.0, "response_bytes": 300.0}
    graph = draw(call(ref("web"), ref("cart"), {OK: 1}, flow=flow), appenders="throughput", throughputType=asked)
    assert only(graph)["throughput"] == shown


def test_operations_replace_the_edge_that_they_are_part_of():
    readings = [
        call(ref("web"), ref("cart"), {OK: 3}, operation="GET /cart"),
        call(ref("web"), ref("cart"), {OK: 1}, operation="POST /cart"),
    ]
    graph = draw(*readings, appenders="aggregateNode")
    get, post = "request_operation=GET /cart", "request_operation=POST /cart"
    assert {key[:2]: found["http"] for key, found in rates(graph).items()} == {
        ("web-v1", get): "3.00",
        (get, "cart-v1"): "3.00",
        ("web-v1", post): "1.00",
        (post, "cart-v1"): "1.00",
    }
    operation = nodes(graph)[get]
    assert (operation["nodeType"], operation["namespace"]) == ("aggregate", "shop")
    assert operation["traffic"] == [{"protocol": "http", "rates": {"httpIn": "3.00", "httpOut": "3.00"}}]
    assert nodes(graph)["cart-v1"]["traffic"] == [{"protocol": "http", "rates": {"httpIn": "4.00"}}]
    injected = draw(*readings, appenders="aggregateNode", injectServiceNodes="true")
    assert (get, "cart", "http") in edges(injected)
    assert ("web-v1", "cart", "http") not in edges(injected)


def test_hosts_of_one_service_entry_are_one_node():
    entry = {"kind": NodeKind.EXTERNAL, "entry": "payments", "location": "MESH_EXTERNAL"}
    known = world(
        services=(
            serves("pay.example.com", hosts=("pay.example.com",), **entry),
            serves("refund.example.com", hosts=("refund.example.com",), **entry),
        )
    )
    graph = draw(
        call(ref("web"), None, {OK: 2}, via=svc("pay.example.com")),
        call(ref("web"), None, {OK: 1}, via=svc("refund.example.com")),
        inventory=known,
        appenders="serviceEntry",
    )
    assert rates(graph)["web-v1", "payments", "http"]["http"] == "3.00"
    assert nodes(graph)["payments"]["isServiceEntry"] == {
        "hosts": ["pay.example.com", "refund.example.com"],
        "location": "MESH_EXTERNAL",
        "namespace": "shop",
    }
    assert [one["name"] for one in nodes(graph)["payments"]["destServices"]] == [
        "pay.example.com",
        "refund.example.com",
    ]


def test_nodes_without_traffic_whose_workload_is_gone_are_removed():
    known = world(runs(ref("web")), runs(ref("stock"), replicas=0))
    readings = [call(ref("web"), ref("cart")), call(ref("web"), ref("stock"))]
    graph = draw(*readings, inventory=known, appenders="deadNode", includeIdleEdges="true")
    assert set(edges(graph)) == {("web-v1", "stock-v1", "http")}
    assert nodes(graph)["stock-v1"]["isDead"] is True
    assert "isDead" not in nodes(graph)["web-v1"]


def test_what_nobody_calls_is_idle():
    known = world(runs(ref("web")), runs(ref("cart")), services=(serves("cart"), serves("lonely")))
    graph = draw(
        call(ref("web"), ref("stock"), {OK: 1}), inventory=known, appenders="idleNode", injectServiceNodes="true"
    )
    idle = {label for label, node in nodes(graph).items() if node.get("isIdle")}
    assert idle == {"cart-v1", "cart", "lonely"}


def test_what_runs_without_a_proxy_is_out_of_mesh_and_ambient_is_not():
    known = world(
        runs(ref("web"), badges=("no-sidecar",)),
        runs(ref("cart"), badges=("ambient",)),
        runs(ref("stock")),
    )
    graph = draw(
        call(ref("web"), ref("cart"), {OK: 1}),
        call(ref("web"), ref("stock"), {OK: 1}),
        inventory=known,
        appenders="sidecarsCheck",
    )
    marks = {label: {"isOutOfMesh", "isAmbient"} & node.keys() for label, node in nodes(graph).items()}
    assert marks == {"web-v1": {"isOutOfMesh"}, "cart-v1": {"isAmbient"}, "stock-v1": set()}


def test_what_config_does_is_marked():
    badges = ("virtual-service", "request-routing", "timeout", "fault-injection", "traffic-shifting", "mirroring")
    known = world(
        runs(ref("gate"), kind=NodeKind.GATEWAY, hosts=("shop.example.com",)),
        services=(
            serves("cart", badges=(*badges, "circuit-breaker"), routes=("cart.shop",), labels={"app": "basket"}),
        ),
    )
    graph = draw(call(ref("gate"), ref("cart"), {OK: 1}), inventory=known, appenders="istio", injectServiceNodes="true")
    service = next(node for node in nodes(graph).values() if node["nodeType"] == "service")
    flags = (
        "hasCB",
        "hasRequestRouting",
        "hasRequestTimeout",
        "hasFaultInjection",
        "hasTrafficShifting",
        "hasMirroring",
    )
    assert all(service[flag] for flag in flags)
    assert service["hasVS"] == {"hostnames": ["cart.shop"]}
    assert service["app"] == "basket"
    assert nodes(graph)["cart-v1"]["hasCB"] is True
    assert nodes(graph)["gate-v1"]["isGateway"]["ingressInfo"] == {"hostnames": ["shop.example.com"]}


def test_a_circuit_breaker_of_one_version_is_not_the_other_versions():
    first, second = ref("cart", "v1"), ref("cart", "v2")
    known = world(runs(first, badges=("circuit-breaker",)), runs(second), services=(serves("cart"),))
    calls = [call(ref("web"), to, {OK: 1}) for to in (first, second)]
    found = nodes(draw(*calls, inventory=known, appenders="istio", graphType="versionedApp"))
    assert [found[f"cart-{version}"].get("hasCB", False) for version in ("v1", "v2")] == [True, False]


def test_workload_entries_and_labels_are_named():
    known = world(runs(ref("web"), entries=("vm-1",), labels={"app": "web", "version": "v1", "tier": "front"}))
    graph = draw(call(ref("web"), ref("cart"), {OK: 1}), inventory=known, appenders="workloadEntry,labeler")
    assert nodes(graph)["web-v1"]["hasWorkloadEntry"] == [{"name": "vm-1"}]
    assert nodes(graph)["web-v1"]["labels"] == {"tier": "front"}


def test_health_is_judged_by_kialis_tolerances_and_annotations():
    lenient = {"health.kiali.io/rate": "5XX,50,80,http,inbound"}
    failing = {OK: 8, Outcome("500", "", "-"): 2}
    readings = [call(ref("web"), ref("cart"), failing)]
    strict = draw(*readings, inventory=world(runs(ref("cart")), runs(ref("web"))), appenders="health")
    status = nodes(strict)["cart-v1"]["healthData"]["status"]
    assert (status["status"], status["errorRatio"], status["totalRequestRate"]) == ("Failure", 20, 10)
    assert only(strict)["healthStatus"] == "Failure"
    annotated = world(runs(ref("cart"), annotations=lenient), runs(ref("web"), annotations=lenient))
    graph = draw(*readings, inventory=annotated, appenders="health")
    health = nodes(graph)["cart-v1"]["healthData"]
    assert health["status"]["status"] == "Healthy"
    assert health["requests"] == {
        "inbound": {"http": {"200": 8.0, "500": 2.0}},
        "outbound": {},
        "healthAnnotations": lenient,
    }
    assert only(graph)["healthStatus"] == "Healthy"


def test_health_knows_replicas():
    known = world(runs(ref("cart"), replicas=1, desired=3, available=1), runs(ref("web"), replicas=0, desired=0))
    graph = draw(call(ref("web"), ref("cart"), {OK: 1}), inventory=known, appenders="health")
    assert nodes(graph)["cart-v1"]["healthData"]["status"]["status"] == "Degraded"
    assert nodes(graph)["cart-v1"]["healthData"]["workloadStatus"]["desiredReplicas"] == 3
    assert nodes(graph)["web-v1"]["healthData"]["status"]["status"] == "Not Ready"


def test_a_box_of_an_app_has_the_apps_health():
    known = world(runs(ref("cart")), runs(ref("cart", "v2"), replicas=1, desired=2, available=1))
    graph = draw(
        call(ref("web"), ref("cart"), {OK: 1}),
        call(ref("web"), ref("cart", "v2"), {OK: 1}),
        inventory=known,
        graphType="versionedApp",
        appenders="health",
    )
    [box] = [one["data"] for one in graph["elements"]["nodes"] if one["data"]["nodeType"] == "box"]
    assert box["healthData"]["status"]["status"] == "Degraded"
    assert len(box["healthData"]["workloadStatuses"]) == 2


def test_every_appender_runs_on_every_type_of_graph():
    known = world(runs(ref("web")), runs(ref("cart")), services=(serves("cart"),))
    for graph_type in ("app", "versionedApp", "workload", "service"):
        graph = draw(
            call(ref("web"), ref("cart"), {OK: 1}, operation="GET /"),
            call(ref("web"), None, {OK: 1}, via=svc("BlackHoleCluster", "unknown"), by=Reporter.SOURCE),
            inventory=known,
            appenders=",".join(APPENDERS),
            graphType=graph_type,
        )
        drawn = {name(one["data"]) for one in graph["elements"]["nodes"]}
        assert {"BlackHoleCluster", "cart" if graph_type in {"app", "service"} else "cart-v1"} <= drawn
    assert WINDOW_S == 100
