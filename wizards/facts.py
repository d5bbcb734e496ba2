"""What is known of a service's versions right now, for those who decide and for the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graph.model import Inventory, Snapshot, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFacts:
    """One version of a service as it runs and as its callers found it in the snapshot's window."""

    version: str
    """The ``version`` label; empty where it has none."""
    instances: int
    labels: Mapping[str, str]
    requests: float = 0.0
    rate: float = 0.0
    error_ratio: float = 0.0
    p95_ms: float | None = None
    p99_ms: float | None = None

    def selected_by(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a subset with these labels consists of this version."""
        return all(self.labels.get(name) == value for name, value in labels.items())


Facts = Sequence[VersionFacts]
"""All versions of a service that run, by version."""


def facts_of(inventory: Inventory, snapshot: Snapshot, namespace: str, service: str) -> Facts:
    """Gather the facts of a service from a snapshot of the versioned app or workload graph."""
    found: dict[str, VersionFacts] = {}
    for ref, known in inventory.services.items():
        if (ref.namespace, ref.name) != (namespace, service):
            continue
        for workload in sorted(known.workloads):
            if workload in inventory.workloads:
                facts = _facts(inventory.workloads[workload], snapshot)
                found[facts.version] = _joined(found[facts.version], facts) if facts.version in found else facts
    return tuple(found[version] for version in sorted(found))


def _facts(workload: Workload, snapshot: Snapshot) -> VersionFacts:
    ref = workload.ref
    labels = {"app": ref.app, **({"version": ref.version} if ref.version else {}), **workload.labels}
    here = (ref.cluster, ref.namespace, ref.app, ref.version)
    node = next(
        (node for node in snapshot.nodes.values() if (node.cluster, node.namespace, node.app, node.version) == here),
        None,
    )
    if node is None or node.inbound is None:
        return VersionFacts(version=ref.version, instances=workload.replicas, labels=labels)
    seen = node.inbound
    return VersionFacts(
        version=ref.version,
        instances=workload.replicas,
        labels=labels,
        requests=seen.requests,
        rate=seen.rate,
        error_ratio=seen.error_ratio,
        p95_ms=seen.p95_ms,
        p99_ms=seen.p99_ms,
    )


def _joined(one: VersionFacts, other: VersionFacts) -> VersionFacts:
    """Join two workloads of the same version; the busier one speaks for both."""
    busier = max(one, other, key=lambda facts: facts.requests)
    return VersionFacts(
        version=busier.version,
        instances=one.instances + other.instances,
        labels={name: value for name, value in one.labels.items() if other.labels.get(name) == value},
        requests=busier.requests,
        rate=busier.rate,
        error_ratio=busier.error_ratio,
        p95_ms=busier.p95_ms,
        p99_ms=busier.p99_ms,
    )
