"""What leaves the graph as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from clocks import FixedClock
from graph_words import T0, answered, edge, inventory, seen, workload

from graph import figures
from graph.differ import delta
from graph.live import LiveGraph
from graph.model import GraphType, Protocol, Reporter, WorkloadRef
from graph.wire import delta_json, snapshot_json

VAPP = GraphType.VERSIONED_APP
WEB, CART = "vapp:Kubernetes/shop/web", "vapp:Kubernetes/shop/cart/v1"


def shop(seconds=30) -> LiveGraph:
    graph = LiveGraph(clock=FixedClock())
    graph.inventory(inventory(workload("web"), workload("cart", "v1"), external=('pay "<&>"',)))
    for second in range(1, seconds + 1):
        graph.observe(
            [
                seen(
                    edge("web", "cart@v1"),
                    answered(10 * second, failed=second, samples=(7.0,) * 10 * second),
                    at=second,
                ),
                seen(edge("web", "cart@v1"), answered(10 * second), at=second, by=Reporter.DESTINATION),
                seen(
                    edge("cart@v1", "redis", protocol=Protocol.TCP),
                    answered(sent_bytes=100.0 * second, opened=1.0),
                    at=second,
                ),
                seen(
                    edge("cart@v1", WorkloadRef("Kubernetes", "shop", "", "db:pg", ""), via=None),
                    answered(second),
                    at=second,
                    by=Reporter.TRACE,
                ),
            ]
        )
        graph.tick(T0 + 1000 * second)
    return graph


@pytest.fixture(scope="module")
def graph():
    return shop()


def test_a_snapshot_is_json_that_names_every_number(graph):
    data = json.loads(json.dumps(snapshot_json(graph.snapshot(VAPP, 10))))
    assert (data["type"], data["graph"], data["window"], data["revision"]) == ("snapshot", "versionedApp", 10, 30)
    assert data["boxes"] == [{"id": "ns:Kubernetes/shop", "label": "shop", "kind": "namespace"}]
    (calls,) = [one for one in data["edges"] if one["target"] == CART]
    assert calls["id"] == f"{WEB}>{CART}>http"
    assert calls["codes"] == {"200": 100, "503": 10}
    assert calls["flags"] == {"UF": 10}
    assert (calls["rate"], calls["errorRatio"], calls["mtls"], calls["covered"]) == (11, 0.090909, 1, 10)
    assert [one["reporter"] for one in calls["evidence"]] == ["source", "destination"]
    assert calls["evidence"][0]["origin"] == "a test"
    (cart,) = [one for one in data["nodes"] if one["id"] == CART]
    assert (cart["parent"], cart["health"], cart["replicas"]) == ("ns:Kubernetes/shop", "degraded", 1)
    assert cart["in"]["requests"] == 110
    assert cart["out"]["sent"] == 100


@pytest.mark.parametrize("kind", list(GraphType))
def test_what_leaves_is_the_same_however_nodes_and_edges_are_held(graph, kind):
    by_column = graph.snapshot(kind, 10)
    one_by_one = replace(by_column, nodes=dict(by_column.nodes), edges=dict(by_column.edges))
    assert json.dumps(snapshot_json(one_by_one)) == json.dumps(snapshot_json(by_column))


def test_find_compares_the_digits_that_leave(graph):
    snapshot = graph.snapshot(VAPP, 10)
    for told, edge_ in zip(snapshot_json(snapshot)["edges"], snapshot.edges.values(), strict=True):
        signals = edge_.signals
        assert (told["rate"], told["errorRatio"]) == (figures.rate(signals), figures.error_ratio(signals))
        assert (told["sent"], told["received"]) == (figures.sent(signals), figures.received(signals))
        assert (told["p95"], told["mtls"]) == tuple(map(figures.thousandths, (signals.p95_ms, signals.mtls)))


def test_a_delta_is_json(graph):
    young = shop(29)
    old = young.snapshot(VAPP, 10)
    data = json.loads(json.dumps(delta_json(delta(old, graph.snapshot(VAPP, 10)), graph.snapshot(VAPP, 10))))
    assert (data["type"], data["from"], data["to"]) == ("delta", 29, 30)
    assert data["goneNodes"] == data["goneEdges"] == []
