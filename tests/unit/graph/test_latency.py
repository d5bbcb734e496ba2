"""Latency of what groups exchange: quantiles of all requests together."""

from __future__ import annotations

import pytest
from clocks import FixedClock
from graph_words import T0, answered, edge, inventory, seen, workload
from hypothesis import given
from hypothesis import strategies as st

from graph.latency import between, latencies
from graph.live import LiveGraph
from graph.model import GraphType

samples = st.lists(st.floats(0.1, 900), min_size=1, max_size=20)


def snapshots(kind, *seen_):
    graph = LiveGraph(clock=FixedClock())
    graph.inventory(inventory(workload("web"), external=("pay.example.com",)))
    graph.observe(seen_)
    graph.tick(T0 + 5000)
    return graph.snapshot(kind, 10), graph.snapshot(GraphType.FINEST, 10)


def told(kind, shut, *seen_):
    projected, finest = snapshots(kind, *seen_)
    found = latencies(projected, finest, shut, (0.5, 0.95))
    return {(one.source, one.target): took for one, took in found}


@pytest.mark.parametrize("kind", [GraphType.VERSIONED_APP, GraphType.WORKLOAD])
@given(fast=samples, slow=samples)
def test_the_quantiles_of_several_edges_are_those_of_one_that_carries_all_their_requests(kind, fast, slow):
    store = workload("store", namespace="depot")
    apart = [
        seen(edge("web", store), answered(len(fast), samples=fast), at=1),
        seen(edge("cart", store), answered(len(slow), samples=slow), at=1),
    ]
    both = seen(edge("web", store), answered(len(fast + slow), samples=fast + slow), at=1)
    ends = [took for ends, took in told(kind, {"ns:Kubernetes/shop"}, *apart).items() if "shop" in ends[0]]
    assert ends == [took for ends, took in told(kind, {"ns:Kubernetes/shop"}, both).items() if "shop" in ends[0]]
    assert len(ends) == 1


def test_edges_within_a_shut_group_and_between_open_nodes_are_not_put_together():
    far = [workload(name, namespace="depot") for name in ("store", "scale")]
    seen_ = [edge("web", "cart"), edge("cart", far[0]), edge(*far), edge(workload("van", namespace="road"), far[1])]
    projected, _ = snapshots(GraphType.WORKLOAD, *(seen(one, answered(1), at=1) for one in seen_))
    names = {(one.source, one.target.rpartition("/")[2]) for one in between(projected, {"ns:Kubernetes/shop"})}
    assert names == {("ns:Kubernetes/shop", "store")}


def test_the_outermost_of_shut_groups_stands_for_a_node():
    projected, _ = snapshots(GraphType.WORKLOAD, seen(edge("web", workload("s", namespace="depot")), answered(1), at=1))
    assert between(projected, {"cluster:Kubernetes", "ns:Kubernetes/shop"}) == ()
