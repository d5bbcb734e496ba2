"""Which policies apply to a workload: Istio's rule for selectors and references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mesh_runtime.api.objects import ROOT_NAMESPACE, ConfigObject
from mesh_runtime.api.security import GATEWAY_NAME, Targeted
from mesh_runtime.registry import Instance, Role
from mesh_runtime.xds.translate.world import World, selects


class Workload(NamedTuple):
    """What instances have in common to which the same policies apply."""

    namespace: str
    labels: tuple[tuple[str, str], ...]
    gateway: bool


def workload_of(instance: Instance) -> Workload:
    """Return what tells which policies apply to an instance."""
    return Workload(instance.namespace, tuple(sorted(instance.labels.items())), instance.role is Role.GATEWAY)


def applying(world: World, kind: str, workload: Workload) -> Iterator[ConfigObject]:
    """Yield the policies of a kind that apply to a workload: the root namespace's, then its own namespace's."""
    labels = dict(workload.labels)
    for where in dict.fromkeys((ROOT_NAMESPACE, workload.namespace)):
        for item in world.objects(kind, where):
            if isinstance(item.spec, Targeted) and _applies(item.spec, where == workload.namespace, labels):
                yield item


def _applies(policy: Targeted, own: bool, labels: Mapping[str, str]) -> bool:
    if policy.references:
        name = labels.get(GATEWAY_NAME)
        return own and name is not None and any(reference.name == name for reference in policy.references)
    wanted = policy.selector.match_labels if policy.selector else {}
    return not wanted or selects(wanted, labels)
