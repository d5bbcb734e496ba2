"""Which workload a span's resource stands for."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from collectors.dialects.words import owner_of
from collectors.otlp.memo import Memo
from collectors.otlp.wire import text
from graph.model import UNKNOWN, WorkloadRef

WORKLOAD_KEYS = (
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
)

REMEMBERED_BYTES = 4096


def resource_attributes(encoded: bytes) -> dict[str, str]:
    """Decode a resource; one that is malformed has no attributes."""
    try:
        resource = Resource.FromString(encoded)
    except DecodeError:
        return {}
    return {one.key: text(one.value) for one in resource.attributes}


def workload_of(attributes: Mapping[str, str], *, cluster: str, longest: int = 256) -> WorkloadRef:
    """Name the workload by its Kubernetes attributes, its pod's name the last of them, else by ``service.*``.

    The namespace is ``unknown`` when none is told.
    """

    def said(*keys: str) -> str:
        return next((attributes[key][:longest] for key in keys if attributes.get(key)), "")

    owner = said(*WORKLOAD_KEYS) or owner_of(said("k8s.pod.name")) or said("k8s.replicaset.name")
    app = said("service.name") or owner or UNKNOWN
    version = said("service.version")
    return WorkloadRef(
        said("k8s.cluster.name") or cluster,
        said("k8s.namespace.name", "service.namespace") or UNKNOWN,
        owner or (f"{app}-{version}" if version else app),
        app,
        version,
    )


class Workloads:
    """Remembers resources by their bytes: a process sends the same ones with every request."""

    def __init__(self, *, cluster: str, most: int, longest: int) -> None:
        self._cluster = cluster
        self._longest = longest
        self._known: Memo[bytes, WorkloadRef] = Memo(most)
        self._same: Memo[WorkloadRef, WorkloadRef] = Memo(most)

    def of(self, resource: bytes) -> WorkloadRef:
        """Name the workload of an encoded resource; equal ones are the same object."""
        return self._known.young.get(resource) or self._learn(resource)

    def _learn(self, resource: bytes) -> WorkloadRef:
        known = self._known.recall(resource)
        if known is None:
            named = workload_of(resource_attributes(resource), cluster=self._cluster, longest=self._longest)
            known = self._same.recall(named)
            if known is None:
                self._same.keep(named, known := named)
            if len(resource) <= REMEMBERED_BYTES:
                self._known.keep(resource, known)
        return known
