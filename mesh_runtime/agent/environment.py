"""What a command beside a proxy finds in its environment."""

from __future__ import annotations

from collections.abc import Mapping

from mesh_runtime.registration import Grant, Registration

NO_PROXY = "127.0.0.1,localhost,::1"
"""Else telemetry would go through the proxy, too."""


def environment(grant: Grant, registration: Registration, *, otlp: str) -> Mapping[str, str]:
    """Build the variables for a command. *otlp* is the receiver's ``http://host:port``; empty: none is named."""
    proxy = f"http://{grant.address}:{grant.outbound_port}"
    return {
        "PORT": str(registration.port),
        "http_proxy": proxy,
        "HTTP_PROXY": proxy,
        "no_proxy": NO_PROXY,
        "NO_PROXY": NO_PROXY,
        **_telemetry(grant, registration, otlp),
        **_tcp_services(grant.tcp_services),
    }


def _telemetry(grant: Grant, registration: Registration, otlp: str) -> Mapping[str, str]:
    attributes = {
        "service.namespace": registration.namespace,
        "service.version": registration.version,
        "service.instance.id": grant.id,
        "k8s.namespace.name": registration.namespace,
        "k8s.deployment.name": grant.workload,
    }
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"} if otlp else {}
    return {
        "OTEL_SERVICE_NAME": registration.service,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in attributes.items() if value),
        **endpoint,
    }


def _tcp_services(services: Mapping[str, tuple[str, int]]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for service, (host, port) in services.items():
        name = service.upper().replace("-", "_").replace(".", "_")
        found[f"{name}_HOST"] = host
        found[f"{name}_PORT"] = str(port)
    return found
