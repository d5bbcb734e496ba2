"""ServiceEntries: hosts that one entry declares become one node."""

from __future__ import annotations

from collections import defaultdict

from graph.kiali.traffic import End, Traffic, TrafficNode, is_ok
from graph.model import Inventory, NodeKind, Service


def merge_service_entries(traffic: Traffic, inventory: Inventory) -> None:
    """Make one node of all hosts of an entry, named as the entry, with its hosts and location."""
    groups: defaultdict[tuple[str, str, str], list[tuple[TrafficNode, Service]]] = defaultdict(list)
    entries = [one for one in inventory.services.values() if one.kind is NodeKind.EXTERNAL or one.location]
    for node in traffic.nodes.values():
        entry = _entry(node, entries) if node.type == "service" and not node.injected and not node.escapes else None
        if entry:
            groups[entry.ref.cluster, entry.ref.namespace, entry.entry or entry.ref.name].append((node, entry))
    for (cluster, namespace, name), members in groups.items():
        _merge(traffic, End(cluster, namespace, name, "", "", "", ""), members, entries)


def _entry(node: TrafficNode, entries: list[Service]) -> Service | None:
    for one in entries:
        if is_ok(node.cluster) and node.cluster != one.ref.cluster:
            continue
        for host in one.hosts:
            labels = host.split(".")
            multicluster = len(labels) == 3 and labels[2] == "global"
            inside = one.location == "MESH_INTERNAL" and not multicluster and labels[0] == node.service
            if host == node.service or inside:
                return one
    return None


def _merge(traffic: Traffic, end: End, members: list[tuple[TrafficNode, Service]], entries: list[Service]) -> None:
    first = members[0][1]
    doomed = {node.id for node, _ in members}
    old = {id_: traffic.nodes.pop(id_) for id_ in doomed}
    merged = traffic.node(end)
    if merged is None:
        traffic.nodes |= old
        return
    siblings = [one for one in entries if (one.ref.cluster, one.ref.namespace, one.entry or one.ref.name) == end[:3]]
    merged.data["isServiceEntry"] = {
        "hosts": sorted({host for one in siblings for host in one.hosts}),
        "location": first.location or "MESH_EXTERNAL",
        "namespace": first.ref.namespace,
    }
    for node in old.values():
        merged.called |= node.called
        for name, rate in node.rates.items():
            merged.rates[name] += rate
        for edge in node.edges.values():
            merged.edge_to(edge.target, edge.protocol).take(edge)
    for node in traffic.nodes.values():
        for key in [key for key in node.edges if key[0] in doomed]:
            edge = node.edges.pop(key)
            node.edge_to(merged, edge.protocol).take(edge)
