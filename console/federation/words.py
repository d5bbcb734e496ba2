"""The graph's facts in Istio's words: which labels a series of Istio's standard metrics carries. Pure.

What :mod:`collectors.dialects.istio` reads, written: https://istio.io/latest/docs/reference/config/metrics/
"""

from __future__ import annotations

from collections.abc import Mapping

from collectors.dialects import COLLECTED_BY
from graph.columns import Requests
from graph.model import UNKNOWN, Security, ServiceRef, WorkloadRef
from graph.series import SeriesKey

NO_VERSION = "latest"
NOBODY: Mapping[str, str] = dict.fromkeys(
    (
        *("workload", "workload_namespace", "canonical_service", "canonical_revision", "app", "version", "cluster"),
        *("principal",),
    ),
    UNKNOWN,
)


def labels_of(key: SeriesKey) -> dict[str, str]:
    """Name both ends, the service, who counted, and what protected the connection."""
    edge = key.edge
    return {
        "reporter": key.reporter.value,
        **_end("source", edge.source, key.source_principal),
        **_end("destination", edge.target, key.destination_principal),
        **_service(edge.service, key.host),
        "request_protocol": edge.protocol.value,
        "connection_security_policy": UNKNOWN if key.security is Security.UNKNOWN else key.security.value,
        **COLLECTED_BY,
    }


def outcome_of(column: Requests) -> dict[str, str]:
    """Say how requests ended."""
    outcome = column.outcome
    return {
        "response_code": outcome.code,
        "grpc_response_status": outcome.grpc,
        "response_flags": outcome.flags,
    }


def _end(end: str, who: WorkloadRef | None, principal: str) -> dict[str, str]:
    told = NOBODY if who is None else _workload(who)
    return {f"{end}_{name}": value for name, value in {**told, "principal": principal or UNKNOWN}.items()}


def _workload(who: WorkloadRef) -> Mapping[str, str]:
    return {
        "workload": who.workload or UNKNOWN,
        "workload_namespace": who.namespace or UNKNOWN,
        "canonical_service": who.app or UNKNOWN,
        "canonical_revision": who.version or NO_VERSION,
        "app": who.app or UNKNOWN,
        "version": who.version or UNKNOWN,
        "cluster": who.cluster or UNKNOWN,
    }


def _service(service: ServiceRef | None, host: str) -> dict[str, str]:
    if service is None:
        service = ServiceRef("", "", host or UNKNOWN)
    inside = "." not in service.name and service.namespace not in {"", UNKNOWN}
    return {
        "destination_service": host
        or (f"{service.name}.{service.namespace}.svc.cluster.local" if inside else service.name),
        "destination_service_name": service.name,
        "destination_service_namespace": service.namespace or UNKNOWN,
    }
