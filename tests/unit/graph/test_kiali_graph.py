"""The graph in Kiali's shape: identities, services between, rates as text, boxes, order."""

from __future__ import annotations

import pytest

from graph.kiali import Node, kiali_graph, parse
from graph.kiali.form import text
from graph.model import (
    Counters,
    EdgeKey,
    GraphType,
    Inventory,
    NodeKind,
    Observation,
    Outcome,
    Protocol,
    Reporter,
    Security,
    ServiceRef,
    Workload,
    WorkloadRef,
)
from graph.moment import snapshot_of

WINDOW_S = 100
NOBODY = WorkloadRef("east", "unknown", "unknown", "unknown", "")
OK = Outcome("200", "", "-")


def ref(app: str, version: str = "v1", namespace: str = "shop", cluster: str = "east") -> WorkloadRef:
    return WorkloadRef(cluster, namespace, f"{app}-{version or 'main'}", app, version)


def svc(name: str, namespace: str = "shop", cluster: str = "east") -> ServiceRef:
    return ServiceRef(cluster, namespace, name)


def call(source, target, outcomes=None, *, via=None, protocol=Protocol.HTTP, by=Reporter.SOURCE, **more):
    """A reading of one edge over the window; ``outcomes`` are per second."""
    service = via if via is not None or target is None else svc(target.app, target.namespace, target.cluster)
    counters = Counters(
        requests={outcome: rate * WINDOW_S for outcome, rate in (outcomes or {}).items()},
        **{name: rate * WINDOW_S for name, rate in more.pop("flow", {}).items()},
    )
    return Observation(
        edge=EdgeKey(source, service or None, target, protocol),
        reporter=by,
        instance=f"{by}",
        epoch=0,
        at_ms=1000 * WINDOW_S,
        counters=counters,
        **more,
    )


def draw(*readings, inventory=None, places=None, node=None, namespace="", **params):
    inventory = inventory or Inventory()
    snapshots = [
        snapshot_of(readings, inventory, kind, 0, 1000 * WINDOW_S) for kind in (GraphType.FINEST, GraphType.OPERATION)
    ]
    asked = {"namespaces": "shop", "appenders": "", **params}
    options = parse(asked, now_s=WINDOW_S, namespace=namespace, node=node)
    return kiali_graph(*snapshots, inventory, options, places=places)


def name(node) -> str:
    fields = ("isBox", "aggregate", "workload", "app", "service")
    return next(str(node[field]) for field in fields if node.get(field))


def nodes(graph):
    return {name(one["data"]): one["data"] for one in graph["elements"]["nodes"]}


def edges(graph):
    ids = {one["data"]["id"]: name(one["data"]) for one in graph["elements"]["nodes"]}
    return {
        (ids[one["data"]["source"]], ids[one["data"]["target"]], one["data"]["traffic"]["protocol"]): one["data"]
        for one in graph["elements"]["edges"]
    }


def rates(graph):
    return {key: edge["traffic"].get("rates", {}) for key, edge in edges(graph).items()}


def test_a_workload_graph_has_requests_errors_and_shares():
    graph = draw(
        call(ref("web"), ref("cart"), {OK: 8, Outcome("503", "", "UF"): 1, Outcome("404", "", "-"): 1}),
        call(ref("web"), ref("stock"), {OK: 30}),
    )
    assert rates(graph) == {
        ("web-v1", "cart-v1", "http"): {
            "http": "10.00",
            "http4xx": "1.00",
            "http5xx": "1.00",
            "httpPercentErr": "20.0",
            "httpPercentReq": "25.0",
        },
        ("web-v1", "stock-v1", "http"): {"http": "30.00", "httpPercentReq": "75.0"},
    }
    assert nodes(graph)["web-v1"]["traffic"] == [{"protocol": "http", "rates": {"httpOut": "40.00"}}]
    assert nodes(graph)["cart-v1"]["traffic"] == [
        {"protocol": "http", "rates": {"httpIn": "10.00", "httpIn4xx": "1.00", "httpIn5xx": "1.00"}}
    ]


def test_answers_are_told_by_code_flags_and_hosts():
    graph = draw(
        call(ref("web"), ref("cart"), {OK: 6, Outcome("0", "", "DC"): 2}),
        call(ref("web"), ref("cart"), {OK: 2}, host="cart.example.com"),
    )
    [edge] = edges(graph).values()
    assert edge["traffic"]["responses"] == {
        "-": {"flags": {"DC": "20.0"}, "hosts": {"cart.shop.svc.cluster.local": "20.0"}},
        "200": {
            "flags": {"-": "80.0"},
            "hosts": {"cart.example.com": "20.0", "cart.shop.svc.cluster.local": "60.0"},
        },
    }
    assert edge["traffic"]["rates"]["httpNoResponse"] == "2.00"


def test_grpc_has_codes_of_its_own():
    graph = draw(
        call(
            ref("web"),
            ref("cart"),
            {Outcome("200", "0", "-"): 9, Outcome("200", "14", "UH"): 1},
            protocol=Protocol.GRPC,
        )
    )
    assert rates(graph)["web-v1", "cart-v1", "grpc"] == {
        "grpc": "10.00",
        "grpcErr": "1.00",
        "grpcPercentErr": "10.0",
        "grpcPercentReq": "100.0",
    }
    assert nodes(graph)["cart-v1"]["traffic"][0]["rates"] == {"grpcIn": "10.00", "grpcInErr": "1.00"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("sent", {"tcp": "3.00"}), ("received", {"tcp": "5.00"}), ("total", {"tcp": "8.00"}), ("none", None)],
)
def test_bytes_are_those_that_are_asked_for(asked, expected):
    flow = {"sent_bytes": 3.0, "received_bytes": 5.0}
    graph = draw(call(ref("web"), ref("db"), protocol=Protocol.TCP, flow=flow), rateTcp=asked)
    assert rates(graph).get(("web-v1", "db-v1", "tcp")) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("requests", "2.00"),
        ("sent", "4.00"),
        ("received", "6.00"),
        ("total", "10.00"),
    ],
)
def test_grpc_is_counted_in_requests_or_messages(asked, expected):
    flow = {"request_messages": 4.0, "response_messages": 6.0}
    reading = call(ref("web"), ref("cart"), {Outcome("200", "0", "-"): 2}, protocol=Protocol.GRPC, flow=flow)
    found = rates(draw(reading, rateGrpc=asked))["web-v1", "cart-v1", "grpc"]
    assert found["grpc"] == expected


def test_without_http_nothing_of_it_is_drawn():
    graph = draw(call(ref("web"), ref("cart"), {OK: 1}), rateHttp="none")
    assert graph["elements"] == {"nodes": [], "edges": []}


def test_a_service_stands_between_if_asked_for():
    graph = draw(
        call(ref("web"), ref("cart"), {OK: 3}),
        call(ref("web"), ref("cart", "v2"), {OK: 1}),
        injectServiceNodes="true",
    )
    assert {key: found["http"] for key, found in rates(graph).items()} == {
        ("web-v1", "cart", "http"): "4.00",
        ("cart", "cart-v1", "http"): "3.00",
        ("cart", "cart-v2", "http"): "1.00",
    }
    service = nodes(graph)["cart"]
    assert (service["nodeType"], service["isInjected"]) == ("service", True)
    assert service["destServices"] == [{"cluster": "east", "namespace": "shop", "name": "cart"}]
    assert service["traffic"] == [{"protocol": "http", "rates": {"httpIn": "4.00", "httpOut": "4.00"}}]


def test_no_service_stands_before_hosts_that_nobody_declared():
    graph = draw(
        call(ref("web"), ref("other"), {OK: 3}, via=svc("PassthroughCluster"), host="10.2.3.4:8080"),
        call(ref("web"), None, {OK: 1}, via=svc("PassthroughCluster", "unknown"), host="example.com"),
        injectServiceNodes="true",
        graphType="versionedApp",
    )
    assert set(edges(graph)) == {("web-v1", "other-v1", "http"), ("web-v1", "PassthroughCluster", "http")}
    escape = nodes(graph)["PassthroughCluster"]
    assert (escape["nodeType"], escape["isInaccessible"], escape["cluster"]) == ("service", True, "unknown")


def test_a_service_graph_has_services_and_whoever_is_at_the_root():
    graph = draw(
        call(NOBODY, ref("web"), {OK: 5}, by=Reporter.DESTINATION),
        call(ref("web"), ref("cart"), {OK: 3}),
        call(ref("web"), ref("cart", "v2"), {OK: 1}),
        call(ref("cart"), ref("stock"), {OK: 2}),
        graphType="service",
    )
    assert {key: found["http"] for key, found in rates(graph).items()} == {
        ("unknown", "web", "http"): "5.00",
        ("web", "cart", "http"): "4.00",
        ("cart", "stock", "http"): "2.00",
    }
    assert nodes(graph)["web"]["traffic"] == [{"protocol": "http", "rates": {"httpIn": "5.00", "httpOut": "4.00"}}]


def test_apps_without_versions_and_versions_in_a_box():
    readings = [call(ref("web"), ref("cart"), {OK: 3}), call(ref("web"), ref("cart", "v2"), {OK: 1})]
    apps = draw(*readings, graphType="app")
    assert rates(apps)["web", "cart", "http"]["http"] == "4.00"
    assert "version" not in nodes(apps)["cart"]
    versions = draw(*readings, graphType="versionedApp")
    box = nodes(versions)["app"]
    assert (box["nodeType"], box["app"], box["namespace"]) == ("box", "cart", "shop")
    assert nodes(versions)["cart-v1"]["parent"] == nodes(versions)["cart-v2"]["parent"] == box["id"]
    assert "parent" not in nodes(versions)["web-v1"]


def test_boxes_hold_boxes_and_there_is_never_only_one_of_namespaces_or_clusters():
    west = WorkloadRef("west", "bank", "pay-v1", "pay", "v1")
    readings = [
        call(ref("web"), ref("cart"), {OK: 1}),
        call(ref("cart"), ref("audit", namespace="bank"), {OK: 1}),
        call(ref("cart"), ref("risk", namespace="bank"), {OK: 1}),
        call(ref("web"), west, {OK: 1}),
        call(west, ref("ledger", namespace="bank", cluster="west"), {OK: 1}),
    ]
    boxed = draw(*readings, namespaces="shop,bank", boxBy="cluster,namespace,app")
    boxes = [one["data"] for one in boxed["elements"]["nodes"] if one["data"]["nodeType"] == "box"]
    assert [(box["isBox"], box["cluster"], box["namespace"]) for box in boxes] == [
        ("cluster", "east", ""),
        ("namespace", "east", "bank"),
        ("namespace", "east", "shop"),
        ("namespace", "west", "bank"),
    ]
    assert boxes[1]["parent"] == boxes[2]["parent"] == boxes[0]["id"]
    alone = draw(call(ref("web"), ref("cart"), {OK: 1}), boxBy="namespace,cluster")
    assert all(one["data"]["nodeType"] != "box" for one in alone["elements"]["nodes"])


def test_parents_come_before_children_and_the_rest_by_name():
    graph = draw(
        call(ref("web"), ref("cart", "v2"), {OK: 1}),
        call(ref("web"), ref("cart"), {OK: 1}),
        call(ref("web"), ref("pay", namespace="bank"), {OK: 1}),
        graphType="versionedApp",
    )
    assert [name(one["data"]) for one in graph["elements"]["nodes"]] == [
        "app",
        "pay-v1",
        "cart-v1",
        "cart-v2",
        "web-v1",
    ]
    ids = [(one["data"]["source"], one["data"]["target"]) for one in graph["elements"]["edges"]]
    assert ids == sorted(ids)


def test_whoever_nobody_could_name_is_one_node():
    graph = draw(
        call(NOBODY, ref("web"), {OK: 5}, by=Reporter.DESTINATION),
        call(ref("web"), None, {Outcome("404", "", "NR"): 1}, via=ServiceRef("", "", "")),
    )
    unknown = nodes(graph)["unknown"]
    assert set(edges(graph)) == {("unknown", "web-v1", "http"), ("web-v1", "unknown", "http")}
    assert unknown["isInaccessible"] is True


def test_an_app_without_a_version_is_latest_and_a_workload_without_an_app_has_neither():
    graph = draw(call(ref("web", ""), WorkloadRef("east", "shop", "job", "", ""), {OK: 1}, via=svc("job")))
    assert nodes(graph)["web-main"]["version"] == "latest"
    assert "app" not in nodes(graph)["job"]
    assert "version" not in nodes(graph)["job"]


def test_addresses_that_no_service_has_are_left_out():
    graph = draw(call(ref("web"), None, {OK: 1}, via=svc("10.11.12.13:80")))
    assert graph["elements"]["edges"] == []


def test_the_egress_gateway_is_found_behind_its_host():
    host = "istio-egressgateway.istio-system.svc.cluster.local"
    graph = draw(call(ref("web"), None, {OK: 1}, via=svc(host, "unknown")))
    gateway = nodes(graph)["istio-egressgateway"]
    assert (gateway["nodeType"], gateway["namespace"], gateway["cluster"]) == ("workload", "istio-system", "east")


def test_idle_edges_are_drawn_if_asked_for():
    reading = call(ref("web"), ref("cart"))
    assert draw(reading)["elements"]["edges"] == []
    [edge] = draw(reading, includeIdleEdges="true")["elements"]["edges"]
    assert edge["data"]["traffic"] == {"protocol": "http"}


def test_a_call_into_the_namespace_that_reached_nobody_is_drawn():
    graph = draw(call(ref("web", namespace="front"), None, {Outcome("503", "", "UH"): 1}, via=svc("cart")))
    assert set(edges(graph)) == {("web-v1", "cart", "http")}
    assert nodes(graph)["web-v1"]["isOutside"] is True
    assert "isOutside" not in nodes(graph)["cart"]


def test_what_is_elsewhere_is_outside_and_what_cannot_be_seen_inaccessible():
    graph = draw(
        call(ref("web"), ref("pay", namespace="bank"), {OK: 1}),
        places={("east", "shop")},
    )
    assert {"isOutside", "isInaccessible"} <= nodes(graph)["pay-v1"].keys()
    assert not {"isOutside", "isInaccessible"} & nodes(graph)["web-v1"].keys()


def test_roots_only_call():
    graph = draw(call(ref("web"), ref("cart"), {OK: 1}), call(ref("cart"), ref("stock"), {OK: 1}))
    assert {label for label, node in nodes(graph).items() if node.get("isRoot")} == {"web-v1"}


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(10.0, "10.00"), (0.5, "0.50"), (0.05, "0.05"), (0.002, "0.002"), (0.00004, "0.00004"), (0.000004, "0.00000")],
)
def test_a_rate_has_two_decimals_or_as_many_as_show_a_digit(rate, shown):
    assert text(rate) == shown


def test_a_node_graph_has_one_node_and_its_neighbours():
    readings = [
        call(ref("web"), ref("cart"), {OK: 4}),
        call(ref("cart"), ref("stock"), {OK: 2}),
        call(ref("stock"), ref("db"), {OK: 1}),
    ]
    graph = draw(*readings, node=Node(workload="cart-v1"), namespace="shop")
    assert set(edges(graph)) == {("web-v1", "cart-v1", "http"), ("cart-v1", "stock-v1", "http")}
    called = draw(*readings, node=Node(service="stock"), namespace="shop")
    assert set(edges(called)) == {("cart-v1", "stock-v1", "http")}


def test_a_node_graph_may_be_of_one_cluster():
    west = ref("cart", cluster="west")
    readings = [call(ref("web"), ref("cart"), {OK: 4}), call(ref("web"), west, {OK: 2})]
    graph = draw(*readings, node=Node(workload="cart-v1"), namespace="shop", clusterName="west")
    assert [node["cluster"] for node in nodes(graph).values() if node["workload"] == "cart-v1"] == ["west"]
    assert rates(graph)["web-v1", "cart-v1", "http"]["http"] == "2.00"


def ambient():
    waypoint = WorkloadRef("east", "shop", "waypoint", "waypoint", "")
    badges = {waypoint: ("waypoint",), ref("web"): ("ambient",), ref("cart"): ("ambient",)}
    known = Inventory(
        workloads={
            one: Workload(ref=one, kind=NodeKind.WORKLOAD, replicas=1, badges=found) for one, found in badges.items()
        }
    )
    readings = [
        call(ref("web"), ref("cart"), {OK: 1}, by=Reporter.WAYPOINT),
        call(ref("web"), waypoint, protocol=Protocol.TCP, via=svc("cart"), flow={"sent_bytes": 10.0}),
        call(waypoint, ref("web"), protocol=Protocol.TCP, flow={"sent_bytes": 4.0}),
        call(waypoint, ref("cart"), protocol=Protocol.TCP, flow={"sent_bytes": 10.0}),
    ]
    return readings, known


def test_ways_to_and_back_from_a_waypoint_are_one_edge():
    readings, known = ambient()
    graph = draw(*readings, inventory=known, appenders="ambient")
    found = edges(graph)
    assert set(found) == {
        ("web-v1", "cart-v1", "http"),
        ("web-v1", "waypoint", "tcp"),
        ("waypoint", "cart-v1", "tcp"),
    }
    there = found["web-v1", "waypoint", "tcp"]["waypoint"]
    assert there["direction"] == "to"
    assert there["fromEdge"]["traffic"]["rates"] == {"tcp": "4.00"}
    assert found["waypoint", "cart-v1", "tcp"]["waypoint"] == {"direction": "from"}
    assert nodes(graph)["waypoint"]["isWaypoint"] is True


def test_waypoints_can_be_left_out():
    readings, known = ambient()
    graph = draw(*readings, inventory=known, appenders="ambient", waypoints="false")
    assert set(edges(graph)) == {("web-v1", "cart-v1", "http")}


@pytest.mark.parametrize(
    ("asked", "protocols"),
    [("none", set()), ("waypoint", {"http"}), ("ztunnel", {"tcp"}), ("total", {"http", "tcp"})],
)
def test_ambient_traffic_is_that_of_waypoints_or_tunnels_as_asked_for(asked, protocols):
    readings, known = ambient()
    graph = draw(*readings, inventory=known, appenders="ambient", ambientTraffic=asked)
    assert {protocol for _, _, protocol in edges(graph)} == protocols


def test_mutual_tls_is_a_share_and_has_principals():
    both = {"source_principal": "spiffe://td/ns/shop/sa/web", "destination_principal": "spiffe://td/ns/shop/sa/cart"}
    graph = draw(
        call(ref("web"), ref("cart"), {OK: 3}, security=Security.MUTUAL_TLS, **both),
        call(ref("web"), ref("cart"), {OK: 1}, security=Security.NONE),
        appenders="securityPolicy",
    )
    [edge] = edges(graph).values()
    assert edge["isMTLS"] == "75"
    assert (edge["sourcePrincipal"], edge["destPrincipal"]) == tuple(both.values())
