"""Questions about the shape and flow of small graphs, and of one trace."""

from __future__ import annotations

import pytest
from drawn import call, graph, node, span

from graph.analysis.blast import NONE, Share, blast_radius
from graph.analysis.chains import slowest_chains
from graph.analysis.cycles import cycles
from graph.analysis.neighbours import around, nodes_named, similar_names
from graph.analysis.single_points import single_points
from graph.analysis.trace_path import critical_path
from graph.analysis.words import Direction, Quantile, Weakness
from graph.model import NodeKind, Protocol

LINE = graph(call("a", "b"), call("b", "c"), call("c", "d"), call("x", "b"), call("b", "y"), call("x", "a"))


@pytest.mark.parametrize(
    ("depth", "direction", "edges"),
    [
        (1, Direction.BOTH, "ab xb bc by"),
        (1, Direction.UPSTREAM, "ab xb"),
        (1, Direction.DOWNSTREAM, "bc by"),
        (2, Direction.UPSTREAM, "ab xb xa"),
        (2, Direction.DOWNSTREAM, "bc by cd"),
        (None, Direction.BOTH, "ab xb xa bc by cd"),
    ],
)
def test_a_node_is_shown_with_whoever_is_so_many_calls_away(depth, direction, edges):
    found = around(LINE, {"b"}, depth, direction)
    assert {edge.source + edge.target for edge in found.edges.values()} == set(edges.split())
    assert set(found.nodes) == set("".join(edges.split()))


def test_a_node_is_found_by_its_id_and_by_every_name_that_people_give_it():
    shop = graph(
        nodes=[
            node("vapp:1", label="cart", version="v1", workload="cart-v1"),
            node("vapp:2", label="cart", version="v2", workload="cart-v2"),
            node("vapp:3", label="cart", version="v2", namespace="test"),
        ]
    )
    assert nodes_named(shop, "vapp:1") == {"vapp:1"}
    assert nodes_named(shop, "cart") == {"vapp:1", "vapp:2", "vapp:3"}
    assert nodes_named(shop, "shop/cart") == {"vapp:1", "vapp:2"}
    assert nodes_named(shop, "shop/cart v2") == {"vapp:2"}
    assert nodes_named(shop, "cart-v1") == {"vapp:1"}
    assert nodes_named(shop, "kart") == frozenset()
    assert "cart" in similar_names(shop, "kart")


def test_the_share_of_traffic_that_meets_a_failure_follows_the_observed_rates():
    # Of ten requests at the front six go to the cart, of which half go on to the stock.
    shop = graph(call("in", "front", 10), call("front", "cart", 6), call("cart", "stock", 3), call("in", "other", 10))
    found = blast_radius(shop, {"stock"})
    assert {one.id: (one.share.likely, one.hops) for one in found.callers} == {
        "cart": (0.5, 1),
        "front": (pytest.approx(0.3), 2),
        "in": (pytest.approx(0.15), 3),
    }
    assert found.share == (pytest.approx(0.15),) * 3
    assert (found.entry_rate, [one.id for one in found.entries], found.unharmed) == (20, ["in"], 1)


def test_versions_of_one_service_are_alternatives_and_services_independent():
    versions = graph(
        call("in", "front", 10),
        call("front", "v1", 8, service="shop/cart"),
        call("front", "v2", 2, service="shop/cart"),
        call("v1", "stock", 8),
        call("v2", "stock", 2),
    )
    assert blast_radius(versions, {"stock"}).share == (pytest.approx(1),) * 3
    services = graph(call("in", "front", 10), call("front", "a", 5), call("front", "b", 5))
    assert blast_radius(services, {"a", "b"}).share == (pytest.approx(0.5), pytest.approx(0.75), pytest.approx(1))


def test_plain_tcp_is_needed_by_every_request_of_its_caller():
    shop = graph(call("in", "cart", 5), call("cart", "db", 900, protocol=Protocol.TCP))
    assert blast_radius(shop, {"db"}).share == Share(1, 1, 1)
    only_bytes = graph(call("in", "a", 30, protocol=Protocol.TCP), call("in", "b", 10, protocol=Protocol.TCP))
    assert blast_radius(only_bytes, {"a"}).share == (0.75,) * 3


def test_whom_nobody_reaches_any_more_starves():
    found = blast_radius(LINE, {"b"})
    assert found.starved == ("c", "d", "y")
    assert blast_radius(LINE, {"a"}).starved == ()


def test_a_node_without_traffic_harms_nobody():
    found = blast_radius(graph(call("in", "a"), call("a", "b", 0), nodes=[node("idle")]), {"b", "idle"})
    assert (found.share, found.callers, found.starved, found.unharmed) == (NONE, (), (), 2)


def test_circles_of_calls_are_found_with_a_way_around():
    (larger, itself) = cycles(
        graph(call("in", "a"), call("a", "b", 2), call("b", "c"), call("c", "a"), call("b", "a"), call("d", "d"))
    )
    assert (larger.nodes, larger.way, larger.rate) == (("a", "b", "c"), ("a", "b", "a"), 5)
    assert (itself.way, itself.edges) == (("d", "d"), ("d>d>http",))
    assert cycles(LINE) == ()


def test_where_nothing_is_called_there_are_no_single_points():
    assert single_points(graph(nodes=[node("front"), node("back")])) == ()


def test_single_points_are_told_by_what_hangs_on_them():
    shop = graph(
        call("who", "front", 10),
        call("front", "v1", 5, service="shop/cart"),
        call("front", "v2", 5, service="shop/cart"),
        call("v1", "stock", 5),
        call("v2", "stock", 5),
        call("front", "mail", 1),
        nodes=[
            node("who", kind=NodeKind.UNKNOWN),
            node("front", replicas=3),
            node("v1", replicas=1),
            node("v2", replicas=1),
            node("stock", replicas=1),
        ],
    )
    found = single_points(shop)
    assert [(one.id, set(one.weaknesses)) for one in found] == [
        ("front", {Weakness.ONLY_WAY, Weakness.BRIDGE}),
        ("stock", {Weakness.ONE_REPLICA}),
        ("mail", {Weakness.NO_STAND_IN}),
    ]
    assert found[0].cut_off == ("mail", "stock", "v1", "v2")
    assert [one.share.likely for one in found] == [1, 1, pytest.approx(0.1)]


def test_the_slowest_chain_follows_what_most_time_per_request_goes_to():
    shop = graph(
        call("in", "front", 10, p95_ms=100.0),
        call("front", "cart", 5, p95_ms=80.0),
        call("front", "mail", 1, p95_ms=300.0),
        call("cart", "stock", 5, p95_ms=30.0),
        call("stock", "db", 900, protocol=Protocol.TCP),
        call("in", "other", 1, p95_ms=7.0),
    )
    slow, fast = slowest_chains(shop)
    assert [(step.target, step.latency_ms, step.added_ms, step.share) for step in slow.steps] == [
        ("front", 100, 60, 1),
        ("cart", 80, 25, 0.5),
        ("stock", 30, 15, 0.5),
    ]
    assert (slow.latency_ms, fast.latency_ms) == (100, 7)
    assert slowest_chains(shop, Quantile.P50) == ()
    assert slowest_chains(shop, limit=1) == (slow,)


def test_a_trace_waits_for_the_child_that_ended_last():
    found = critical_path(
        [span("root", 0, 100), span("a", 10, 60, "root"), span("b", 50, 90, "root"), span("c", 70, 80, "b")]
    )
    assert [(one.span_id, one.start_ns, one.end_ns) for one in found.segments] == [
        ("root", 0, 50),
        ("b", 50, 70),
        ("c", 70, 80),
        ("b", 80, 90),
        ("root", 90, 100),
    ]
    assert {one.span.span_id: (one.critical_ns, one.self_ns) for one in found.spans} == {
        "root": (60, 20),
        "b": (30, 30),
        "c": (10, 10),
        "a": (0, 50),
    }


def test_a_trace_is_cut_to_what_its_root_waited_for():
    found = critical_path(
        [
            span("root", 0, 100),
            span("skewed", -20, 30, "root"),
            span("goes on", 60, 400, "root"),
            span("afterwards", 150, 200, "root"),
            span("orphan", 0, 1000, "lost"),
        ]
    )
    assert [(one.span_id, one.start_ns, one.end_ns) for one in found.segments] == [
        ("skewed", 0, 30),
        ("root", 30, 60),
        ("goes on", 60, 100),
    ]
    assert found.apart == 1


def test_spans_that_are_each_others_parents_have_no_path():
    assert critical_path([span("a", 0, 1, "b"), span("b", 0, 1, "a")]) is None
