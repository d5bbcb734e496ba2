"""What belongs together, as data."""

from __future__ import annotations

from graph_words import T0, FixedClock, answered, edge, seen

from graph.live import LiveGraph
from graph.model import GraphType
from graph.wire import snapshot_json


def test_a_snapshot_tells_clusters_their_namespaces_and_apps_of_several_versions():
    graph = LiveGraph(clock=FixedClock())
    graph.observe([seen(edge("web", "cart@v1"), answered(1), at=1), seen(edge("web", "cart@v2"), answered(1), at=1)])
    graph.tick(T0 + 5000)
    groups = snapshot_json(graph.snapshot(GraphType.VERSIONED_APP, 10))["groups"]
    assert [(one["kind"], one["label"], one["parent"]) for one in groups] == [
        ("app", "cart", "ns:Kubernetes/shop"),
        ("cluster", "Kubernetes", None),
        ("namespace", "shop", "cluster:Kubernetes"),
    ]
    assert len(groups[0]["nodes"]) == 2
    assert len(groups[1]["nodes"]) == 3
