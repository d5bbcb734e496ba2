"""Host names as Istio reads them."""

from __future__ import annotations

from mesh_runtime.api.objects import DOMAIN


def service_host(name: str, namespace: str) -> str:
    """Give a service's full name."""
    return f"{name}.{namespace}.svc.{DOMAIN}"


def resolve_host(host: str, namespace: str) -> str:
    """Complete a short name in a namespace; a name with a dot, or a ``*``, is complete.

    ``catalog`` in ``shop`` is ``catalog.shop.svc.cluster.local``.
    """
    if "." in host or host.startswith("*"):
        return host
    return service_host(host, namespace)


def matches(pattern: str, host: str) -> bool:
    """Tell whether a host, which may itself begin with ``*``, lies within a pattern such as ``*.example.com``."""
    if pattern.startswith("*"):
        return host.endswith(pattern[1:]) and host != pattern[1:]
    return pattern == host
