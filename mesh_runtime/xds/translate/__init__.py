"""Config and instances in, Envoy's resources out: pure, one module per concern."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mesh_runtime.registry import Instance, Role
from mesh_runtime.xds.snapshot import Envoy, Group, Kind
from mesh_runtime.xds.translate.calling.clusters import inbound_cluster, outbound_clusters
from mesh_runtime.xds.translate.calling.rules import Client, client_of
from mesh_runtime.xds.translate.gateways.credentials import secrets_named
from mesh_runtime.xds.translate.gateways.listeners import gateway_credentials, gateway_listeners
from mesh_runtime.xds.translate.gateways.passthrough import passing_clusters
from mesh_runtime.xds.translate.gateways.routes import gateway_routes
from mesh_runtime.xds.translate.listeners.connect import TUNNEL_CLUSTER, raw_tunnel_cluster
from mesh_runtime.xds.translate.listeners.inbound import (
    inbound_credentials,
    inbound_listener,
    inbound_pool,
    inbound_service,
)
from mesh_runtime.xds.translate.listeners.outbound import outbound_listeners
from mesh_runtime.xds.translate.listeners.unknown_hosts import passthrough_cluster
from mesh_runtime.xds.translate.patches.patches import Resources, patched, patches_of
from mesh_runtime.xds.translate.ports import inbound_ports, request_ports, tcp_bindings
from mesh_runtime.xds.translate.routing.routes import (
    Alike,
    callers_like,
    outbound_hosts,
    outbound_routes,
    port_routes,
    sniffed_routes,
)
from mesh_runtime.xds.translate.security.authentication import keys_clusters
from mesh_runtime.xds.translate.telemetry.access_logs import relays
from mesh_runtime.xds.translate.telemetry.providers import provider_clusters
from mesh_runtime.xds.translate.telemetry.tracing import tracing_clusters
from mesh_runtime.xds.translate.world import MeshSettings, Tracing, World

__all__ = ["MeshSettings", "Resources", "Tracing", "World", "patches_of", "translate"]


def translate(world: World, instance: Instance, left_out: frozenset[str] = frozenset()) -> Resources:
    """Return what an instance's proxy is to have, except its own leaf and the mesh's root.

    What proxies of a namespace have in common is the same group for all of them. Patches named in *left_out*
    (see :func:`patches_of`) are not applied.
    """
    return patched(world, instance, _translated(world, instance), left_out)


def _kept(world: World, instance: Instance, what: str, make: Callable[[World, Instance], Iterable[Envoy]]) -> Group:
    """Return a group of one proxy's own; the same one as long as nothing in it is different."""
    return world.once((what, instance.id), lambda: tuple(make(world, instance)))


def _translated(world: World, instance: Instance) -> Resources:
    if instance.role is Role.GATEWAY:
        return _of_gateway(world, instance)
    client, alike = world.once(
        ("kin", instance.id), lambda: (client_of(world, instance), callers_like(world, instance))
    )
    common = world.once(("common", client, alike), lambda: _common(world, client, alike))
    own = world.once(("own", instance.id), lambda: _own(world, instance, client))
    return {**common, **{kind: (*common[kind], *groups) for kind, groups in own.items()}}


def _of_gateway(world: World, instance: Instance) -> Resources:
    outbound = outbound_clusters(world, client_of(world, instance))
    passing, passed = passing_clusters(world, instance)
    needed = (*outbound.secrets, *gateway_credentials(world, instance))
    return {
        Kind.CDS: (outbound.clusters, _telemetry_clusters(world), keys_clusters(world, instance), passing),
        Kind.EDS: (outbound.assignments, passed),
        Kind.SDS: (_secrets(world, needed),),
        Kind.LDS: (_kept(world, instance, "gateway listeners", gateway_listeners), relays(world, instance.namespace)),
        Kind.RDS: (_kept(world, instance, "gateway routes", gateway_routes),),
    }


def _common(world: World, client: Client, alike: Alike) -> Resources:
    """Return what sidecars share that call alike: the most of what they have, and of what changes."""
    outbound = outbound_clusters(world, client)
    return {
        Kind.CDS: (outbound.clusters, _telemetry_clusters(world)),
        Kind.EDS: (outbound.assignments,),
        Kind.SDS: (_secrets(world, outbound.secrets),),
        Kind.LDS: (relays(world, client.namespace),),
        Kind.RDS: (outbound_routes(world), sniffed_routes(world, alike)),
        Kind.VHDS: (outbound_hosts(world, alike),),
    }


def _own(world: World, instance: Instance, client: Client) -> Resources:
    shared = outbound_clusters(world, client).secrets
    needed = tuple(name for name in inbound_credentials(world, instance) if name not in shared)
    return {
        Kind.CDS: (keys_clusters(world, instance), _kept(world, instance, "own clusters", _own_clusters)),
        Kind.LDS: (
            _kept(world, instance, "outbound listeners", outbound_listeners),
            _kept(world, instance, "inbound listeners", _inbound_listeners),
        ),
        Kind.SDS: (_secrets(world, needed),),
        Kind.RDS: (_kept(world, instance, "port routes", _port_routes),),
    }


def _telemetry_clusters(world: World) -> Group:
    return world.once("telemetry clusters", lambda: (*tracing_clusters(world), *provider_clusters(world)))


def _secrets(world: World, names: tuple[str, ...]) -> Group:
    return world.once(("secrets", names), lambda: secrets_named(world, names))


def _port_routes(world: World, instance: Instance) -> Iterator[Envoy]:
    for number in request_ports(world, instance):
        yield port_routes(world, instance, number)


def _own_clusters(world: World, instance: Instance) -> Iterator[Envoy]:
    yield TUNNEL_CLUSTER
    yield passthrough_cluster(world)
    yield raw_tunnel_cluster(tcp_bindings(world, instance), instance.address)
    for port in inbound_ports(world, instance):
        protocol = inbound_service(world, instance, port)[1]
        yield inbound_cluster(world, instance, port, protocol, inbound_pool(world, instance, port))


def _inbound_listeners(world: World, instance: Instance) -> Iterator[Envoy]:
    for port in inbound_ports(world, instance):
        yield inbound_listener(world, instance, port)
