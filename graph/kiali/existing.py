"""What exists and what does not: dead and idle nodes, proxies that are missing."""

from __future__ import annotations

from collections.abc import Iterator

from graph.kiali.options import Options
from graph.kiali.traffic import End, Traffic, TrafficNode, is_ok, is_version
from graph.model import UNKNOWN, Inventory, NodeKind, Workload, WorkloadRef


def workloads_of(node: TrafficNode, inventory: Inventory) -> list[Workload]:
    """Find what a node stands for: a workload, or all (of a version) of an app."""
    if is_ok(node.workload):
        return [one for ref, one in inventory.workloads.items() if _named(ref, node) and ref.workload == node.workload]
    return [
        one
        for ref, one in inventory.workloads.items()
        if _named(ref, node)
        and ref.app == node.app
        and node.app
        and (not is_version(node.version) or ref.version == node.version)
    ]


def _named(ref: WorkloadRef, node: TrafficNode) -> bool:
    return (ref.cluster, ref.namespace) == (node.cluster, node.namespace)


def remove_dead(traffic: Traffic, inventory: Inventory) -> None:
    """Remove nodes without traffic whose workload is gone, again and again; mark those without replicas."""
    clusters = {ref.cluster for ref in inventory.workloads}
    while dead := {id_ for id_, node in traffic.nodes.items() if _is_dead(node, inventory, clusters)}:
        traffic.remove(dead)


def _is_dead(node: TrafficNode, inventory: Inventory, clusters: set[str]) -> bool:
    if any(rate > 0 for name, rate in node.rates.items() if name.endswith(("In", "Out"))) or node.type == "aggregate":
        return False
    if node.type == "service":
        return not (node.edges or "isServiceEntry" in node.data or node.escapes)
    if node.type == "unknown":
        return True
    if not is_ok(node.workload) or node.cluster not in clusters:
        return False
    found = workloads_of(node, inventory)
    if found and not any(one.replicas for one in found):
        node.data["isDead"] = True
    return not found


def append_idle(traffic: Traffic, inventory: Inventory, options: Options) -> None:
    """Add what is there and has no traffic; not to node graphs."""
    if options.node:
        return
    for end in _idle(inventory, options):
        before = len(traffic.nodes)
        node = traffic.node(end)
        if node and len(traffic.nodes) > before:
            node.data["isIdle"] = True


def _idle(inventory: Inventory, options: Options) -> Iterator[End]:
    if options.graph_type == "service" or options.inject_service_nodes:
        for service in inventory.services.values():
            if service.ref.namespace in options.namespaces and service.kind is not NodeKind.EXTERNAL:
                yield End(service.ref.cluster, service.ref.namespace, service.ref.name, "", "", "", "")
    if options.graph_type != "service":
        for ref in inventory.workloads:
            if ref.namespace in options.namespaces:
                yield End(ref.cluster, "", "", ref.namespace, ref.workload, ref.app or UNKNOWN, ref.version or UNKNOWN)


def mark_existence(traffic: Traffic, inventory: Inventory) -> None:
    """Mark what runs without a proxy, and what ambient mode serves."""
    for node in traffic.nodes.values():
        if node.type not in {"workload", "app"} or node.data.get("isDead"):
            continue
        found = workloads_of(node, inventory)
        ambient = bool(found) and all("ambient" in one.badges for one in found)
        if ambient or node.waypoint:
            node.data["isAmbient"] = True
        elif any("no-sidecar" in one.badges and one.kind is not NodeKind.GATEWAY for one in found):
            node.data["isOutOfMesh"] = True
