"""Namespaces by the health of what is in them: the worst of it, and how many of each kind are in which health."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from graph.health import PRIORITY, worst
from graph.model import OUTSIDE_HOSTS, UNKNOWN, GraphType, Health, Node, Snapshot

TYPES = (GraphType.APP, GraphType.SERVICE, GraphType.WORKLOAD)
"""The graphs whose nodes Kiali's overview counts, and what such nodes have a name for."""


class NamespaceHealth(NamedTuple):
    """One namespace of one cluster."""

    cluster: str
    namespace: str
    health: Health
    """The worst of all its items; idle where none has traffic."""
    items: Mapping[GraphType, Mapping[Health, int]]
    """Per type of graph how many of its nodes are how well."""


def namespace_healths(snapshots: Iterable[Snapshot]) -> tuple[NamespaceHealth, ...]:
    """Judge all namespaces, those in the greatest trouble first; one snapshot for each type that counts."""
    found: defaultdict[tuple[str, str], dict[GraphType, Counter[Health]]] = defaultdict(dict)
    for snapshot in snapshots:
        for node in snapshot.nodes.values():
            if _is_item(node, snapshot.type):
                of = found[node.cluster, node.namespace].setdefault(snapshot.type, Counter())
                of[node.health] += 1
    judged = [
        NamespaceHealth(cluster, namespace, worst(health for of in items.values() for health in of), items)
        for (cluster, namespace), items in found.items()
    ]
    return tuple(sorted(judged, key=lambda one: (-PRIORITY.index(one.health), one.cluster, one.namespace)))


def _is_item(node: Node, kind: GraphType) -> bool:
    """Whether it is what the graph is made of: no service among workloads, no host outside, nobody unnamed."""
    return bool(getattr(node, kind)) and node.kind not in OUTSIDE_HOSTS and node.namespace not in {"", UNKNOWN}


def namespace_json(one: NamespaceHealth) -> dict[str, Any]:
    """One namespace as the API tells it: every health of every type with its count."""
    return {
        "cluster": one.cluster,
        "namespace": one.namespace,
        "health": one.health,
        "items": {kind: {health: one.items.get(kind, {}).get(health, 0) for health in Health} for kind in TYPES},
    }
