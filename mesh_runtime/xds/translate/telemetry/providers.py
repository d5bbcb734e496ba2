"""Where MeshConfig's extension providers are reached: a cluster of the mesh, or one of the provider's own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from mesh_runtime.api.extension_providers import ExtensionProvider
from mesh_runtime.api.providers import Remote, is_of_mesh
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.calling.endpoints import ANY_SOURCE
from mesh_runtime.xds.translate.world import World

_SPOKEN_IN_HTTP2 = frozenset({"envoy_otel_als", "envoy_ext_authz_grpc"})
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def provider_cluster(world: World, namespace: str, provider: ExtensionProvider) -> str | None:
    """Return the cluster through which proxies of a namespace reach a provider; ``None``: it is not there.

    A service is meant where one has the provider's host, and then reached like any other, by its own rules.
    """
    remote = provider.remote
    if remote is None:
        return None
    service = world.find_service(remote.host, namespace)
    if service is None or service.host != remote.host:
        return None if is_of_mesh(remote) else _own_name(provider, remote)
    if remote.namespace and service.namespace != remote.namespace:
        return None
    # As clusters.outbound_name, whose module needs telemetry's names.
    return f"outbound|{remote.port}||{service.host}" if service.port(remote.port) else None


def provider_clusters(world: World) -> tuple[Envoy, ...]:
    """Return the clusters of providers that are no services of the mesh, the same for all proxies."""
    return world.once("provider clusters", lambda: tuple(_own_clusters(world)))


def _own_clusters(world: World) -> Iterator[Envoy]:
    named: dict[str, Envoy] = {}
    for provider in world.mesh_config.providers:
        remote = provider.remote
        if remote is not None and not is_of_mesh(remote):
            named.setdefault(_own_name(provider, remote), _own_cluster(provider, remote))
    yield from named.values()


def _http2(provider: ExtensionProvider) -> bool:
    if provider.opentelemetry is not None:
        return provider.opentelemetry.http is None
    return provider.kind in _SPOKEN_IN_HTTP2


def _own_name(provider: ExtensionProvider, remote: Remote) -> str:
    return f"provider|{remote.port}|{'http2' if _http2(provider) else ''}|{remote.host}"


def _own_cluster(provider: ExtensionProvider, remote: Remote) -> Envoy:
    name = _own_name(provider, remote)
    address = {"socket_address": {"address": remote.host, "port_value": remote.port}}
    found = {"type": "STATIC"} if _is_address(remote.host) else {"type": "STRICT_DNS", "respect_dns_ttl": True}
    options = {
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: any_of(_HTTP_OPTIONS, explicit_http_config={"http2_protocol_options": {}})
        }
    }
    return {
        "name": name,
        **found,
        **ANY_SOURCE,
        "connect_timeout": "1s",
        **(options if _http2(provider) else {}),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
