"""Virtual hosts: every name a caller may use, and the hosts that a gateway serves."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from mesh_runtime.api.networking.http_action import MAX_BODY
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import NOWHERE, Envoy, Group, vhds_name
from mesh_runtime.xds.translate.calling.clusters import outbound_name
from mesh_runtime.xds.translate.listeners.connect import TUNNEL_ROUTE, connect_route, raw_route
from mesh_runtime.xds.translate.listeners.filters import FILTER_ON, GRPC_WEB_FILTER
from mesh_runtime.xds.translate.listeners.lookup import lookups
from mesh_runtime.xds.translate.listeners.unknown_hosts import unknown_host
from mesh_runtime.xds.translate.routing.host_rules import (
    DEFAULT_PORT,
    host_routes,
    other_hosts,
    rules_routes,
    sees_labels,
)
from mesh_runtime.xds.translate.routing.http_route import Caller
from mesh_runtime.xds.translate.services import MeshPort, MeshService, Protocol
from mesh_runtime.xds.translate.sidecar_scope import SidecarScope, find_service, known_services, scope_of
from mesh_runtime.xds.translate.telemetry.grpc_messages import FILTERS
from mesh_runtime.xds.translate.telemetry.metrics import service_metadata
from mesh_runtime.xds.translate.tls import ADS
from mesh_runtime.xds.translate.world import World

OUTBOUND_ROUTES = "15001"


def outbound_routes(world: World) -> Group:
    """Return the table of what a sidecar does with a request by its Host; :func:`outbound_hosts` are what is in it.

    Other than in the tables of ports, each virtual host is sent by itself: those of all services of the mesh are many,
    and a change concerns one of them.
    """
    table = {"name": OUTBOUND_ROUTES, "vhds": {"config_source": ADS}}
    return world.once("routes", lambda: ({**table, **_options(world)},))


def outbound_hosts(world: World, alike: Alike) -> Group:
    """Return the virtual hosts of :func:`outbound_routes`; an unknown one leads nowhere."""

    def find() -> Group:
        hosts = [*_once_each(world, alike, _outbound_hosts(world, alike)), _in_table(unknown_host(world, alike.scope))]
        return world.runs(("virtual hosts", alike), hosts)

    return world.once(("outbound hosts", alike), find)


def _in_table(host: Envoy) -> Envoy:
    return {**host, "name": vhds_name(OUTBOUND_ROUTES, host["name"])}


def port_routes(world: World, instance: Instance, number: int) -> Envoy:
    """Return what a sidecar does with a request that came for a port, by its Host, whose own port does not count.

    The configuration's name is the port's number.
    """
    alike = callers_like(world, instance)
    key = "port routes", alike, number
    return world.once(key, lambda: _port_routes(world, alike, number))


@dataclass(frozen=True, slots=True)
class Alike:
    """What tells callers apart. Their labels are empty where no rule asks for them."""

    scope: SidecarScope
    pairs: tuple[tuple[str, str], ...]

    @property
    def namespace(self) -> str:
        """Where they are."""
        return self.scope.namespace

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels by name."""
        return dict(self.pairs)


def callers_like(world: World, instance: Instance) -> Alike:
    """Return what of an instance makes a difference to which routes it follows."""
    labels = instance.labels if sees_labels(world, instance.namespace) else {}
    return Alike(scope_of(world, instance), tuple(sorted(labels.items())))


def service_names(service: MeshService, namespace: str) -> tuple[str, ...]:
    """Return every name under which callers in a namespace know a service, the full one first."""
    return service.names(namespace)


def _port_routes(world: World, alike: Alike, number: int) -> Envoy:
    hosts = _once_each(world, (alike, number), list(_port_hosts(world, alike, number)))
    table = {"name": str(number), "virtual_hosts": [*hosts, unknown_host(world, alike.scope)]}
    return {**table, **_options(world), "ignore_port_in_host_matching": True}


def _options(world: World) -> Envoy:
    return {**lookups(world), "max_direct_response_body_size_bytes": MAX_BODY}


def _once_each(world: World, key: Hashable, hosts: Sequence[Envoy]) -> Iterable[Envoy]:
    """Return virtual hosts with the names that none before them has taken; *key* names the table."""
    wanted = tuple(host["domains"] for host in hosts)
    left = world.once(("taken domains", key), lambda: dict(_left(wanted)))
    if not left:
        return hosts
    kept = ((host, left.get(position, host["domains"])) for position, host in enumerate(hosts))
    return [{**host, "domains": domains} for host, domains in kept if domains]


def _left(wanted: Iterable[Sequence[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield the positions of those who want what is taken, and what is left for them."""
    taken: set[str] = set()
    for position, domains in enumerate(wanted):
        if not taken.isdisjoint(domains):
            yield position, [domain for domain in domains if domain not in taken]
        taken.update(domains)


def _port_hosts(world: World, alike: Alike, number: int) -> Iterator[Envoy]:
    for service in known_services(world, alike.scope).values():
        port = service.port(number)
        if port and port.is_http:
            yield _service_host(world, alike, service, port, service_names(service, alike.namespace))
    yield from _other_hosts(world, alike, number)


def _outbound_hosts(world: World, alike: Alike) -> list[Envoy]:
    def of_service(_: str, service: MeshService) -> tuple[Envoy, ...]:
        return tuple(map(_in_table, _hosts_of_service(world, alike, service)))

    services = known_services(world, alike.scope)
    found = world.each(("virtual hosts", alike), services, of_service)
    return [*chain.from_iterable(found.values()), *_other_hosts_of_all_ports(world, alike)]


def _other_hosts_of_all_ports(world: World, alike: Alike) -> Iterator[Envoy]:
    for number in sorted(_request_ports(world, alike.scope)):
        for known in _other_hosts(world, alike, number):
            domains = _domains([known["name"].rpartition(":")[0]], number, number == DEFAULT_PORT)
            yield _in_table({**known, "domains": domains})


def _hosts_of_service(world: World, alike: Alike, service: MeshService) -> Iterator[Envoy]:
    names = service_names(service, alike.namespace)
    for port in service.ports:
        if port.is_http:
            domains = _domains(names, port.number, port is service.default_http_port)
            yield _service_host(world, alike, service, port, domains)
        else:
            yield _tunnels_host(service, port, _domains(names, port.number, False))


def _request_ports(world: World, scope: SidecarScope) -> set[int]:
    """Return all ports that take requests; hosts that are no service's are reached at the default one."""
    services = known_services(world, scope)

    def find() -> set[int]:
        return {DEFAULT_PORT} | {port.number for service in services.values() for port in service.ports if port.is_http}

    return world.once(("request ports", scope), find)


def _other_hosts(world: World, alike: Alike, number: int) -> Iterator[Envoy]:
    """Yield hosts that only VirtualServices know, as they are called at a port."""
    caller = Caller(scope=alike.scope, labels=alike.labels, port=number)
    for host, rules in other_hosts(world, alike.scope, number):
        routes = rules_routes(world, caller, [rules])
        found = find_service(world, alike.scope, host)
        if routes:
            yield {
                **_virtual_host(host, number, [host], [*routes, TUNNEL_ROUTE]),
                **(service_metadata(found) if found else {}),
            }


def sniffed_routes_name(service: MeshService, port: MeshPort) -> str:
    """Return the name of the routes of requests that are found at a port for bytes of any kind."""
    return f"{service.host}:{port.number}"


def sniffed_routes(world: World, alike: Alike) -> Group:
    """Return, port by port, what becomes of such requests: whatever host they name, the port says which is meant."""
    return world.once(("sniffed routes", alike), lambda: tuple(_sniffed_routes(world, alike)))


def _sniffed_routes(world: World, alike: Alike) -> Iterator[Envoy]:
    for service in known_services(world, alike.scope).values():
        for port in service.ports:
            if port.protocol == "auto" and not service.by_request:
                host = _service_host(world, alike, service, port, ["*"])
                yield {"name": sniffed_routes_name(service, port), "virtual_hosts": [host], **lookups(world)}


def _service_host(world: World, alike: Alike, service: MeshService, port: MeshPort, domains: Sequence[str]) -> Envoy:
    caller = Caller(scope=alike.scope, labels=alike.labels, port=port.number)
    routes = host_routes(world, caller, service, port)
    known = _virtual_host(service.host, port.number, domains, [*routes, _tunnel(service, port)])
    return {**known, **_of_grpc(port.protocol), **service_metadata(service)}


def _of_grpc(protocol: Protocol) -> Envoy:
    """Turn on what gRPC has beyond HTTP, where it may be spoken."""
    if protocol == "http":
        return {}
    filters = (*FILTERS, *((GRPC_WEB_FILTER,) if protocol == "grpc-web" else ()))
    return {"typed_per_filter_config": dict.fromkeys(filters, FILTER_ON)}


def _tunnels_host(service: MeshService, port: MeshPort, domains: Sequence[str]) -> Envoy:
    """Return the virtual host of a port that takes no requests, only what comes through a tunnel.

    A VirtualService may give requests to the same host at the same port: theirs has the usual name.
    """
    refused = {"match": {"prefix": "/"}, "route": {"cluster": NOWHERE}}
    known = _virtual_host(service.host, port.number, domains, [refused, _tunnel(service, port)])
    return {**known, **service_metadata(None), "name": f"tunnel|{known['name']}"}


def _tunnel(service: MeshService, port: MeshPort) -> Envoy:
    """Return where a tunnel to a port leads."""
    if not port.is_raw:
        return TUNNEL_ROUTE
    if service.by_request:
        return connect_route(outbound_name(service, port))
    return raw_route(service.host, port.number)


def _virtual_host(host: str, port: int, domains: Sequence[str], routes: list[Envoy]) -> Envoy:
    return {
        "name": f"{host}:{port}",
        "domains": list(domains),
        "routes": routes,
        "include_request_attempt_count": True,
    }


def _domains(names: Sequence[str], port: int, is_default: bool) -> list[str]:
    with_port = [f"{name}:{port}" for name in names]
    return [*names, *with_port] if is_default else with_port
