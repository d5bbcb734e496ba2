"""Who answers for a cluster's Services, as their EndpointSlices say it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from collectors.inventory.services import Endpoints
from collectors.kubernetes.names import ref_of
from collectors.kubernetes.objects import ClusterObjects, Endpoint, Pod
from graph.model import WorkloadRef

ServiceName = tuple[str, str]
"""Namespace and name."""


def endpoints_of(objects: ClusterObjects, cluster: str) -> Mapping[ServiceName, Endpoints]:
    """Say who answers for the Services that have EndpointSlices: all that select pods, and those led by hand. Pure."""
    told: defaultdict[ServiceName, dict[str, Endpoint]] = defaultdict(dict)
    for one in objects.slices:
        # a pod is listed once per family of addresses
        told[one.namespace, one.service] |= {each.pod or each.addresses[0]: each for each in one.endpoints}
    pods = _Pods(objects.pods, cluster)
    return {
        (namespace, name): Endpoints(
            ready=sum(one.ready for one in found.values()),
            known=len(found),
            workloads=pods.behind(namespace, found.values()),
        )
        for (namespace, name), found in told.items()
    }


class _Pods:
    """Finds the workload of an endpoint: by its pod's name, or, where somebody wrote addresses only, by them."""

    def __init__(self, pods: Iterable[Pod], cluster: str) -> None:
        there = [(pod, ref_of(pod, cluster)) for pod in pods if pod.holds_address]
        self._named = {(pod.namespace, pod.name): ref for pod, ref in there}
        self._at = {address: ref for pod, ref in there if not pod.on_host_network for address in pod.addresses}

    def behind(self, namespace: str, endpoints: Iterable[Endpoint]) -> tuple[WorkloadRef, ...]:
        """Name the workloads, if all are known: calls of a Service are taken for calls of the only one behind it."""
        found = {self._named.get((namespace, one.pod)) or self._at.get(one.addresses[0]) for one in endpoints}
        return () if None in found else tuple(sorted(ref for ref in found if ref))
