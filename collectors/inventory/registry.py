"""The bundled mesh's workloads: those that agents registered."""

from __future__ import annotations

from collections import defaultdict

from graph.model import NodeKind, Workload, WorkloadRef
from mesh_runtime.registry import Instance, RegistryState, Role

DEFAULT_CLUSTER = "Kubernetes"
"""Istio's own name for the only cluster."""


def workload_ref(instance: Instance) -> WorkloadRef:
    """Name the workload that an instance is a copy of."""
    return WorkloadRef(DEFAULT_CLUSTER, instance.namespace, instance.workload, instance.app, instance.version)


def workloads_of(state: RegistryState) -> list[Workload]:
    """List every workload with its replicas; instances that drain still exist, and are no replicas any more."""
    copies: defaultdict[WorkloadRef, list[Instance]] = defaultdict(list)
    for instance in sorted(state.instances.values(), key=lambda one: one.id):
        copies[workload_ref(instance)].append(instance)
    return [
        Workload(
            ref=ref,
            kind=NodeKind.GATEWAY if instances[0].role is Role.GATEWAY else NodeKind.WORKLOAD,
            replicas=sum(not one.draining for one in instances),
            service_account=instances[0].service_account,
            labels=instances[0].labels,
        )
        for ref, instances in copies.items()
    ]
