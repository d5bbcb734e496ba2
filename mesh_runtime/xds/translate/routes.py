"""Virtual hosts: every name a caller may use, and the hosts that a gateway serves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mesh_runtime.api.networking.http_action import MAX_BODY
from mesh_runtime.api.objects import DOMAIN
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import NOWHERE, Envoy, Group
from mesh_runtime.xds.translate.connect import REFUSED_ROUTE, TUNNEL_ROUTE
from mesh_runtime.xds.translate.host_rules import DEFAULT_PORT, host_routes, other_hosts, rules_routes, sees_labels
from mesh_runtime.xds.translate.http_route import Caller
from mesh_runtime.xds.translate.services import MeshService
from mesh_runtime.xds.translate.telemetry import service_metadata
from mesh_runtime.xds.translate.world import World

OUTBOUND_ROUTES = "15001"


def outbound_routes(world: World, instance: Instance) -> Group:
    """Return what a sidecar does with a request by its Host; an unknown one leads nowhere."""
    return world.once(("routes", _kind_of_caller(world, instance)), lambda: (_outbound_routes(world, instance),))


def port_routes(world: World, instance: Instance, number: int) -> Envoy:
    """Return what a sidecar does with a request that came for a port, by its Host, whose own port does not count.

    The configuration's name is the port's number.
    """
    key = "port routes", _kind_of_caller(world, instance), number
    return world.once(key, lambda: _port_routes(world, instance, number))


def _kind_of_caller(world: World, instance: Instance) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return what tells callers apart."""
    return instance.namespace, tuple(sorted(instance.labels.items())) if sees_labels(world, instance.namespace) else ()


def service_names(service: MeshService, namespace: str) -> tuple[str, ...]:
    """Return every name under which callers in a namespace know a service, the full one first."""
    if service.host != f"{service.name}.{service.namespace}.svc.{DOMAIN}":
        return (service.host,)
    names = (service.host, f"{service.name}.{service.namespace}.svc", f"{service.name}.{service.namespace}")
    return (*names, service.name) if service.namespace == namespace else names


def _outbound_routes(world: World, instance: Instance) -> Envoy:
    return _configuration(world, OUTBOUND_ROUTES, _outbound_hosts(world, instance))


def _port_routes(world: World, instance: Instance, number: int) -> Envoy:
    routes = _configuration(world, str(number), _port_hosts(world, instance, number))
    return {**routes, "ignore_port_in_host_matching": True}


def _configuration(world: World, name: str, hosts: Iterable[Envoy]) -> dict[str, Any]:
    return {
        "name": name,
        "virtual_hosts": [*_once_each(hosts), unknown_host(world)],
        "max_direct_response_body_size_bytes": MAX_BODY,
    }


def _once_each(hosts: Iterable[Envoy]) -> Iterator[Envoy]:
    """Yield virtual hosts with the names that none before them has taken."""
    taken: set[str] = set()
    for host in hosts:
        domains = [domain for domain in host["domains"] if domain not in taken]
        taken.update(domains)
        if domains:
            yield {**host, "domains": domains}


def _port_hosts(world: World, instance: Instance, number: int) -> Iterator[Envoy]:
    for service in world.services_for(instance.namespace).values():
        port = service.port(number)
        if port and port.is_http:
            caller = Caller(namespace=instance.namespace, labels=instance.labels, port=number)
            routes = host_routes(world, caller, service, port)
            names = service_names(service, instance.namespace)
            yield {**_virtual_host(service.host, number, names, routes), **service_metadata(service)}
    yield from _other_hosts(world, instance, number)


def _outbound_hosts(world: World, instance: Instance) -> Iterator[Envoy]:
    for service in world.services_for(instance.namespace).values():
        for port in service.ports:
            if port.is_http:
                caller = Caller(namespace=instance.namespace, labels=instance.labels, port=port.number)
                routes = host_routes(world, caller, service, port)
                names = service_names(service, instance.namespace)
                is_default = port is service.default_http_port
                known = _host(service.host, port.number, names, is_default, routes)
                yield {**known, **service_metadata(service)}
    for number in sorted(_request_ports(world, instance.namespace)):
        for known in _other_hosts(world, instance, number):
            yield {**known, "domains": _domains([known["name"].rpartition(":")[0]], number, number == DEFAULT_PORT)}


def _request_ports(world: World, namespace: str) -> set[int]:
    """Return all ports that take requests; hosts that are no service's are reached at the default one."""
    services = world.services_for(namespace).values()
    return {DEFAULT_PORT} | {port.number for service in services for port in service.ports if port.is_http}


def _other_hosts(world: World, instance: Instance, number: int) -> Iterator[Envoy]:
    """Yield hosts that only VirtualServices know, as they are called at a port."""
    caller = Caller(namespace=instance.namespace, labels=instance.labels, port=number)
    for host, rules in other_hosts(world, instance.namespace, number):
        routes = rules_routes(world, caller, [rules])
        found = world.find_service(host, instance.namespace)
        if routes:
            yield {**_virtual_host(host, number, [host], routes), **(service_metadata(found) if found else {})}


def _host(host: str, port: int, names: Sequence[str], is_default: bool, routes: list[Envoy]) -> Envoy:
    return _virtual_host(host, port, _domains(names, port, is_default), routes)


def _virtual_host(host: str, port: int, domains: Sequence[str], routes: list[Envoy]) -> Envoy:
    return {
        "name": f"{host}:{port}",
        "domains": list(domains),
        "routes": [*routes, TUNNEL_ROUTE],
        "include_request_attempt_count": True,
    }


def _domains(names: Sequence[str], port: int, is_default: bool) -> list[str]:
    with_port = [f"{name}:{port}" for name in names]
    return [*names, *with_port] if is_default else with_port


def unknown_host(world: World) -> Envoy:  # noqa: ARG001  what the mesh's config says of unknown hosts comes here
    """Return what becomes of requests to hosts that nobody knows."""
    return _NOWHERE_HOST


_NOWHERE_HOST: Envoy = {
    "name": "block_all",
    "domains": ["*"],
    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": NOWHERE}}, REFUSED_ROUTE],
    **service_metadata(None),
}
