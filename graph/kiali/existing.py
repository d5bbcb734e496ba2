"""What exists and what does not: dead and idle nodes, proxies that are missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from graph.kiali.options import Options
from graph.kiali.traffic import End, Traffic, TrafficNode, is_ok, is_version
from graph.model import UNKNOWN, Inventory, NodeKind, Service, ServiceRef, Workload


class Existing:
    """The inventory, and what each node of a graph stands for in it."""

    def __init__(self, inventory: Inventory) -> None:
        self.workloads = inventory.workloads
        self.services = inventory.services
        self._named: defaultdict[tuple[str, str, str], list[Workload]] = defaultdict(list)
        self._of_app: defaultdict[tuple[str, str, str], list[Workload]] = defaultdict(list)
        for ref, one in inventory.workloads.items():
            self._named[ref.cluster, ref.namespace, ref.workload].append(one)
            self._of_app[ref.cluster, ref.namespace, ref.app].append(one)

    def behind(self, node: TrafficNode) -> list[Workload]:
        """Find what a node stands for: a workload, or all (of a version) of an app."""
        if is_ok(node.workload):
            return self._named.get((node.cluster, node.namespace, node.workload), [])
        if not is_ok(node.app):
            return []
        found = self._of_app.get((node.cluster, node.namespace, node.app), [])
        return [one for one in found if not is_version(node.version) or one.ref.version == node.version]

    def entries(self, node: TrafficNode) -> list[str]:
        """Name the WorkloadEntries with the app, and the version, of a node."""
        alike = self._of_app.get((node.cluster, node.namespace, node.app), []) if is_ok(node.app) else []
        version = node.version if is_version(node.version) else ""
        named = (one for one in alike if one.ref.version == version or not node.workload)
        return sorted({name for one in named for name in one.entries})

    def service(self, node: TrafficNode) -> Service | None:
        """Find the service that a node stands for."""
        if node.type != "service":
            return None
        return self.services.get(ServiceRef(node.cluster, node.namespace, node.service))


def remove_dead(traffic: Traffic, existing: Existing) -> None:
    """Remove nodes without traffic whose workload is gone, again and again; mark those without replicas."""
    clusters = {ref.cluster for ref in existing.workloads}
    while dead := {id_ for id_, node in traffic.nodes.items() if _is_dead(node, existing, clusters)}:
        traffic.remove(dead)


def _is_dead(node: TrafficNode, existing: Existing, clusters: set[str]) -> bool:
    if any(rate > 0 for name, rate in node.rates.items() if name.endswith(("In", "Out"))) or node.type == "aggregate":
        return False
    if node.type == "service":
        return not (node.edges or "isServiceEntry" in node.data or node.escapes)
    if node.type == "unknown":
        return True
    if not is_ok(node.workload) or node.cluster not in clusters:
        return False
    found = existing.behind(node)
    if found and not any(one.replicas for one in found):
        node.data["isDead"] = True
    return not found


def append_idle(traffic: Traffic, existing: Existing, options: Options) -> None:
    """Add what is there and has no traffic; not to node graphs."""
    if options.node:
        return
    for end in _idle(existing, options):
        before = len(traffic.nodes)
        node = traffic.node(end)
        if node and len(traffic.nodes) > before:
            node.data["isIdle"] = True


def _idle(existing: Existing, options: Options) -> Iterator[End]:
    if options.graph_type == "service" or options.inject_service_nodes:
        for service in existing.services.values():
            if service.ref.namespace in options.namespaces and service.kind is not NodeKind.EXTERNAL:
                yield End(service.ref.cluster, service.ref.namespace, service.ref.name, "", "", "", "")
    if options.graph_type != "service":
        for ref in existing.workloads:
            if ref.namespace in options.namespaces:
                yield End(ref.cluster, "", "", ref.namespace, ref.workload, ref.app or UNKNOWN, ref.version or UNKNOWN)


def mark_existence(traffic: Traffic, existing: Existing) -> None:
    """Mark what runs without a proxy, and what ambient mode serves."""
    for node in traffic.nodes.values():
        if node.type not in {"workload", "app"} or node.data.get("isDead"):
            continue
        found = existing.behind(node)
        ambient = bool(found) and all("ambient" in one.badges for one in found)
        if ambient or node.waypoint:
            node.data["isAmbient"] = True
        elif any("no-sidecar" in one.badges and one.kind is not NodeKind.GATEWAY for one in found):
            node.data["isOutOfMesh"] = True
