"""Callers that nobody could name are called what they are, with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from clocks import FixedClock
from graph_words import NOBODY, T0, answered, edge, inventory, seen, service, workload

from graph.live import LiveGraph
from graph.model import GraphType, Inventory, NodeKind, Reporter, WorkloadRef
from graph.strangers import caller_of


def caller(reading, known=None):
    graph = LiveGraph(clock=FixedClock())
    graph.inventory(known or Inventory())
    graph.observe([reading])
    graph.tick(T0 + 5000)
    snapshot = graph.snapshot(GraphType.VERSIONED_APP, 10)
    [found] = snapshot.edges.values()
    return snapshot.nodes[found.source]


def unnamed(target="cart", **more):
    return seen(edge(NOBODY, target, **more.pop("edge", {})), answered(3), at=1, by=Reporter.DESTINATION, **more)


def test_who_comes_through_a_gateway_is_a_client_outside():
    known = inventory(workload("gate"))
    known = replace(known, workloads={ref: replace(one, kind=NodeKind.GATEWAY) for ref, one in known.workloads.items()})
    found = caller(unnamed("gate"), known)
    assert (found.kind, found.label) == (NodeKind.OUTSIDE, "outside")
    assert "gateway" in found.reason


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("GET /healthz", NodeKind.PROBE),
        ("GET /app-health/cart/livez", NodeKind.PROBE),
        ("GET /metrics", NodeKind.SCRAPER),
        ("GET /stats/prometheus", NodeKind.SCRAPER),
        ("GET /cart", NodeKind.UNKNOWN),
    ],
)
def test_who_asks_for_nothing_but_health_or_metrics_is_a_probe_or_a_scraper(operation, kind):
    found = caller(unnamed(operation=operation))
    assert found.kind is kind
    assert found.reason


def test_who_calls_addresses_instead_of_services_is_passed_through():
    found = caller(unnamed(edge={"via": "InboundPassthroughCluster"}))
    assert (found.kind, found.label) == (NodeKind.UNKNOWN, "passthrough")


def test_where_nothing_tells_the_caller_is_unlabelled_with_a_way_out():
    found = caller(unnamed())
    assert (found.id, found.label) == ("unknown:Kubernetes", "unlabelled")
    assert "mesh" in found.reason


def test_a_caller_that_introduces_itself_has_its_own_node():
    probe = WorkloadRef("Kubernetes", "unknown", "", "probe:kube-probe", "")
    found = caller(seen(edge(probe, "cart"), answered(3), at=1, by=Reporter.TRACE))
    assert (found.kind, found.label) == (NodeKind.PROBE, "kube-probe")
    assert service("cart").name == "cart"


@pytest.mark.parametrize(
    ("agent", "path", "named"),
    [
        ("kube-probe/1.31", "/", "probe:kube-probe"),
        ("Prometheus/3.5.0", "/metrics", "scraper:Prometheus"),
        ("", "/readyz", "probe:probe"),
        ("", "/cart", ""),
        ("curl/8.5.0", "/healthz", ""),
    ],
)
def test_callers_introduce_themselves_by_agent_or_else_by_path(agent, path, named):
    assert caller_of(agent, path) == named
