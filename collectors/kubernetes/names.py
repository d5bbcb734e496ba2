"""What pods, and what makes them, are called in the metrics of their mesh."""

from __future__ import annotations

from collectors.inventory.outside import NAMES, VERSIONS, first_label
from collectors.kubernetes.objects import Controller, Pod
from graph.model import WorkloadRef

NO_VERSION = frozenset({"latest", "unknown", ""})
"""What Istio's metrics say of workloads without a version."""


def ref_of(one: Pod | Controller, cluster: str) -> WorkloadRef:
    """Name the workload that a pod is a copy of, or that makes pods."""
    version = first_label(VERSIONS, one.labels)
    return WorkloadRef(
        cluster,
        one.namespace,
        one.owner.name,
        first_label(NAMES, one.labels) or one.owner.name,
        "" if version in NO_VERSION else version,
    )
