"""The live graph as its readers see it."""

from __future__ import annotations

import pytest
from clocks import FixedClock
from graph_words import NOBODY, T0, answered, edge, inventory, seen, service, workload

from graph.differ import apply, delta
from graph.health import Direction
from graph.live import LiveGraph
from graph.model import GraphType, Health, NodeKind, Presence, Protocol, Reporter, Security, WorkloadRef

VAPP = GraphType.VERSIONED_APP
WEB_CART = "vapp:Kubernetes/shop/web>vapp:Kubernetes/shop/cart>http"


def live(*observations, after=10.0) -> LiveGraph:
    """A graph that was told the observations, second by second."""
    graph = LiveGraph(clock=FixedClock())
    for second in range(1, int(after) + 1):
        graph.observe([one for one in observations if T0 + 1000 * (second - 1) < one.at_ms <= T0 + 1000 * second])
        graph.tick(T0 + 1000 * second)
    return graph


def only_edge(graph, window_s=10, kind=VAPP):
    (found,) = graph.snapshot(kind, window_s).edges.values()
    return found


def test_requests_show_with_rate_errors_and_latency():
    found = only_edge(live(seen(edge("web", "cart"), answered(95, failed=5, samples=(10.0,) * 100), at=10)))
    assert found.id == WEB_CART
    assert (found.signals.requests, found.signals.errors) == (100, 5)
    assert found.signals.rate == pytest.approx(10)
    assert found.signals.error_ratio == pytest.approx(0.05)
    assert 5 < found.signals.p50_ms <= 10
    assert found.signals.mean_ms == pytest.approx(10)
    assert (found.health, found.presence, found.service) == (Health.DEGRADED, Presence.LIVE, "shop/cart")


def test_two_reporters_of_one_request_count_once_and_the_caller_wins():
    calls = edge("web", "cart")
    found = only_edge(
        live(
            seen(calls, answered(100, lost=3), at=10),
            seen(calls, answered(100), at=10, by=Reporter.DESTINATION),
        )
    )
    assert found.signals.requests == 103
    assert [(one.reporter, one.requests) for one in found.evidence] == [("source", 103), ("destination", 100)]


def test_two_replicas_of_a_caller_count_twice():
    calls = edge("web", "cart")
    found = only_edge(
        live(seen(calls, answered(7), at=10, instance="a"), seen(calls, answered(5), at=10, instance="b"))
    )
    assert found.signals.requests == 12
    assert found.evidence[0].instances == 2


def test_everywhere_that_a_word_comes_from_is_named_the_first_ones_where_they_are_many():
    calls = edge("web", "cart")

    def told(*origins):
        return only_edge(
            live(*(seen(calls, answered(7), at=10, instance=origin, origin=origin) for origin in origins))
        ).evidence[0]

    assert told("OTLP spans, sampled", "OTLP spans").origin == "OTLP spans; OTLP spans, sampled"
    assert told(*"edcba").origin == "a; b; c; and 2 more"


def test_the_callee_is_believed_where_no_caller_reports():
    found = only_edge(live(seen(edge("web", "cart"), answered(9), at=10, by=Reporter.DESTINATION)))
    assert found.signals.requests == 9


def test_a_callee_that_knows_its_caller_by_principal_only_makes_no_second_edge():
    principal = "spiffe://cluster.local/ns/shop/sa/web"
    graph = live(
        seen(edge("web", "cart"), answered(100), at=10, source_principal=principal),
        seen(edge(NOBODY, "cart"), answered(99), at=10, by=Reporter.DESTINATION, source_principal=principal),
    )
    found = only_edge(graph)
    assert found.id == WEB_CART
    assert found.signals.requests == 100
    assert [one.reporter for one in found.evidence] == ["source", "destination"]
    assert "unknown:Kubernetes" not in graph.snapshot(VAPP, 10).nodes


def test_a_principal_shared_by_two_versions_covers_both_of_their_edges():
    principal = "spiffe://cluster.local/ns/shop/sa/web"
    graph = live(
        seen(edge("web@v1", "cart"), answered(60), at=10, source_principal=principal),
        seen(edge("web@v2", "cart"), answered(40), at=10, source_principal=principal),
        seen(edge(NOBODY, "cart"), answered(100), at=10, by=Reporter.DESTINATION, source_principal=principal),
    )
    edges = graph.snapshot(VAPP, 10).edges.values()
    assert sorted(one.signals.requests for one in edges) == [40, 60]
    # Which part of the 100 was whose the callee cannot say; of both together it can.
    assert [[one.reporter for one in edge.evidence] for edge in edges] == [["source"], ["source"]]
    both = only_edge(graph, kind=GraphType.APP)
    assert both.signals.requests == 100
    assert [(one.reporter, one.requests) for one in both.evidence] == [("source", 100), ("destination", 100)]


def test_a_principal_shared_by_two_versions_is_evidence_where_it_alone_speaks():
    principal = "spiffe://cluster.local/ns/shop/sa/web"
    shared = {"by": Reporter.DESTINATION, "source_principal": principal}
    graph = live(
        seen(edge("web@v1", "cart"), answered(60), at=1, source_principal=principal),
        seen(edge("web@v2", "cart"), answered(40), at=1, source_principal=principal),
        seen(edge(NOBODY, "cart"), answered(100), at=1, **shared),
        seen(edge(NOBODY, "cart"), answered(107), at=20, **shared),
        after=20,
    )
    (busy,) = [one for one in graph.snapshot(VAPP, 10).edges.values() if one.signals.requests]
    assert busy.signals.requests == 7
    assert next((one.reporter, one.requests) for one in busy.evidence) == ("destination", 7)


def test_a_principal_alone_names_the_caller_when_no_caller_reports():
    web = workload("web")
    graph = LiveGraph(clock=FixedClock())
    graph.inventory(inventory(web))
    principal = "spiffe://cluster.local/ns/shop/sa/web"
    graph.observe([seen(edge(NOBODY, "cart"), answered(4), at=5, by=Reporter.DESTINATION, source_principal=principal)])
    graph.tick(T0 + 10_000)
    assert only_edge(graph).id == WEB_CART


def test_a_principal_that_fits_no_workload_still_names_its_account():
    principal = "spiffe://elsewhere/ns/bank/sa/teller"
    graph = live(seen(edge(NOBODY, "cart"), answered(4), at=5, by=Reporter.DESTINATION, source_principal=principal))
    assert only_edge(graph).source == "vapp:Kubernetes/bank/teller"


def test_plaintext_callers_that_report_are_not_also_drawn_as_unknown():
    plain = {"security": Security.NONE}
    graph = live(
        seen(edge("web", "cart"), answered(100), at=10, **plain),
        seen(edge(NOBODY, "cart"), answered(98), at=10, by=Reporter.DESTINATION, **plain),
    )
    assert only_edge(graph).id == WEB_CART


def test_plaintext_from_outside_the_mesh_is_drawn_as_unknown():
    graph = live(seen(edge(NOBODY, "cart"), answered(8), at=10, by=Reporter.DESTINATION, security=Security.NONE))
    found = only_edge(graph)
    assert found.source == "unknown:Kubernetes"
    assert found.signals.mtls == 0.0


def test_spans_meet_the_proxies_numbers_in_one_edge():
    cart = edge("web", "cart")
    found = only_edge(
        live(
            seen(cart, answered(100), at=10),
            seen(edge("web", "cart", via=None), answered(97), at=10, by=Reporter.TRACE, security=Security.UNKNOWN),
            seen(edge("web", None, via="cart"), answered(2), at=10, by=Reporter.TRACE, security=Security.UNKNOWN),
        )
    )
    assert found.signals.requests == 100
    assert [(one.reporter, one.requests) for one in found.evidence] == [("source", 100), ("trace", 99)]


def test_a_tcp_edge_shows_the_proxys_bytes_with_the_spans_requests():
    redis = edge("cart", "redis", protocol=Protocol.TCP)
    found = only_edge(
        live(
            seen(redis, answered(sent_bytes=1000.0, received_bytes=5000.0, opened=1.0), at=10),
            seen(redis, answered(50, samples=(2.0,) * 50), at=10, by=Reporter.TRACE, security=Security.UNKNOWN),
        )
    )
    assert (found.signals.sent_bps, found.signals.received_bps) == (100, 500)
    assert found.signals.requests == 50
    assert found.signals.p95_ms is not None
    assert found.signals.mtls == 1.0


def test_many_protected_bytes_do_not_hide_a_plaintext_request():
    graph = live(
        seen(edge("orders", "db", protocol=Protocol.TCP), answered(sent_bytes=1e6), at=10),
        seen(edge("orders", "stock"), answered(5), at=10),
        seen(edge("orders", "stock"), answered(5), at=10, by=Reporter.DESTINATION),
        seen(edge("orders", "pay"), answered(5), at=10, security=Security.NONE),
    )
    assert graph.snapshot(VAPP, 10).nodes["vapp:Kubernetes/shop/orders"].outbound.mtls == pytest.approx(0.75)


def test_databases_queues_and_hosts_that_only_traces_know_are_nodes_of_their_kind():
    peers = {
        "db:redis@127.0.0.9:6379": NodeKind.DATABASE,
        "queue:orders": NodeKind.QUEUE,
        "ext:api.example.com": NodeKind.EXTERNAL,
    }
    graph = live(
        *(
            seen(
                edge("cart", WorkloadRef("Kubernetes", "shop", "", app, ""), via=None),
                answered(1),
                at=10,
                by=Reporter.TRACE,
            )
            for app in peers
        )
    )
    nodes = {node.id: (node.kind, node.label) for node in graph.snapshot(VAPP, 10).nodes.values()}
    assert nodes["db:Kubernetes/shop/redis@127.0.0.9:6379"] == (NodeKind.DATABASE, "redis")
    assert nodes["queue:Kubernetes/shop/orders"] == (NodeKind.QUEUE, "orders")
    assert nodes["ext:Kubernetes/shop/api.example.com"] == (NodeKind.EXTERNAL, "api.example.com")


def test_requests_that_never_arrived_point_at_the_service():
    found = only_edge(live(seen(edge("web", None, via="cart"), answered(lost=3), at=10)))
    assert found.target == "svc:Kubernetes/shop/cart"
    assert found.health is Health.FAILURE


def test_requests_that_never_arrived_leave_the_picture_with_their_window():
    calls = [seen(edge("web", "cart"), answered(second), at=second) for second in range(1, 31)]
    lost = [seen(edge("web", None, via="cart"), answered(lost=3), at=second) for second in range(2, 31)]
    graph = live(*calls, *lost, after=30)
    assert only_edge(graph, 10).id == WEB_CART
    assert "svc:Kubernetes/shop/cart" not in graph.snapshot(VAPP, 10).nodes
    assert len(graph.snapshot(VAPP, 60).edges) == 2


def test_a_host_outside_stays_in_the_picture_while_nobody_calls_it():
    graph = LiveGraph(clock=FixedClock())
    graph.inventory(inventory(workload("orders"), external=("pay.example.com",)))
    for second in range(1, 31):
        graph.observe([seen(edge("orders", None, via="pay.example.com"), answered(2), at=second)])
        graph.tick(T0 + 1000 * second)
    assert only_edge(graph, 10).presence is Presence.IDLE


def test_what_exists_without_traffic_is_there_and_idle():
    graph = LiveGraph(clock=FixedClock())
    graph.inventory(inventory(workload("cart", "v1"), external=("pay.example.com",)))
    graph.tick(T0 + 1000)
    nodes = graph.snapshot(VAPP, 60).nodes
    assert nodes["vapp:Kubernetes/shop/cart/v1"].health is Health.IDLE
    assert nodes["vapp:Kubernetes/shop/cart/v1"].inbound is None
    assert nodes["ext:Kubernetes/shop/pay.example.com"].kind is NodeKind.EXTERNAL
    assert "svc:Kubernetes/shop/cart" in graph.snapshot(GraphType.SERVICE, 60).nodes


def test_a_restarted_proxy_loses_nothing():
    calls = edge("web", "cart")
    graph = live(
        seen(calls, answered(100), at=2),
        seen(calls, answered(5), at=4),
        seen(calls, answered(9), at=6, epoch=T0 + 5000),
    )
    assert only_edge(graph).signals.requests == 114


def test_what_a_proxy_counted_before_the_graph_watched_is_no_traffic_of_now():
    calls = edge("web", "cart")
    graph = live(seen(calls, answered(1000), at=1, epoch=5), seen(calls, answered(1010), at=6, epoch=5))
    found = only_edge(graph)
    assert found.signals.requests == 10
    assert found.signals.covered_s == 5  # from the first reading to the last


def test_a_new_edge_of_a_proxy_that_was_heard_before_counts_from_its_first_request():
    graph = live(
        seen(edge("web", "cart"), answered(1000), at=1, epoch=5),
        seen(edge("web", "pay"), answered(3), at=6, epoch=5),
    )
    assert (
        graph.snapshot(VAPP, 10).edges["vapp:Kubernetes/shop/web>vapp:Kubernetes/shop/pay>http"].signals.requests == 3
    )


def test_traffic_leaves_the_window_but_stays_in_a_longer_one():
    calls = edge("web", "cart")
    graph = live(*(seen(calls, answered(20), at=second) for second in range(1, 31)), after=30)
    short, long = only_edge(graph, 10), only_edge(graph, 60)
    assert (short.signals.requests, short.presence, short.health) == (0, Presence.IDLE, Health.IDLE)
    assert (long.signals.requests, long.presence) == (20, Presence.LIVE)


def test_an_edge_whose_reporter_falls_silent_is_stale_then_gone():
    calls = edge("web", "cart")
    graph = live(*(seen(calls, answered(second), at=second) for second in range(1, 11)), after=20)
    assert only_edge(graph, 60).presence is Presence.STALE
    assert only_edge(graph, 60).signals.requests == 10
    for second in range(30, 400, 10):
        graph.tick(T0 + 1000 * second)
    assert not graph.snapshot(VAPP, 60).edges


def test_unchanged_things_are_the_same_objects_and_the_delta_holds_the_rest():
    calm, busy = edge("web", "cart"), edge("web", "pay")
    graph = live(seen(calm, answered(0), at=8), seen(busy, answered(1), at=8), after=12)
    old = graph.snapshot(VAPP, 10)
    graph.observe([seen(calm, answered(0), at=13), seen(busy, answered(4), at=13)])
    graph.tick(T0 + 13_000)
    new = graph.snapshot(VAPP, 10)
    assert new.edges[WEB_CART] is old.edges[WEB_CART]
    change = delta(old, new)
    assert [one.target for one in change.edges.values()] == ["vapp:Kubernetes/shop/pay"]
    assert apply(old, change) == new


def test_series_show_the_course_of_an_edge():
    calls = edge("web", "cart")
    graph = live(*(seen(calls, answered(10 * second, failed=second), at=second) for second in range(1, 61)), after=60)
    course = graph.course(VAPP, 60, WEB_CART)
    assert len(course.at_ms) >= 15
    assert all(rate == pytest.approx(11) for rate in course.rate)
    assert course.error_ratio[-1] == pytest.approx(1 / 11)
    assert graph.course(VAPP, 60, "vapp:Kubernetes/shop/cart").rate == course.rate
    assert graph.course(VAPP, 60, "nobody").at_ms == ()


def test_a_nodes_course_can_be_asked_for_in_one_direction():
    sees = [(edge("web", "cart"), 10), (edge("cart", "db"), 3)]
    graph = live(
        *(
            seen(calls, answered(each * second, samples=(20.0,) * each * second), at=second)
            for calls, each in sees
            for second in range(1, 61)
        ),
        after=60,
    )
    cart = "vapp:Kubernetes/shop/cart"
    came, went = (graph.course(VAPP, 60, cart, direction=one) for one in Direction)
    assert came.rate == graph.course(VAPP, 60, WEB_CART).rate
    assert all(rate == pytest.approx(3) for rate in went.rate)
    assert None not in (*came.p50_ms, *came.p99_ms)
    assert graph.course(VAPP, 60, "vapp:Kubernetes/shop/db", direction=Direction.OUTBOUND).rate == ()


def test_a_course_reaches_back_to_before_something_was_first_counted():
    calls = edge("web", "cart")
    graph = live(
        *(seen(calls, answered(10 * second), at=second) for second in range(1, 61)),
        seen(calls, answered(610, failed=61, samples=(10.0,) * 610), at=61),
        after=61,
    )
    course = graph.course(VAPP, 60, WEB_CART)
    assert course.error_ratio[0] == 0
    assert course.error_ratio[-1] > 0
    assert (course.p95_ms[0], course.p95_ms[-1] is None) == (None, False)


def test_series_of_the_dead_are_forgotten_and_the_living_keep_their_numbers():
    calls, dead = edge("web", "cart"), edge("old", "cart")
    graph = live(seen(dead, answered(5), at=1, instance="old"), seen(calls, answered(50), at=1), after=2)
    for minute in range(1, 70):
        graph.observe([seen(calls, answered(50 + minute), at=60 * minute)])
        graph.tick(T0 + 60_000 * minute)
    assert graph.state().series == 1
    assert only_edge(graph, 300).signals.requests == 5


def test_a_service_graph_speaks_of_services_and_keeps_roots():
    graph = LiveGraph(clock=FixedClock())
    graph.inventory(inventory(workload("web"), workload("cart", "v1"), workload("cart", "v2"), workload("stock")))
    graph.observe(
        [
            seen(edge("ingress", "web"), answered(9), at=1),
            seen(edge("web", "cart@v1"), answered(4), at=1),
            seen(edge("web", "cart@v2"), answered(5), at=1),
            seen(edge("cart@v1", "stock"), answered(3), at=1),
        ]
    )
    graph.tick(T0 + 5000)
    snapshot = graph.snapshot(GraphType.SERVICE, 10)
    assert {(one.source, one.target, one.signals.requests) for one in snapshot.edges.values()} == {
        ("wl:Kubernetes/shop/ingress", "svc:Kubernetes/shop/web", 9),
        ("svc:Kubernetes/shop/web", "svc:Kubernetes/shop/cart", 9),
        ("svc:Kubernetes/shop/cart", "svc:Kubernetes/shop/stock", 3),
    }


def test_an_external_host_stays_a_node_of_its_own_in_every_graph():
    graph = LiveGraph(clock=FixedClock())
    graph.inventory(inventory(workload("orders"), external=("pay.example.com",)))
    graph.observe([seen(edge("orders", None, via="pay.example.com"), answered(2), at=1)])
    graph.tick(T0 + 5000)
    for kind in GraphType:
        (found,) = graph.snapshot(kind, 10).edges.values()
        assert found.target == "ext:Kubernetes/shop/pay.example.com"
    assert service("pay.example.com").name == "pay.example.com"


def test_what_comes_to_exist_before_any_traffic_is_shown():
    graph = LiveGraph(clock=FixedClock(T0))
    for second, known in enumerate(([], [workload("web")], [workload("web"), workload("cart", "v1")]), 1):
        graph.inventory(inventory(*known))
        graph.tick(T0 + 1000 * second)
        assert len(graph.snapshot(GraphType.WORKLOAD, 60).nodes) == len(known)
