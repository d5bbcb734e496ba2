"""Two clusters' halves of the same calls become one path, and no request is counted twice."""

import random
from dataclasses import replace

import pytest
from graph_words import NOBODY, T0, answered, seen
from hypothesis import example, given
from hypothesis import strategies as st

from graph.model import (
    EdgeKey,
    GraphType,
    Inventory,
    NodeKind,
    Protocol,
    Reporter,
    Security,
    Service,
    ServiceRef,
    Workload,
    WorkloadRef,
)
from graph.moment import snapshot_of
from graph.stitch import Stitcher

WEB = WorkloadRef("east", "shop", "web", "web", "")
INGRESS = WorkloadRef("west", "istio-system", "ingress", "ingress", "")
CART = WorkloadRef("west", "depot", "cart", "cart", "")
ENTRY = ServiceRef("east", "shop", "cart.example.com")
INGRESS_SERVICE = ServiceRef("west", "istio-system", "ingress")
CART_SERVICE = ServiceRef("west", "depot", "cart")
OUT = EdgeKey(WEB, ENTRY, None, Protocol.HTTP)
LED = EdgeKey(WEB, INGRESS_SERVICE, INGRESS, Protocol.HTTP)
IN = EdgeKey(NOBODY._replace(cluster="west"), INGRESS_SERVICE, INGRESS, Protocol.HTTP)
WITHIN = EdgeKey(INGRESS, CART_SERVICE, CART, Protocol.HTTP)


def running(ref, **more):
    return Workload(**{"ref": ref, "kind": NodeKind.WORKLOAD, "replicas": 1} | more)


def called(ref, *workloads, kind=NodeKind.SERVICE, **more):
    host = f"{ref.name}.{ref.namespace}.svc.cluster.local"
    return Service(**{"ref": ref, "kind": kind, "hosts": (host,), "workloads": workloads} | more)


def declared(host="cart.example.com", **more):
    ref = ENTRY._replace(name=host)
    return called(ref, kind=NodeKind.EXTERNAL, hosts=(host,), entry="cart", **more)


def world(*services, hosts=("cart.example.com",), workloads=()):
    ingress = running(INGRESS, kind=NodeKind.GATEWAY, hosts=hosts)
    own = (called(INGRESS_SERVICE, INGRESS, addresses=("203.0.113.7",)), called(CART_SERVICE, CART))
    return Inventory(
        workloads={one.ref: one for one in (ingress, running(WEB), running(CART), *workloads)},
        services={one.ref: one for one in (*own, *services)},
    )


WORLD = world(declared())


@pytest.mark.parametrize(
    ("known", "key", "host"),
    [
        (WORLD, OUT, ""),
        (world(declared("a.example.com"), hosts=("*.example.com",)), OUT._replace(service=ENTRY._replace(name="a.example.com")), ""),
        (world(declared(addresses=("203.0.113.7",)), hosts=()), OUT, ""),
        (world(), OUT._replace(service=ServiceRef("east", "unknown", "PassthroughCluster")), "cart.example.com:443"),
        (world(), EdgeKey(WEB, None, WorkloadRef("east", "shop", "", "ext:cart.example.com", ""), Protocol.HTTP), ""),
    ],
    ids=["host of a Gateway", "wildcard", "address of a gateway's Service", "not declared", "known by spans only"],
)  # fmt: skip
def test_a_call_out_of_a_cluster_leads_to_the_gateway_that_it_enters_another_by(known, key, host):
    assert Stitcher(known).edge(key, host) == LED


def test_a_declared_service_of_another_cluster_is_called_itself():
    entry = replace(declared("cart.depot.svc.cluster.local"), kind=NodeKind.SERVICE)
    assert Stitcher(world(entry)).edge(OUT._replace(service=entry.ref)) == EdgeKey(
        WEB, CART_SERVICE, CART, Protocol.HTTP
    )


def test_ends_that_a_trace_knows_are_joined_by_the_callees_own_service():
    assert Stitcher(WORLD).edge(OUT._replace(target=CART)) == EdgeKey(WEB, CART_SERVICE, CART, Protocol.HTTP)


def test_a_host_of_several_clusters_or_of_the_callers_own_is_left_alone():
    for cluster in ("north", "east"):
        other = running(INGRESS._replace(cluster=cluster), kind=NodeKind.GATEWAY, hosts=("cart.example.com",))
        assert Stitcher(world(declared(), workloads=[other])).edge(OUT) == OUT
    inside = EdgeKey(WEB, ServiceRef("east", "shop", "cart"), None, Protocol.HTTP)
    assert Stitcher(WORLD).edge(inside) == inside


def drawn(*observations, known=WORLD, kind=GraphType.WORKLOAD):
    edges = snapshot_of(observations, known, kind, T0, T0 + 60_000).edges.values()
    return {(edge.source, edge.target): edge.signals.requests for edge in edges}


WEB_ID, INGRESS_ID, CART_ID = "wl:east/shop/web", "wl:west/istio-system/ingress", "wl:west/depot/cart"
OUTSIDE_ID = "outside:west"


def halves(*, by_web, at_ingress, inside=0, reporter=Reporter.DESTINATION):
    return [
        seen(OUT, answered(by_web), at=10, security=Security.NONE),
        seen(IN, answered(at_ingress), at=10, by=reporter, instance="ingress", security=Security.NONE),
        seen(WITHIN, answered(inside), at=10, instance="ingress out"),
    ]


@pytest.mark.parametrize("reporter", [Reporter.DESTINATION, Reporter.TRACE])
def test_both_halves_of_a_call_are_one_path(reporter):
    assert drawn(*halves(by_web=100, at_ingress=98, inside=98, reporter=reporter)) == {
        (WEB_ID, INGRESS_ID): 100,
        (INGRESS_ID, CART_ID): 98,
    }


@pytest.mark.parametrize("reporter", [Reporter.DESTINATION, Reporter.TRACE])
def test_of_other_clients_only_what_is_theirs_is_left(reporter):
    found = drawn(*halves(by_web=60, at_ingress=100, reporter=reporter))
    assert found[WEB_ID, INGRESS_ID] == 60
    assert found[OUTSIDE_ID, INGRESS_ID] == 40


def test_the_finest_graph_keeps_the_host_that_was_asked_for():
    snapshot = snapshot_of(halves(by_web=10, at_ingress=10), WORLD, GraphType.FINEST, T0, T0 + 60_000)
    (edge,) = (one for one in snapshot.edges.values() if one.source == WEB_ID)
    assert (edge.host, edge.service) == ("cart.example.com", "istio-system/ingress")


keys = st.builds(
    EdgeKey,
    st.sampled_from([WEB, INGRESS, CART, NOBODY._replace(cluster="west")]),
    st.sampled_from([None, ENTRY, INGRESS_SERVICE, CART_SERVICE, ServiceRef("east", "unknown", "other.org")]),
    st.sampled_from([None, WEB, INGRESS, CART]),
    st.sampled_from(Protocol),
)


@given(keys, st.sampled_from(["", "cart.example.com", "other.org"]))
def test_what_is_stitched_stays_as_it_is(key, host):
    stitcher = Stitcher(WORLD)
    once = stitcher.edge(key, host)
    assert stitcher.edge(once, host) == once
    assert (once.source, once.protocol) == (key.source, key.protocol)


@example(4, 6, random.Random(0))
@given(st.integers(0, 500), st.integers(0, 500), st.randoms())
def test_a_gateway_receives_what_it_counted_in_whatever_order_it_is_told(by_web, beside, chance):
    told = halves(by_web=by_web, at_ingress=by_web + beside)
    chance.shuffle(told)
    found = drawn(*told)
    total = sum(requests for (_, target), requests in found.items() if target == INGRESS_ID)
    lost = max(5, 0.1 * (by_web + beside)) if by_web else 0
    assert by_web + beside - lost <= total <= by_web + beside
    assert found.get((WEB_ID, INGRESS_ID), 0) == by_web
