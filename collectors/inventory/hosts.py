"""Host names as Istio reads them."""

from __future__ import annotations

DOMAIN = "cluster.local"


def service_host(name: str, namespace: str) -> str:
    """Return a Service's full name."""
    return f"{name}.{namespace}.svc.{DOMAIN}"


def full_host(host: str, namespace: str) -> str:
    """Complete a short name: one without a dot, which is a Service of the namespace."""
    return host if "." in host or host.startswith("*") else service_host(host, namespace)


def covers(pattern: str, host: str) -> bool:
    """Tell whether a host is, or lies within, a pattern such as ``*.example.com``."""
    if pattern.startswith("*"):
        return host.endswith(pattern[1:]) and host != pattern[1:]
    return pattern == host
