"""The find/hide language on a small snapshot."""

from __future__ import annotations

import pytest
from clocks import FixedClock
from drawn import call, graph, node
from graph_words import T0, answered, edge, inventory, seen, workload

from graph.live import LiveGraph
from graph.model import GraphType, Health, NodeKind, Outcome, Presence, Protocol, Reporter, Security, Signals
from graph.query import Query, QueryError, find, hide, parse


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


def found(snapshot, text, namespaces=()):
    query = parse(text)
    assert isinstance(query, Query), query
    return find(snapshot, query, namespaces)


def nodes(snapshot, text):
    named = (snapshot.nodes[id_] for id_ in found(snapshot, text).nodes)
    return {f"{node.label} {node.version}".strip() for node in named}


def edges(snapshot, text):
    ends = {snapshot.edges[id_].target for id_ in found(snapshot, text).edges}
    return {end.removeprefix("vapp:Kubernetes/shop/").removeprefix("svc:Kubernetes/shop/") for end in ends}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = cart", {"cart v1", "cart v2"}),
        ("app=cart AND version=v1", {"cart v1"}),
        ("name = 'cart' and name = \"cart\"", {"cart v1", "cart v2"}),
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
        ("code >= 500 or code = -", {"cart/v2", "stock"}),
        ("traffic", {"cart/v1", "cart/v2", "redis", "stock"}),
        ("name = web or rate > 5", {"cart/v1"}),
        ("!(http > 5 or tcp > 50)", {"cart/v2", "stock"}),
    ],
)
def test_finds_edges(snapshot, text, expected):
    assert edges(snapshot, text) == expected


SHOP = graph(
    call(
        "web",
        "cart",
        6,
        p50_ms=5.0,
        p95_ms=20.0,
        p99_ms=40.0,
        mtls=1.0,
        sent_bps=100.0,
        principals=(("sa/web", "sa/cart"),),
    ),
    call("web", "mail", 2, protocol=Protocol.GRPC, error_ratio=0.25, outcomes={Outcome("200", "14", "UF"): 20.0}),
    call("web", "stock", 2, presence=Presence.STALE, health=Health.FAILURE, error_ratio=0.07),
    call("web", "get", 4),
    call("cart", "db", 900, protocol=Protocol.TCP),
    call("cart", "idle", 0),
    nodes=[
        node(
            "web", outbound=Signals(window_s=10, covered_s=10.0, rate=14.0), principals=("spiffe://c/ns/shop/sa/web",)
        ),
        node(
            "cart",
            version="v1",
            workload="cart-v1",
            app="basket",
            replicas=2,
            labels=(("team", "Red"), ("app.k8s.io/x", "1")),
            inbound=Signals(window_s=10, covered_s=10.0, rate=6.0),
            badges=("virtual-service", "request-routing", "traffic-shifting"),
        ),
        node(
            "mail",
            namespace="post",
            cluster="d",
            kind=NodeKind.SERVICE,
            service="mail",
            health=Health.DEGRADED,
            inbound=Signals(window_s=10, covered_s=10.0, rate=2.0),
            badges=("timeout", "mirroring", "fault-injection", "circuit-breaker"),
        ),
        node(
            "stock", health=Health.FAILURE, replicas=0, badges=("no-sidecar", "workload-entry", "tcp-traffic-shifting")
        ),
        node("get", kind=NodeKind.OPERATION, label="GET /x"),
        node("db", kind=NodeKind.DATABASE),
        node("idle", kind=NodeKind.GATEWAY),
        node("host", kind=NodeKind.EXTERNAL),
        node("probe", kind=NodeKind.PROBE, namespace="unknown"),
    ],
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app = basket", "cart"),
        ("cluster = d", "mail"),
        ("grpcin > 0", "mail"),
        ("grpcin = 2", "mail"),
        ("grpcout >= 2", "web"),
        ("httpin = 6", "cart"),
        ("httpin != 6", "stock get idle"),
        ("httpout > 11", "web"),
        ("tcpin = 900", "db"),
        ("tcpout = 900", "cart"),
        ("httpin = NaN and httpout = NaN", "mail db host probe"),
        ("label:team = red", "cart"),
        ("label:app.k8s.io/x > 0", "cart"),
        ("has label:team", "cart"),
        ("label:team != red and rank < 3", "web"),
        ("name = basket", "cart"),
        ("name contains ail", "mail"),
        ("name startswith st or name endswith X", "stock get"),
        ('name =~ "car.|MAIL"', "cart mail"),
        ('name !~ ".*[aeo].*" and ns !~ unknown', "db"),
        ("name not contains a and rank = 3", "stock get db idle"),
        ("namespace = post", "mail"),
        ("ns !startswith sh", "mail probe"),
        ("node = svc", "mail"),
        ("node = op", "get"),
        ("node = unknown", "probe"),
        ("operation contains /x", "get"),
        ("op = NaN and node = app and rank = 1", "web"),
        ("rank = 1", "web"),
        ("rank = 2", "cart"),
        ("rank > 3", "host probe"),
        ("service = mail", "mail"),
        ("version = v1", "cart"),
        ("workload = cart-v1", "cart"),
        ("principal endswith web", "web"),
        ("health = failure", "stock"),
        ("replicas < 1", "stock"),
        ("in = 6", "cart"),
        ("out = 14", "web"),
        ("cb", "mail"),
        ("dead", "stock"),
        ("fi", "mail"),
        ("!healthy", "mail stock"),
        ("degraded", "mail"),
        ("failure", "stock"),
        ("idle and db", "db"),
        ("inaccessible", "probe"),
        ("mirroring", "mail"),
        ("rr", "cart"),
        ("rto", "mail"),
        ("se", "host"),
        ("sidecar", "stock"),
        ("outofmesh", "stock"),
        ("tcpts", "stock"),
        ("ts", "cart"),
        ("root", "web"),
        ("vs", "cart"),
        ("we", "stock"),
        ("unknown", "probe"),
        ("gateway", "idle"),
    ],
)
def test_every_operand_of_nodes(text, expected):
    assert found(SHOP, text).nodes == set(expected.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grpc = 2", "mail"),
        ("%grpcerr = 25", "mail"),
        ("%grpcerror > 24%", "mail"),
        ("%grpctraffic = 100", "mail"),
        ("http = 6", "cart"),
        ("%httperr = 7", "stock"),
        ("%httptraffic = 50", "cart"),
        ("%httptraffic < 20", "stock"),
        ("%err > 6.9", "mail stock"),
        ("protocol = grpc", "mail"),
        ("rt = 20ms", "cart"),
        ("p50 < 6", "cart"),
        ("p99 = 40", "cart"),
        ("tcp = 900", "db"),
        ("throughput > 99", "cart db"),
        ("rate = 4", "get"),
        ("sourceprincipal endswith web", "cart"),
        ("destprincipal = sa/cart", "cart"),
        ("code = 14", "mail"),
        ("flags = UF", "mail"),
        ("flags = NaN and grpc = NaN and http = NaN", "db"),
        ("mtls", "cart"),
        ("!traffic", "idle"),
        ("stale", "stock"),
        ("unhealthy", "stock"),
    ],
)
def test_every_operand_of_edges(text, expected):
    assert {SHOP.edges[id_].target for id_ in found(SHOP, text).edges} == set(expected.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rt = 0.02s", "cart"),
        ("rt = '20 ms' and p50 = 5000us", "cart"),
        ("p99 >= .04S and p99 < 1min", "cart"),
        ("rate < 0.003k and rate > 1.9/s", "mail stock"),
        ("tcp = 0.9kB and tcp = 900B/s and tcp < 1MB/s and tcp < 1k", "db"),
        ("%err = 7% or %err = 25.0", "mail stock"),
    ],
)
def test_numbers_are_written_with_the_units_that_they_are_shown_with(text, expected):
    assert {SHOP.edges[id_].target for id_ in found(SHOP, text).edges} == set(expected.split())


def test_throughput_is_of_connections_and_of_bodies():
    told = graph(call("web", "cart", 6, request_bps=1500.0, response_bps=600.0), nodes=[node("web"), node("cart")])
    assert found(told, "throughput = 2.1kB/s").edges == set(told.edges)
    assert found(told, "tcp > 0").edges == set()


def test_outside_is_what_is_in_none_of_the_chosen_namespaces():
    assert found(SHOP, "outside", ["shop"]).nodes == {"mail"}
    assert found(SHOP, "is outsider").nodes == set()


def test_hiding_takes_edges_with_their_nodes_and_nodes_with_their_last_edge():
    left = hide(SHOP, parse("name = web or tcp > 1"))
    assert set(left.nodes) == {"cart", "idle", "host", "probe"}
    assert set(left.edges) == {"cart>idle>http"}
    assert hide(SHOP, parse("")) == SHOP


def test_a_node_term_never_matches_an_edge_not_even_negated(snapshot):
    assert edges(snapshot, "!name = web") == set()
    assert nodes(snapshot, "!mtls") == set()


def test_an_empty_expression_matches_nothing(snapshot):
    assert nodes(snapshot, "  ") == set()


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("name = a b", 9, "expected 'and' or 'or' before 'b'; a text with blanks stands in quotes"),
        ("name = 'a b' c", 13, "before 'c'"),
        ("protocol = amqp", 11, "protocol is never 'amqp'; it is one of grpc, http, tcp"),
        ("health != poor", 10, "it is one of degraded, failure, healthy, idle, not_ready"),
        ("has label:", 10, "expected a label's key after 'label:', as in 'label:app'"),
        ("name = ", 7, "a value"),
        ("name", 4, "needs an operator"),
        ("nam = x", 0, "no operand 'nam'"),
        ("name = x and", 12, "expected an operand"),
        ("name = x or or", 12, "expected an operand, not 'or'"),
        ("(name = x", 9, "expected ')'"),
        ("name = x y = z", 9, "'and' or 'or'"),
        ("name = x and rt > 5", 9, "join them with 'or'"),
        ("rt > fast", 5, "'fast' is not a length of time, as in 250, 250ms or 1.5s"),
        ("rt > 10k", 5, "'10k' is not a length of time"),
        ("rate > 5ms", 7, "'5ms' is not a rate per second, as in 500, 10k or 1.5M"),
        ("%err > 5ms", 7, "'5ms' is not a percentage"),
        ("tcp > 5%", 6, "'5%' is not bytes per second"),
        ("replicas > 2k", 11, "'2k' is not a number"),
        ("rate > inf", 7, "is not a rate"),
        ("rate > 1_000", 7, "is not a rate"),
        ("mtls = yes", 5, "is yes or no"),
        (")", 0, "not ')'"),
        ('name = "x', 7, "cannot read"),
        ("rate *= 5", 5, "compares texts, and rate is a number"),
        ('name =~ "(x"', 8, "not a regular expression"),
        ("rate =~ 5", 5, "compares texts, and rate is a number"),
        ("nmae = x", 0, "did you mean name"),
        ("xyzzy = x", 0, "there are "),
        ("rank = first", 7, "'first' is not a number, as in 5 or 0.5"),
        ("node = pod", 7, "it is one of app, "),
        ("idle and contains x", 9, "no operand 'contains'"),
        ("!" * 100 + "mtls", 50, "deep"),
        ("x" * 3000, 2000, "at most"),
    ],
)
def test_says_where_an_expression_is_wrong(text, position, words):
    error = parse(text)
    assert isinstance(error, QueryError)
    assert (error.position, words in error.message) == (position, True), error
