"""Facts join what runs with how its callers find it."""

from __future__ import annotations

from graph.model import (
    GraphType,
    Inventory,
    Node,
    NodeKind,
    Service,
    ServiceRef,
    Signals,
    Snapshot,
    Workload,
    WorkloadRef,
)
from wizards.facts import facts_of

SERVICE = ServiceRef("Kubernetes", "shop", "catalog")


def workload(name: str, version: str, replicas: int) -> Workload:
    ref = WorkloadRef("Kubernetes", "shop", name, "catalog", version)
    return Workload(ref=ref, kind=NodeKind.WORKLOAD, replicas=replicas)


def inventory(*workloads: Workload) -> Inventory:
    refs = tuple(item.ref for item in workloads)
    service = Service(ref=SERVICE, kind=NodeKind.SERVICE, hosts=(), workloads=refs)
    return Inventory(workloads={item.ref: item for item in workloads}, services={SERVICE: service})


def snapshot(*nodes: Node) -> Snapshot:
    return Snapshot(
        type=GraphType.VERSIONED_APP,
        window_s=60,
        revision=1,
        at_ms=0,
        nodes={node.id: node for node in nodes},
        edges={},
    )


def test_each_version_has_its_instances_and_its_signals() -> None:
    seen = Signals(window_s=60, covered_s=60, requests=120, rate=2, errors=12, error_ratio=0.1, p95_ms=40, p99_ms=80)
    node = Node(
        id="vapp:Kubernetes/shop/catalog/v2",
        kind=NodeKind.WORKLOAD,
        cluster="Kubernetes",
        namespace="shop",
        label="catalog",
        app="catalog",
        version="v2",
        inbound=seen,
    )
    known = inventory(workload("catalog-v2", "v2", 1), workload("catalog-v1", "v1", 3))
    one, two = facts_of(known, snapshot(node), "shop", "catalog")
    assert (one.version, one.instances, one.requests, one.p95_ms) == ("v1", 3, 0, None)
    assert (two.version, two.instances, two.rate, two.error_ratio, two.p99_ms) == ("v2", 1, 2, 0.1, 80)
    assert two.selected_by({"version": "v2"})
    assert not two.selected_by({"version": "v2", "tier": "gold"})


def test_two_workloads_of_one_version_count_together() -> None:
    known = inventory(workload("catalog-a", "v1", 1), workload("catalog-b", "v1", 2))
    (both,) = facts_of(known, snapshot(), "shop", "catalog")
    assert both.instances == 3


def test_an_unknown_service_has_no_facts() -> None:
    assert facts_of(inventory(), snapshot(), "shop", "orders") == ()
