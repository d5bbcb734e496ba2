"""The graph of operations, and edges taken apart to the finest."""

from __future__ import annotations

import pytest
from clocks import FixedClock
from graph_words import T0, answered, edge, latency, seen, workload

from graph.live import LiveGraph
from graph.model import (
    OPERATIONS,
    OTHER,
    Counters,
    GraphType,
    Inventory,
    NodeKind,
    Outcome,
    Protocol,
    Reporter,
    Security,
)
from graph.moment import snapshot_of


def graph_of(*readings, kind=GraphType.OPERATION):
    graph = LiveGraph(clock=FixedClock())
    graph.observe(readings)
    graph.tick(T0 + 10_000)
    return graph.snapshot(kind, 10)


def flows(snapshot):
    return {(one.source, one.target): one.signals.requests for one in snapshot.edges.values()}


CART = "wl:Kubernetes/shop/cart"
WEB = "wl:Kubernetes/shop/web"


def test_what_is_asked_for_stands_between_caller_and_callee():
    to_cart = edge("web", "cart")
    found = graph_of(
        seen(to_cart, answered(6), at=5, operation="GET /cart"),
        seen(to_cart, answered(3, failed=1), at=5, operation="POST /cart"),
    )
    assert flows(found) == {
        (WEB, f"op:{CART}/GET /cart"): 6,
        (f"op:{CART}/GET /cart", CART): 6,
        (WEB, f"op:{CART}/POST /cart"): 4,
        (f"op:{CART}/POST /cart", CART): 4,
    }
    operation = found.nodes[f"op:{CART}/POST /cart"]
    assert (operation.kind, operation.label, operation.namespace) == (NodeKind.OPERATION, "POST /cart", "shop")
    assert found.nodes[CART].inbound.requests == 10
    assert found.edges[f"{WEB}>op:{CART}/POST /cart>http"].operation == "POST /cart"


def test_an_edge_of_which_nobody_tells_operations_stays_whole():
    assert flows(graph_of(seen(edge("web", "cart"), answered(6), at=5))) == {(WEB, CART): 6}


def test_operations_are_those_of_the_reporter_who_tells_them_and_counted_once():
    to_cart = edge("web", "cart")
    found = graph_of(
        seen(to_cart, answered(9), at=5, by=Reporter.SOURCE),
        seen(to_cart, answered(8), at=5, by=Reporter.DESTINATION, operation="GET /cart"),
        seen(to_cart, answered(1), at=5, by=Reporter.DESTINATION),
    )
    assert flows(found) == {
        (WEB, f"op:{CART}/GET /cart"): 8,
        (f"op:{CART}/GET /cart", CART): 8,
        (WEB, CART): 1,
    }


def test_what_proxies_count_without_operations_is_no_idle_edge_beside_those_that_spans_tell():
    graph = LiveGraph(clock=FixedClock())
    to_cart = edge("web", "cart")
    for second, count in ((1, 10), (2, 20)):
        graph.observe([seen(to_cart, answered(count), at=second, by=Reporter.SOURCE)])
        graph.observe([seen(to_cart, answered(count), at=second, by=Reporter.TRACE, operation="GET /cart")])
        graph.tick(T0 + 1000 * second)
    asked, served = (WEB, f"op:{CART}/GET /cart"), (f"op:{CART}/GET /cart", CART)
    assert flows(graph.snapshot(GraphType.OPERATION, 10)) == {asked: 20, served: 20}
    graph.observe([seen(to_cart, answered(20), at=30, by=Reporter.SOURCE)])
    graph.tick(T0 + 30_000)
    assert flows(graph.snapshot(GraphType.OPERATION, 10)) == {asked: 0, served: 0}


def test_operations_that_spans_tell_are_as_well_protected_as_proxies_say_their_edge_is():
    to_cart, safe = edge("web", "cart"), Security.MUTUAL_TLS
    found = graph_of(
        seen(to_cart, answered(8), at=5, by=Reporter.SOURCE, security=safe),
        seen(to_cart, answered(2), at=5, by=Reporter.SOURCE, security=Security.NONE),
        seen(to_cart, answered(6), at=5, by=Reporter.TRACE, operation="GET /cart"),
        seen(to_cart, answered(4), at=5, by=Reporter.TRACE, operation="POST /cart"),
    )
    assert [one.signals.mtls for one in found.edges.values()] == [pytest.approx(0.8)] * 4


@pytest.mark.parametrize("kind", [GraphType.APP, GraphType.VERSIONED_APP, GraphType.WORKLOAD, GraphType.SERVICE])
def test_other_graphs_do_not_multiply_edges_by_operation(kind):
    to_cart = edge("web", "cart")
    found = graph_of(
        *(seen(to_cart, answered(2), at=5, operation=f"GET /{number}", host=f"{number}.shop") for number in range(5)),
        kind=kind,
    )
    assert [one.signals.requests for one in found.edges.values()] == [10]


def test_beyond_a_hundred_operations_of_one_callee_the_rest_is_one_node():
    to_cart = edge("web", "cart")
    found = graph_of(*(seen(to_cart, answered(1), at=5, operation=f"GET /{number}") for number in range(130)))
    operations = [node for node in found.nodes.values() if node.kind is NodeKind.OPERATION]
    assert len(operations) == OPERATIONS + 1
    assert found.edges[f"{WEB}>op:{CART}/{OTHER}>http"].signals.requests == 30


def test_an_operation_has_a_course_over_the_window():
    graph = LiveGraph(clock=FixedClock())
    for second in range(1, 6):
        graph.observe([seen(edge("web", "cart"), answered(10 * second), at=second, operation="GET /cart")])
        graph.tick(T0 + 1000 * second)
    course = graph.course(GraphType.OPERATION, 10, f"op:{CART}/GET /cart")
    assert course.rate[-1] == pytest.approx(10)


def test_the_finest_graph_tells_hosts_principals_and_samples():
    to_cart = edge("web", "cart")
    found = graph_of(
        seen(
            to_cart,
            answered(4, samples=(1, 2, 30, 40)),
            at=5,
            host="cart.example.com",
            source_principal="spiffe://td/ns/shop/sa/web",
            destination_principal="spiffe://td/ns/shop/sa/cart",
        ),
        seen(to_cart, answered(2), at=5),
        kind=GraphType.FINEST,
    )
    named, plain = sorted(found.edges.values(), key=lambda one: not one.host)
    assert (named.host, named.signals.requests) == ("cart.example.com", 4)
    assert named.principals == (("spiffe://td/ns/shop/sa/web", "spiffe://td/ns/shop/sa/cart"),)
    assert named.latency_ms.counts[-1] == latency(1, 2, 30, 40).counts[-1]
    assert named.latency_ms.total == 73
    assert (plain.host, plain.latency_ms, plain.keys) == ("", None, (to_cart,))


def test_messages_and_bodies_have_rates():
    to_cart = edge("web", "cart", protocol=Protocol.GRPC)
    counters = Counters(
        requests={Outcome("200", "0", "-"): 10.0},
        request_messages=50,
        response_messages=100,
        request_bytes=2000,
        response_bytes=4000,
    )
    found = snapshot_of([seen(to_cart, counters, at=10)], Inventory(), GraphType.FINEST, T0, T0 + 10_000)
    (one,) = found.edges.values()
    signals = one.signals
    assert (signals.request_messages, signals.response_messages) == (5, 10)
    assert (signals.request_bps, signals.response_bps) == (200, 400)


def test_a_waypoint_stands_in_for_the_callee_and_is_named():
    to_cart = edge("web", "cart")
    found = graph_of(
        seen(to_cart, answered(5), at=5, by=Reporter.WAYPOINT),
        seen(to_cart, answered(5), at=5, by=Reporter.TRACE),
        kind=GraphType.WORKLOAD,
    )
    (one,) = found.edges.values()
    assert one.signals.requests == 5
    assert one.evidence[0].reporter is Reporter.WAYPOINT
    assert workload("cart").app == "cart"
