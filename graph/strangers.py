"""What callers without a name are: probes, scrapers, clients from outside, or merely unlabelled.

Telemetry rarely says. What it does say is used here, and the reason is told, so that a user can judge it; where
nothing tells, the caller is *unlabelled*, with the way to find out more.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from graph.model import UNKNOWN, EdgeKey, Inventory, NodeKind, WorkloadRef

CALLER_KINDS = {"probe": NodeKind.PROBE, "scraper": NodeKind.SCRAPER, "outside": NodeKind.OUTSIDE}
"""Callers that a reader names by :func:`stranger_ref` are apps like ``probe:kube-probe``: a kind, a colon, a name."""

AGENTS = (
    (
        "probe",
        re.compile(
            r"^(kube-probe|GoogleHC|ELB-HealthChecker|Envoy/HC|Consul Health Check|HealthCheck)\b", re.IGNORECASE
        ),
    ),
    (
        "scraper",
        re.compile(
            r"^(Prometheus|vm_promscrape|VictoriaMetrics|Telegraf|Datadog Agent|GrafanaAgent|Alloy|otelcol)\b",
            re.IGNORECASE,
        ),
    ),
)
"""How probes and scrapers introduce themselves in ``User-Agent``."""

PATHS = (
    (
        "probe",
        re.compile(r"(^|\s)/(healthz?|livez?|readyz?|startupz?|app-health/\S*|healthcheck|-/(healthy|ready))(/|\?|$)"),
    ),
    ("scraper", re.compile(r"(^|\s)/(\S+/)?(metrics|stats/prometheus|prometheus|federate)(\?|$)")),
)
"""What they ask for, in a path or in an operation's name."""


class Stranger(NamedTuple):
    """What a caller without a name is taken for."""

    aspect: str
    """Callers of one aspect are one node per cluster."""
    kind: NodeKind
    reason: str


UNLABELLED = Stranger(
    "unlabelled",
    NodeKind.UNKNOWN,
    "It has no sidecar and no certificate that would name it, and only the called side reports it. "
    "Bring the caller into the mesh, or have it send spans.",
)


def caller_of(user_agent: str, path: str = "") -> str:
    """Name a caller by how it introduces itself, or by what it asks for, as a ``WorkloadRef.app``; ``""``: cannot be told."""
    for kind, pattern in AGENTS:
        if found := pattern.match(user_agent):
            return f"{kind}:{found[1]}"
    if user_agent:
        return ""
    return next((f"{kind}:{kind}" for kind, pattern in PATHS if pattern.search(path)), "")


def stranger_ref(cluster: str, caller: str) -> WorkloadRef:
    """Name a caller that is no workload: what :func:`caller_of` makes of it, or unknown."""
    return WorkloadRef(cluster, UNKNOWN, "" if caller else UNKNOWN, caller or UNKNOWN, "")


def is_stranger(ref: WorkloadRef) -> bool:
    """Tell whether a caller is known only by how it introduces itself."""
    return not ref.workload and ref.app.partition(":")[0] in CALLER_KINDS


def stranger_of(key: EdgeKey, inventory: Inventory, operations: Collection[str] = ()) -> Stranger:
    """Say what the unnamed caller of an edge is; ``operations`` are all that it is known to ask for."""
    for kind, pattern in PATHS:
        if operations and all(pattern.search(operation) for operation in operations):
            some = min(operations)
            return Stranger(kind, CALLER_KINDS[kind], f"All that it asks for is {some}, which {kind}s do.")
    if key.service and key.service.name == "InboundPassthroughCluster":
        return Stranger(
            "passthrough",
            NodeKind.UNKNOWN,
            "It calls addresses of workloads instead of a service, as scrapers, probes and jobs do; "
            "no port of a service matches, so that proxies only pass it on.",
        )
    known = inventory.workloads.get(key.target) if key.target else None
    if known and known.kind is NodeKind.GATEWAY:
        return Stranger("outside", NodeKind.OUTSIDE, "It comes in through a gateway: a client outside the mesh.")
    return UNLABELLED
