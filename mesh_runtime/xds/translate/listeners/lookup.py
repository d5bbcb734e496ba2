"""Where each request goes by the host that it names: looked up in DNS when the first one comes."""

from __future__ import annotations

import re
from typing import Any, Final

from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.listeners.networks import addresses_of
from mesh_runtime.xds.translate.services import MeshService
from mesh_runtime.xds.translate.world import World

LOOKUP_FILTER: Final = "envoy.filters.http.dynamic_forward_proxy"
LOOKUP_ON: Final[Envoy] = {
    "typed_per_filter_config": {LOOKUP_FILTER: any_of("envoy.config.route.v3.FilterConfig", config={})}
}
"""What a virtual host or a whole table of routes says whose requests may go where their host is looked up."""
_DNS: Final[Envoy] = {"name": "outside", "dns_lookup_family": "V4_PREFERRED"}


def lookup_filter() -> dict[str, Any]:
    """Return the HTTP filter that looks up the hosts of requests to clusters of :func:`by_request`, and no others.

    It is off, and so free of cost, but where :data:`LOOKUP_ON` says otherwise.
    """
    config = any_of("envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig", dns_cache_config=_DNS)
    return {"name": LOOKUP_FILTER, "typed_config": config, "disabled": True}


def lookups(world: World) -> Envoy:
    """Return what routes that may lead to any service of the mesh say of lookups: on where one of them needs it."""
    needed = world.once("lookups", lambda: any(service.by_request for service in world.services.values()))
    return LOOKUP_ON if needed else {}


def by_request() -> dict[str, Any]:
    """Return the part of a cluster by which each request's host, or a tunnel's target, is where it goes."""
    config = any_of(
        "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
        dns_cache_config=_DNS,
        allow_insecure_cluster_options=True,
    )
    return {
        "cluster_type": {"name": "envoy.clusters.dynamic_forward_proxy", "typed_config": config},
        "lb_policy": "CLUSTER_PROVIDED",
    }


def named(service: MeshService, port: int) -> Envoy:
    """Return the header match of requests that name a host or address within a service's, and no port but its own.

    Where they go is what they name: without it a caller would choose among everything that the proxy can reach.
    """
    within = r"[\w.-]+" if service.host.startswith("*") else ""
    names = [within + re.escape(service.host.removeprefix("*")), *map(addresses_of, service.networks)]
    pattern = f"(?i)({'|'.join(names)})(:{port})?"
    return {"name": ":authority", "string_match": {"safe_regex": {"regex": pattern}}}
