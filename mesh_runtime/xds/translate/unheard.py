"""Policies that say nothing, because an older one of their kind is for the same: as Istio, without being silent of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mesh_runtime.api.networking import Sidecar
from mesh_runtime.api.objects import ROOT_NAMESPACE, ConfigObject
from mesh_runtime.api.security import PeerAuthentication
from mesh_runtime.api.telemetry import Telemetry
from mesh_runtime.registry import Instance
from mesh_runtime.xds.translate.world import World, selects

_Group = tuple[str, Sequence[ConfigObject]]
"""Policies of one width, the oldest first, and what they are for."""


def unheard_policies(world: World, instance: Instance) -> tuple[str, ...]:
    """Say which policies would hold for a workload if no older one did."""
    namespace, labels = instance.namespace, dict(instance.labels)
    key = "unheard", namespace, tuple(sorted(labels.items()))
    return world.once(key, lambda: tuple(_unheard(world, namespace, labels)))


def _unheard(world: World, namespace: str, labels: Mapping[str, str]) -> Iterator[str]:
    for what, found in _groups(world, namespace, labels):
        for item in found[1:]:
            yield f"{item.key} is not heard: {found[0].key} is for the same {what}, and older"


def _groups(world: World, namespace: str, labels: Mapping[str, str]) -> Iterator[_Group]:
    for kind in ("PeerAuthentication", "Sidecar", "Telemetry"):
        for where in dict.fromkeys((ROOT_NAMESPACE, namespace)):
            wide = [item for item in world.objects(kind, where) if not _chosen(item)]
            yield "mesh" if where == ROOT_NAMESPACE else "namespace", wide
    for kind in ("PeerAuthentication", "Sidecar"):
        own = world.objects(kind, namespace)
        yield "workload", [item for item in own if selects(_chosen(item), labels)]


def _chosen(item: ConfigObject) -> Mapping[str, str]:
    """Return by which labels a policy chooses workloads; empty: it is for all."""
    match item.spec:
        case Sidecar():
            return item.spec.labels
        case PeerAuthentication() | Telemetry() if item.spec.selector:
            return item.spec.selector.match_labels
        case Telemetry():
            return {one.name: one.kind for one in item.spec.references}
    return {}
