"""What leaves the graph: JSON, other tools' formats, and frames for the disk."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
import zlib

import networkx as nx
import pytest
from graph_words import T0, FixedClock, answered, edge, inventory, seen, workload

from graph.differ import delta
from graph.export import FORMATS, caption
from graph.history import FrameError, decode, encode, rebuild
from graph.live import LiveGraph
from graph.model import GraphType, Protocol, Reporter, WorkloadRef
from graph.paths import callees, callers, cycles, layers
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


def test_a_delta_is_json(graph):
    young = shop(29)
    old = young.snapshot(VAPP, 10)
    data = json.loads(json.dumps(delta_json(delta(old, graph.snapshot(VAPP, 10)), graph.snapshot(VAPP, 10))))
    assert (data["type"], data["from"], data["to"]) == ("delta", 29, 30)
    assert data["goneNodes"] == data["goneEdges"] == []


def test_graphml_svg_dot_and_mermaid_are_well_formed(graph):
    snapshot = graph.snapshot(VAPP, 10)
    read = nx.parse_graphml(FORMATS["graphml"](snapshot))
    assert read.nodes[CART]["health"] == "degraded"
    assert len(read.edges) == 3
    assert len(ET.fromstring(FORMATS["svg"](snapshot)).findall(".//{*}path")) >= 3
    text = FORMATS["dot"](snapshot)
    assert text.count("->") == 3
    assert r"pay \"<&>\"" in text
    assert FORMATS["mermaid"](snapshot).count("-->|") == 3


def test_a_caption_says_what_flows(graph):
    edges = graph.snapshot(VAPP, 10).edges
    assert caption(edges[f"{WEB}>{CART}>http"]) == "11.0/s, 9.1% errors, p95 10 ms"
    assert caption(edges[f"{CART}>vapp:Kubernetes/shop/redis>tcp"]) == "0.1 kB/s"


def test_the_shape_of_a_snapshot_answers_questions(graph):
    snapshot = graph.snapshot(VAPP, 10)
    assert callers(snapshot, CART) == {WEB}
    assert callees(snapshot, CART) == {"vapp:Kubernetes/shop/redis", "db:Kubernetes/shop/pg"}
    assert callers(snapshot, "nobody") == frozenset()
    assert cycles(snapshot) == ()
    assert [WEB in column for column in layers(snapshot)] == [True, False, False]


def test_a_circle_of_calls_is_found():
    graph = LiveGraph(clock=FixedClock())
    graph.observe([seen(edge("a", "b"), answered(1), at=1), seen(edge("b", "a"), answered(1), at=1)])
    graph.tick(T0 + 2000)
    snapshot = graph.snapshot(VAPP, 10)
    assert cycles(snapshot) == (frozenset({"vapp:Kubernetes/shop/a", "vapp:Kubernetes/shop/b"}),)
    assert "<svg" in FORMATS["svg"](snapshot)


def test_a_window_of_the_past_is_rebuilt_exactly():
    graph, frames, known = LiveGraph(clock=FixedClock()), [], {}
    graph.inventory(inventory(workload("web"), workload("cart", "v1")))
    for second in range(1, 101):
        batch = [seen(edge("web", "cart@v1"), answered(second**2, samples=(7.0,) * second), at=second)]
        if second > 40:
            batch.append(seen(edge("web", "pay"), answered(second), at=second))
        graph.observe(batch)
        graph.tick(T0 + 1000 * second)
        if second % 10 == 0:
            frames.append(encode(graph.frame()))
            known[second] = {kind: graph.snapshot(kind, 10) for kind in GraphType}
    for second, snapshots in known.items():
        for kind, snapshot in snapshots.items():
            then = [decode(frame) for frame in frames[max(0, second // 10 - 2) : second // 10]]
            rebuilt = rebuild(then, kind, 10, T0 + 1000 * second + 500)
            assert rebuilt.nodes == snapshot.nodes
            assert {id_: one.signals for id_, one in rebuilt.edges.items()} == {
                id_: one.signals for id_, one in snapshot.edges.items()
            }
    assert rebuild([decode(frames[3])], VAPP, 10, T0 + 30_000) is None


def test_a_window_of_the_past_never_reaches_behind_a_restart():
    old, new = shop(30), LiveGraph(clock=FixedClock(T0 + 40_000))
    new.observe(
        [seen(edge("web", "cart@v1"), answered(1000), at=41), seen(edge("web", "cart@v1"), answered(1007), at=45)]
    )
    new.tick(T0 + 45_000)
    rebuilt = rebuild([decode(encode(old.frame())), decode(encode(new.frame()))], VAPP, 60, T0 + 50_000)
    (found,) = rebuilt.edges.values()
    assert found.signals.requests == 7
    assert found.signals.covered_s == 4


@pytest.mark.parametrize("damage", [b"", b"x", zlib.compress(b"{}"), zlib.compress(b"\xff" * 200), None])
def test_damaged_frames_are_refused(graph, damage):
    data = encode(graph.frame())[:-20] if damage is None else damage
    with pytest.raises(FrameError):
        decode(data)


def test_frames_are_small(graph):
    assert len(encode(graph.frame())) < 1500
