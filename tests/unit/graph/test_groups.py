"""What belongs together, as data."""

from __future__ import annotations

from clocks import FixedClock
from graph_words import T0, answered, edge, seen
from hypothesis import given
from hypothesis import strategies as st

from graph.differ import delta
from graph.groups import groups_of
from graph.live import LiveGraph
from graph.model import GraphType, Node, NodeKind, Snapshot
from graph.wire import delta_json, snapshot_json


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


def drawn(nodes, revision):
    return Snapshot(
        type=GraphType.WORKLOAD,
        window_s=10,
        revision=revision,
        at_ms=T0,
        nodes={node.id: node for node in nodes},
        edges={},
    )


placed = st.builds(
    lambda number, namespace, app: Node(
        id=str(number), kind=NodeKind.WORKLOAD, cluster="c", namespace=namespace, label="", app=app
    ),
    st.integers(0, 5),
    st.sampled_from(["", "shop", "depot"]),
    st.sampled_from(["", "web", "cart"]),
)


@given(st.lists(placed), st.lists(placed))
def test_differences_lead_from_the_groups_before_to_those_after(before, after):
    old, new = drawn(before, 1), drawn(after, 2)
    change = delta(old, new)
    followed = groups_of(old.nodes.values()) | {group.id: group for group in change.groups}
    assert {id_: group for id_, group in followed.items() if id_ not in change.gone_groups} == groups_of(
        new.nodes.values()
    )


def test_the_stream_tells_groups_only_when_their_nodes_are_others():
    graph = LiveGraph(clock=FixedClock())
    graph.observe([seen(edge("web", "cart@v1"), answered(1), at=1)])
    graph.tick(T0 + 5000)
    first = graph.snapshot(GraphType.VERSIONED_APP, 10)
    graph.observe([seen(edge("web", "cart@v1"), answered(2), at=6)])
    graph.tick(T0 + 6000)
    second = graph.snapshot(GraphType.VERSIONED_APP, 10)
    quiet = delta_json(delta(first, second), second)
    assert quiet["nodes"]
    assert (quiet["groups"], quiet["goneGroups"]) == ([], [])
    graph.observe([seen(edge("web", "cart@v2"), answered(1), at=7)])
    graph.tick(T0 + 7000)
    third = graph.snapshot(GraphType.VERSIONED_APP, 10)
    told = delta_json(delta(second, third), third)["groups"]
    assert [one["label"] for one in told] == ["cart", "Kubernetes", "shop"]
