"""What pods, and what makes them, are called in the metrics of their mesh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from collectors.inventory.outside import NAMES, VERSIONS
from collectors.kubernetes.objects import Controller, Pod
from graph.model import WorkloadRef

NO_VERSION = frozenset({"latest", "unknown", ""})
"""What Istio's metrics say of workloads without a version."""


def ref_of(one: Pod | Controller, cluster: str) -> WorkloadRef:
    """Name the workload that a pod is a copy of, or that makes pods."""
    version = _first(VERSIONS, one.labels)
    return WorkloadRef(
        cluster,
        one.namespace,
        one.owner.name,
        _first(NAMES, one.labels) or one.owner.name,
        "" if version in NO_VERSION else version,
    )


def _first(names: Iterable[str], labels: Mapping[str, str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")
