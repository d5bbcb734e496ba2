"""VirtualService rules for connections as Envoy's TCP proxy wants them."""

from __future__ import annotations

from collections.abc import Sequence

from mesh_runtime.api.hosts import resolve_host
from mesh_runtime.api.networking import MESH, Destination, TCPRoute
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.http_route import Caller, destination_cluster
from mesh_runtime.xds.translate.ports import TcpBinding
from mesh_runtime.xds.translate.world import World, is_for_sidecars


def tcp_route(world: World, instance: Instance, binding: TcpBinding) -> Envoy | None:
    """Return where a VirtualService sends a service's connections; ``None``: none speaks of them."""
    caller = Caller(namespace=instance.namespace, labels=instance.labels, port=binding.port.number)
    for item, spec in world.virtual_services:
        hosts = {resolve_host(host, item.key.namespace) for host in spec.hosts}
        if not is_for_sidecars(spec) or binding.service.host not in hosts:
            continue
        for rule in spec.tcp:
            if _tcp_applies(rule, caller):
                namespace = item.key.namespace
                destinations = [(choice.destination, choice.weight) for choice in rule.route]
                return _tcp_clusters(world, caller, namespace, destinations)
    return None


def _tcp_applies(rule: TCPRoute, caller: Caller) -> bool:
    return not rule.match or any(
        (match.port is None or match.port == caller.port)
        and (not match.gateways or MESH in match.gateways)
        and match.source_namespace in {"", caller.namespace}
        and all(caller.labels.get(key) == value for key, value in match.source_labels.items())
        for match in rule.match
    )


def _tcp_clusters(
    world: World, caller: Caller, namespace: str, destinations: Sequence[tuple[Destination, int]]
) -> Envoy:
    named = [
        (destination_cluster(world, caller, namespace, destination), weight) for destination, weight in destinations
    ]
    if len(named) == 1:
        return {"cluster": named[0][0]}
    # A weight of 0 is not valid for Envoy's TCP proxy.
    choices = [{"name": name, "weight": weight} for name, weight in named if weight]
    return {"weighted_clusters": {"clusters": choices}}
