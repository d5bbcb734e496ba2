"""Traefik Mesh (Maesh): proxies of nodes, which know what is called and how that goes, but not by whom."""

from __future__ import annotations

import re

from collectors.dialects.dialect import Gap, Labels, Latency
from collectors.dialects.words import Called, Unit, Words
from graph.model import Reporter

SERVICE = re.compile(
    r"(?P<namespace>[a-z0-9]+)-(?P<name>[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)-(?P<port>\d+)"
    r"(?:-(?:traffic-split|whitelist|middleware|\d+).*)?(?:@(?:rest|http))?"
)
"""``<namespace>-<service>-<port>``, and what the mesh appends; other providers (``@docker``) are no mesh."""


def _service(metric: str, labels: Labels) -> tuple[str, Labels] | None:
    found = SERVICE.fullmatch(labels.get("service") or labels.get("exported_service", ""))
    return (metric, {**labels, "called": found["name"], "called_in": found["namespace"]}) if found else None


DIALECT = Words(
    requests=("traefik_service_requests_total",),
    latencies=("traefik_service_request_duration_seconds",),
    unit=Unit.S,
    service=Called(name=("called",), namespace=("called_in",)),
    told_by=Reporter.DESTINATION,
    code=("code",),
    unpack=_service,
    reads=("service", "exported_service"),
    makes=("called", "called_in"),
).dialect(
    name="traefik-mesh",
    title="Traefik Mesh",
    probe=("traefik_service_requests_total",),
    sample_tells=True,
    latency=Latency.LAST_BYTE,
    gaps=(
        Gap(
            signal="edges",
            reason="a proxy serves all pods of its node and does not tell the caller: services have health, no edges",
            remedy="switch tracing on in Traefik Mesh's chart (tracing.otlp or tracing.jaeger) and send spans here",
        ),
        Gap(
            signal="namespace",
            reason="the service is called <namespace>-<service>-<port>: a namespace with a dash is read up to the dash",
            remedy="",
        ),
        Gap(signal="version", reason="only services are named", remedy=""),
        Gap(signal="mtls", reason="the mesh has no mutual TLS", remedy=""),
    ),
)
