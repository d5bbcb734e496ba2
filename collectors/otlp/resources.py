"""Which workload a span's resource stands for."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from collectors.otlp.wire import text
from graph.model import UNKNOWN, WorkloadRef

WORKLOAD_KEYS = (
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
    "k8s.replicaset.name",
)


def resource_attributes(encoded: bytes) -> dict[str, str]:
    """Decode a resource; one that is malformed has no attributes."""
    try:
        resource = Resource.FromString(encoded)
    except DecodeError:
        return {}
    return {one.key: text(one.value) for one in resource.attributes}


def workload_of(attributes: Mapping[str, str], *, cluster: str, longest: int = 256) -> WorkloadRef:
    """Name the workload by its Kubernetes attributes, else by ``service.*``; namespace ``unknown`` when none is told."""

    def said(*keys: str) -> str:
        return next((attributes[key][:longest] for key in keys if attributes.get(key)), "")

    app = said("service.name", *WORKLOAD_KEYS) or UNKNOWN
    version = said("service.version")
    return WorkloadRef(
        said("k8s.cluster.name") or cluster,
        said("k8s.namespace.name", "service.namespace") or UNKNOWN,
        said(*WORKLOAD_KEYS) or (f"{app}-{version}" if version else app),
        app,
        version,
    )


class Workloads:
    """Remembers resources by their bytes: a process sends the same ones with every request."""

    def __init__(self, *, cluster: str, most: int, longest: int) -> None:
        self._cluster = cluster
        self._most = most
        self._longest = longest
        self._known: dict[bytes, WorkloadRef] = {}
        self._same: dict[WorkloadRef, WorkloadRef] = {}

    def of(self, resource: bytes) -> WorkloadRef:
        """Name the workload of an encoded resource."""
        known = self._known.get(resource)
        if known is None:
            known = workload_of(resource_attributes(resource), cluster=self._cluster, longest=self._longest)
            if len(self._known) >= self._most:
                self._known, self._same = {}, {}
            known = self._same.setdefault(known, known)
            if len(resource) <= 16 * 1024:
                self._known[resource] = known
        return known
