"""What exists, traffic or not: the registry's instances and the config's services, in the graph's words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from graph.model import Inventory, NodeKind, Service, ServiceRef, Workload, WorkloadRef
from mesh_runtime.registry import Instance, RegistryState, Role

DEFAULT_CLUSTER = "Kubernetes"
"""Istio's own name for the only cluster."""

Badges = Mapping[WorkloadRef | ServiceRef, tuple[str, ...]]
NO_BADGES: Badges = {}


def workload_ref(instance: Instance, cluster: str = DEFAULT_CLUSTER) -> WorkloadRef:
    """Name the workload that an instance is a copy of."""
    return WorkloadRef(cluster, instance.namespace, instance.workload, instance.app, instance.version)


def inventory(
    state: RegistryState,
    services: Sequence[Service],
    badges: Badges = NO_BADGES,
    *,
    cluster: str = DEFAULT_CLUSTER,
) -> Inventory:
    """List every workload with its replicas, and every service with the workloads behind it.

    A service keeps the workloads it came with and gains those that were started for it; what is behind a database's
    service is a database. Instances that drain
    still exist, and are no replicas any more.
    """
    copies: defaultdict[WorkloadRef, list[Instance]] = defaultdict(list)
    behind: defaultdict[ServiceRef, dict[WorkloadRef, None]] = defaultdict(dict)
    for instance in sorted(state.instances.values(), key=lambda one: one.id):
        ref = workload_ref(instance, cluster)
        copies[ref].append(instance)
        if instance.service:
            behind[ServiceRef(cluster, instance.namespace, instance.service)][ref] = None
    databases = {
        ref for one in services if one.kind is NodeKind.DATABASE for ref in (*one.workloads, *behind.get(one.ref, ()))
    }
    workloads = {
        ref: Workload(
            ref=ref,
            kind=_kind(instances[0], is_database=ref in databases),
            replicas=sum(not one.draining for one in instances),
            service_account=instances[0].service_account,
            labels=instances[0].labels,
            badges=badges.get(ref, ()),
        )
        for ref, instances in copies.items()
    }
    known = {
        one.ref: replace(
            one,
            workloads=tuple(dict.fromkeys((*one.workloads, *behind[one.ref]))),
            badges=tuple(dict.fromkeys((*one.badges, *badges.get(one.ref, ())))),
        )
        for one in services
    }
    return Inventory(workloads=workloads, services=known)


def _kind(instance: Instance, *, is_database: bool) -> NodeKind:
    if instance.role is Role.GATEWAY:
        return NodeKind.GATEWAY
    return NodeKind.DATABASE if is_database else NodeKind.WORKLOAD
