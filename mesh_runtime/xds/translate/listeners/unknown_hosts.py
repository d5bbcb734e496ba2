"""Hosts that no service has: passed on to whom DNS knows by that name or to an egress proxy, or refused.

Names that can only be the mesh's own are never asked for outside: without a dot, below ``.svc``, or in a
namespace. An address of the mesh's proxies is refused with the port on which they take what goes out: one that
asked itself would never be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mesh_runtime.api.objects import DOMAIN
from mesh_runtime.xds.snapshot import NOWHERE, Envoy
from mesh_runtime.xds.translate.calling.clusters import CONNECT_TIMEOUT, any_http, limits
from mesh_runtime.xds.translate.calling.endpoints import ANY_SOURCE
from mesh_runtime.xds.translate.listeners.connect import REFUSED, REFUSED_ROUTE, connect_route
from mesh_runtime.xds.translate.listeners.lookup import LOOKUP_ON, by_request
from mesh_runtime.xds.translate.sidecar_scope import SidecarScope, passes_unknown
from mesh_runtime.xds.translate.telemetry.metrics import PASSTHROUGH, outside_metadata, service_metadata
from mesh_runtime.xds.translate.world import World

_LOOP: Final = r"(\[::ffff:)?127\.[0-9.]+\]?:15001"


def passthrough_cluster(world: World) -> Envoy:
    """Return the cluster of requests to hosts that no service has, which goes where each says."""
    return {
        "name": PASSTHROUGH,
        "connect_timeout": CONNECT_TIMEOUT,
        "circuit_breakers": limits(None),
        **ANY_SOURCE,
        **by_request(),
        **any_http(world),
        **outside_metadata(),
    }


def unknown_host(world: World, scope: SidecarScope, towards: str, networks: Sequence[Envoy]) -> Envoy:
    """Return the virtual host of requests to hosts of which a workload knows no service by name.

    *towards* is the cluster that they are passed on to, if they are; *networks* are routes to addresses of services.
    """
    cluster = towards if passes_unknown(world, scope) else NOWHERE
    if networks:
        return _unknown_host(world, cluster, networks)
    return world.once(("unknown host", cluster), lambda: _unknown_host(world, cluster, ()))


def _unknown_host(world: World, cluster: str, networks: Sequence[Envoy]) -> Envoy:
    refused = [REFUSED, REFUSED_ROUTE]
    own = {"name": ":authority", "string_match": {"safe_regex": {"regex": _own_names(world)}}}
    inside = [{**route, "match": {**route["match"], "headers": [own]}} for route in refused]
    known = [*inside, *networks] if networks else []
    if cluster == NOWHERE:
        return {"name": "block_all", "domains": ["*"], "routes": [*known, *refused], **service_metadata(None)}
    outside = {"name": "allow_any", "match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}
    routes = [*(known or inside), outside, connect_route(cluster)]
    looked_up = LOOKUP_ON if cluster == PASSTHROUGH else {}
    return {"name": "allow_any", "domains": ["*"], "routes": routes, **looked_up, **service_metadata(None)}


def _own_names(world: World) -> str:
    """Return the pattern of hosts that only the mesh can know."""
    spaces = {item.key.name for item in world.objects("Namespace")}
    spaces |= {instance.namespace for instance in world.sidecars}
    spaces |= world.once("namespaces", lambda: {service.namespace for service in world.services.values()})
    domains = "|".join(["svc", f"svc.{DOMAIN}".replace(".", r"\."), *sorted(spaces)])
    return rf"(?i){_LOOP}|([^.:\[\]]*|.*\.({domains}))(:[0-9]*)?"
