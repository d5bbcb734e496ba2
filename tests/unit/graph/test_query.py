"""The find/hide language on a small snapshot."""

from __future__ import annotations

import pytest
from graph_words import T0, FixedClock, answered, edge, inventory, seen, workload

from graph.live import LiveGraph
from graph.model import GraphType, Protocol, Reporter, Security
from graph.query import Query, QueryError, parse


@pytest.fixture(scope="module")
def snapshot():
    graph = LiveGraph(clock=FixedClock())
    graph.inventory(inventory(workload("web"), workload("cart", "v1"), workload("cart", "v2"), workload("idler")))
    graph.observe(
        [
            seen(edge("web", "cart@v1"), answered(90, samples=(3.0,) * 90), at=5),
            seen(edge("web", "cart@v2"), answered(5, failed=5, samples=(700.0,) * 10), at=5, security=Security.NONE),
            seen(edge("cart@v1", "redis", protocol=Protocol.TCP), answered(sent_bytes=900.0, opened=1.0), at=5),
            seen(edge("cart@v2", None, via="stock"), answered(lost=1), at=5, by=Reporter.SOURCE),
        ]
    )
    graph.tick(T0 + 10_000)
    return graph.snapshot(GraphType.VERSIONED_APP, 10)


def nodes(snapshot, text):
    query = parse(text)
    assert isinstance(query, Query), query
    return {f"{node.label} {node.version}".strip() for node in snapshot.nodes.values() if query.matches_node(node)}


def edges(snapshot, text):
    query = parse(text)
    assert isinstance(query, Query), query
    found = [one for one in snapshot.edges.values() if query.matches_edge(one)]
    return {one.target.removeprefix("vapp:Kubernetes/shop/").removeprefix("svc:Kubernetes/shop/") for one in found}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = cart", {"cart v1", "cart v2"}),
        ("app=cart AND version=v1", {"cart v1"}),
        ("name = cart and version != v1", {"cart v2"}),
        ("NS = Shop and !name = cart", {"web", "redis", "idler", "stock"}),
        ("name ^= c or name $= er", {"cart v1", "cart v2", "idler"}),
        ("name !*= a", {"web", "redis", "idler", "stock"}),
        ("is idle", {"idler"}),
        ("!healthy", {"web", "cart v2", "stock"}),
        ("not healthy and not name = web", {"cart v2", "stock"}),
        ("!healthy and (name = web or version = v2)", {"web", "cart v2"}),
        ("!healthy and name = web or version = v1", {"web", "cart v1"}),
        ("version = v1 or !healthy and name = web", {"web", "cart v1"}),
        ("trafficsource", {"web"}),
        ("version = NaN", {"web", "redis", "idler", "stock"}),
        ("svc = stock", {"stock"}),
        ("in > 5", {"cart v1"}),
        ("replicas = 1", {"web", "cart v1", "cart v2", "idler"}),
        ('name = "cart"', {"cart v1", "cart v2"}),
        ("node = svc", {"stock"}),
        ("principal $= /sa/web", {"web"}),
    ],
)
def test_finds_nodes(snapshot, text, expected):
    assert nodes(snapshot, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http > 5", {"cart/v1"}),
        ("%err >= 50", {"cart/v2", "stock"}),
        ("%httperr > 10%", {"cart/v2", "stock"}),
        ("rt > 500ms", {"cart/v2"}),
        ("responsetime<10", {"cart/v1"}),
        ("p99 = NaN", {"redis", "stock"}),
        ("mtls", {"cart/v1", "redis", "stock"}),
        ("!mtls", {"cart/v2"}),
        ("has mtls and http > 5", {"cart/v1"}),
        ("protocol = tcp", {"redis"}),
        ("tcp > 50", {"redis"}),
        ("flags = UF", {"cart/v2"}),
        ("code = 503 or code = 0", {"cart/v2", "stock"}),
        ("traffic", {"cart/v1", "cart/v2", "redis", "stock"}),
        ("name = web or rate > 5", {"cart/v1"}),
        ("!(http > 5 or tcp > 50)", {"cart/v2", "stock"}),
    ],
)
def test_finds_edges(snapshot, text, expected):
    assert edges(snapshot, text) == expected


def test_a_node_term_never_matches_an_edge_not_even_negated(snapshot):
    assert edges(snapshot, "!name = web") == set()
    assert nodes(snapshot, "!mtls") == set()


def test_an_empty_expression_matches_nothing(snapshot):
    assert nodes(snapshot, "  ") == set()


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("name = ", 7, "a value"),
        ("name", 4, "needs an operator"),
        ("nam = x", 0, "no operand 'nam'"),
        ("name = x and", 12, "expected an operand"),
        ("name = x or or", 12, "no operand 'or'"),
        ("(name = x", 9, "expected ')'"),
        ("name = x y = z", 9, "'and' or 'or'"),
        ("name = x and rt > 5", 9, "join them with 'or'"),
        ("rt > fast", 5, "compares numbers"),
        ("mtls = yes", 5, "is yes or no"),
        (")", 0, "not ')'"),
        ('name = "x', 7, "cannot read"),
        ("!" * 100 + "mtls", 50, "deep"),
        ("x" * 3000, 2000, "at most"),
    ],
)
def test_says_where_an_expression_is_wrong(text, position, words):
    error = parse(text)
    assert isinstance(error, QueryError)
    assert (error.position, words in error.message) == (position, True), error
