"""Whose traffic it is that several speak of, and do not know the same of."""

from __future__ import annotations

from clocks import FixedClock
from graph_words import NOBODY, T0, answered, edge, inventory, seen, workload

from graph.live import LiveGraph
from graph.model import GraphType, Reporter

VERSIONS = GraphType.VERSIONED_APP


def test_a_callee_that_speaks_before_its_callers_makes_no_workload_that_there_is_not():
    principal = "spiffe://cluster.local/ns/shop/sa/web"
    versions = workload("web", "v1"), workload("web", "v2")
    graph = LiveGraph(clock=FixedClock())
    told = {"by": Reporter.DESTINATION, "source_principal": principal}
    graph.observe([seen(edge(NOBODY, "cart"), answered(100), at=5, **told)])
    graph.inventory(inventory(*versions))
    graph.tick(T0 + 10_000)
    assert next(iter(graph.snapshot(VERSIONS, 10).edges.values())).source == "vapp:Kubernetes/shop/web/v1"
    graph.observe(
        seen(edge(f"web@{version}", "cart"), answered(count), at=10, source_principal=principal)
        for version, count in (("v1", 60), ("v2", 40))
    )
    graph.tick(T0 + 11_000)
    edges = graph.snapshot(VERSIONS, 10).edges.values()
    assert {one.source[-2:]: one.signals.requests for one in edges} == {"v1": 60, "v2": 40}


def test_of_apps_that_share_an_account_none_is_taken_for_the_caller():
    principal = "spiffe://cluster.local/ns/shop/sa/default"
    graph = LiveGraph(clock=FixedClock())
    told = {"by": Reporter.DESTINATION, "source_principal": principal}
    graph.observe([seen(edge(NOBODY, "cart"), answered(100), at=5, **told)])
    apps = workload("web"), workload("jobs")
    graph.inventory(inventory(*apps, accounts=dict.fromkeys(apps, "default")))
    graph.tick(T0 + 10_000)
    assert next(iter(graph.snapshot(VERSIONS, 10).edges.values())).source == "vapp:Kubernetes/shop/default"
