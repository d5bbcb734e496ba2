"""Virtual hosts: every name a caller may use, and the hosts that a gateway serves."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from mesh_runtime.api.networking.http_action import MAX_BODY
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import NOWHERE, Envoy, Group, vhds_name
from mesh_runtime.xds.translate.calling.clusters import outbound_name
from mesh_runtime.xds.translate.listeners.connect import (
    REFUSED,
    REFUSED_ROUTE,
    TUNNEL_ROUTE,
    connect_route,
    raw_route,
)
from mesh_runtime.xds.translate.listeners.filters import FILTER_ON, GRPC_WEB_FILTER
from mesh_runtime.xds.translate.listeners.lookup import lookups
from mesh_runtime.xds.translate.listeners.networks import addressed
from mesh_runtime.xds.translate.listeners.unknown_hosts import unknown_host
from mesh_runtime.xds.translate.ports import request_numbers
from mesh_runtime.xds.translate.proxy_headers import proxy_headers
from mesh_runtime.xds.translate.routing.host_rules import (
    DEFAULT_PORT,
    host_routes,
    other_hosts,
    rules_routes,
    sees_labels,
)
from mesh_runtime.xds.translate.routing.http_match import catches_all
from mesh_runtime.xds.translate.routing.http_route import Caller, destination_cluster
from mesh_runtime.xds.translate.services import MeshPort, MeshService, Protocol
from mesh_runtime.xds.translate.sidecar_scope import (
    SidecarScope,
    egress_proxy,
    find_service,
    known_services,
    proxied_scopes,
    scope_of,
)
from mesh_runtime.xds.translate.telemetry.grpc_messages import FILTERS, is_counted
from mesh_runtime.xds.translate.telemetry.metrics import PASSTHROUGH, service_metadata
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
    return world.once(
        ("outbound hosts", alike), lambda: (*_hosts_of_services(world, alike), _hosts_of_nobody(world, alike))
    )


def _in_table(host: Envoy) -> Envoy:
    return {**host, "name": vhds_name(OUTBOUND_ROUTES, host["name"])}


def port_routes(world: World, instance: Instance, number: int) -> Envoy:
    """Return what a sidecar does with a request that came for a port, by its Host, whose own port does not count.

    It counts at a port for ``HTTP_PROXY``, which is for all. The configuration's name is the port's number.
    """
    alike = callers_like(world, instance)
    if proxied := proxied_scopes(world, alike.scope).get(number):
        alike = replace(alike, scope=proxied)
    make = _proxied_routes if proxied else _port_routes
    return world.once(("port routes", alike, number), lambda: make(world, alike, number))


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
    hosts = _once_each(_port_hosts(world, alike, number))
    table = {"name": str(number), "virtual_hosts": [*hosts, _unknown_host(world, alike, number)]}
    return {**table, **_options(world), "ignore_port_in_host_matching": True}


def _proxied_routes(world: World, alike: Alike, number: int) -> Envoy:
    left = _left(world, alike.scope)
    services = known_services(world, alike.scope).values()
    known = [host for service in services for host in _hosts_of_service(world, alike, service, left)]
    return {"name": str(number), "virtual_hosts": [*known, *_no_services_hosts(world, alike)], **_options(world)}


def _options(world: World) -> Envoy:
    return {**lookups(world), "max_direct_response_body_size_bytes": MAX_BODY}


def _once_each(hosts: Iterable[Envoy], taken: Container[str] = ()) -> Iterator[Envoy]:
    """Yield virtual hosts with the names that nobody has *taken*, nor one before them."""
    seen: set[str] = set()
    for host in hosts:
        domains = [domain for domain in host["domains"] if domain not in seen and domain not in taken]
        seen.update(domains)
        if domains:
            yield {**host, "domains": domains}


def _port_hosts(world: World, alike: Alike, number: int) -> Iterator[Envoy]:
    for service in known_services(world, alike.scope).values():
        port = service.port(number)
        if port and port.is_http:
            yield _service_host(world, alike, service, port, service_names(service, alike.namespace))
    yield from _other_hosts(world, alike, number)


def _hosts_of_services(world: World, alike: Alike) -> tuple[Group, ...]:
    left = _left(world, alike.scope)

    def of_service(_: str, service: MeshService) -> Group:
        return tuple(map(_in_table, _hosts_of_service(world, alike, service, left)))

    services = known_services(world, alike.scope)
    return world.in_runs(("virtual hosts", alike), services, of_service, _in_one)


def _unknown_host(world: World, alike: Alike, number: int | None = None) -> Envoy:
    """Return what becomes of other hosts, in the table of a port or of all."""
    towards = PASSTHROUGH
    if proxy := egress_proxy(world, alike.scope):
        namespace, destination = proxy
        towards = destination_cluster(
            world, Caller(scope=alike.scope, labels=alike.labels, port=DEFAULT_PORT), namespace, destination
        )
    return unknown_host(world, alike.scope, towards, tuple(_network_routes(world, alike, number)))


def _network_routes(world: World, alike: Alike, number: int | None) -> Iterator[Envoy]:
    """Yield what becomes of requests and tunnels that name an address of a service's networks."""
    for service in _services_of_networks(world, alike.scope):
        for port in service.ports:
            if number in {None, port.number}:
                meant = addressed(service, port, at_port=number is not None)
                for route in _routes_to(world, alike, service, port):
                    match = route["match"]
                    yield {**route, "match": {**match, "headers": [*match.get("headers", ()), meant]}}


def _services_of_networks(world: World, scope: SidecarScope) -> tuple[MeshService, ...]:
    services = known_services(world, scope)
    return world.once(("services of networks", scope), lambda: tuple(one for one in services.values() if one.networks))


def _routes_to(world: World, alike: Alike, service: MeshService, port: MeshPort) -> list[Envoy]:
    """Return what becomes of requests to a port of a service, if it takes any, and of tunnels to it."""
    caller = Caller(scope=alike.scope, labels=alike.labels, port=port.number)
    return [*(host_routes(world, caller, service, port) if port.is_http else ()), _tunnel(alike, service, port)]


def _in_one(groups: Iterable[Group]) -> Group:
    return tuple(chain.from_iterable(groups))


def _hosts_of_nobody(world: World, alike: Alike) -> Group:
    return world.once(("hosts of nobody", alike), lambda: tuple(map(_in_table, _no_services_hosts(world, alike))))


def _no_services_hosts(world: World, alike: Alike) -> Iterator[Envoy]:
    """Yield the virtual hosts of what no service has: hosts of rules, and all others."""
    others = tuple(_other_hosts_of_all_ports(world, alike))
    wanted = frozenset(name for host in others for name in host["domains"])
    yield from _once_each(others, _taken(world, alike.scope, wanted))
    yield _unknown_host(world, alike)


def _other_hosts_of_all_ports(world: World, alike: Alike) -> Iterator[Envoy]:
    # Hosts that are no service's are reached at the default port, too.
    for number in sorted(request_numbers(world, alike.scope) | {DEFAULT_PORT}):
        for known in _other_hosts(world, alike, number):
            domains = _domains([known["name"].rpartition(":")[0]], number, number == DEFAULT_PORT)
            yield {**known, "domains": domains}


_Port = tuple[str, int]
"""The host of a service, and a port of it."""


def _hosts_of_service(
    world: World, alike: Alike, service: MeshService, left: Mapping[_Port, Sequence[str]]
) -> Iterator[Envoy]:
    for port in service.ports:
        domains = left.get((service.host, port.number), _names_at(service, port, alike.namespace))
        if domains and port.is_http:
            yield _service_host(world, alike, service, port, domains)
        elif domains:
            yield _tunnels_host(world, alike, service, port, domains)


def _names_at(service: MeshService, port: MeshPort, namespace: str) -> list[str]:
    """Return what callers may write who mean a port of a service."""
    return _domains(service_names(service, namespace), port.number, port is service.default_http_port)


def _left(world: World, scope: SidecarScope) -> Mapping[_Port, Sequence[str]]:
    """Return what is left for the ports of which others, before them, have names."""
    services = known_services(world, scope)

    def find() -> dict[_Port, Sequence[str]]:
        taken: set[str] = set()
        found: dict[_Port, Sequence[str]] = {}
        for service in services.values():
            for port in service.ports:
                names = _names_at(service, port, scope.namespace)
                if not taken.isdisjoint(names):
                    found[service.host, port.number] = [name for name in names if name not in taken]
                taken.update(names)
        return found

    return world.once(("names left", scope), find)


def _taken(world: World, scope: SidecarScope, wanted: frozenset[str]) -> frozenset[str]:
    """Return those of some names that are services'."""
    services = known_services(world, scope) if wanted else {}
    return world.once(
        ("names taken", scope, wanted),
        lambda: wanted.intersection(
            name
            for service in services.values()
            for port in service.ports
            for name in _names_at(service, port, scope.namespace)
        ),
    )


def _other_hosts(world: World, alike: Alike, number: int) -> Iterator[Envoy]:
    """Yield hosts that only VirtualServices know, as they are called at a port."""
    caller = Caller(scope=alike.scope, labels=alike.labels, port=number)
    for host, rules in other_hosts(world, alike.scope, number):
        routes = rules_routes(world, caller, [rules])
        found = find_service(world, alike.scope, host)
        if routes:
            yield {
                **_virtual_host(world, host, number, [host], [*routes, TUNNEL_ROUTE]),
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
    *routes, tunnel = [*_absent_members(service), *_routes_to(world, alike, service, port)]
    known = _virtual_host(world, service.host, port.number, domains, [*routes, tunnel])
    # Envoy reads metadata anew with each change of any host of the table: that is a third of what the change costs it.
    named = {} if _lead_to_clusters(routes) else service_metadata(service)
    return {**known, **_of_grpc(port.protocol), **named}


def _lead_to_clusters(routes: Sequence[Envoy]) -> bool:
    """Tell whether each request has a cluster, which tells telemetry of the service: the virtual host need not."""
    return any(map(catches_all, routes)) and NOWHERE not in chain.from_iterable(map(_clusters, routes))


def _clusters(route: Envoy) -> Sequence[str]:
    action = route.get("route", {})
    weighted = action.get("weighted_clusters", {}).get("clusters", ())
    return [one["name"] for one in weighted] or [action.get("cluster", NOWHERE)]


def _of_grpc(protocol: Protocol) -> Envoy:
    """Turn on what gRPC has beyond HTTP, where it may be spoken."""
    if not is_counted(protocol):
        return {}
    filters = (*FILTERS, *((GRPC_WEB_FILTER,) if protocol == "grpc-web" else ()))
    return {"typed_per_filter_config": dict.fromkeys(filters, FILTER_ON)}


def _tunnels_host(world: World, alike: Alike, service: MeshService, port: MeshPort, domains: Sequence[str]) -> Envoy:
    """Return the virtual host of a port that takes no requests, only what comes through a tunnel.

    A VirtualService may give requests to the same host at the same port: theirs has the usual name.
    """
    routes = [*_absent_members(service), REFUSED, _tunnel(alike, service, port)]
    known = _virtual_host(world, service.host, port.number, domains, routes)
    return {**known, **service_metadata(None), "name": f"tunnel|{known['name']}"}


def _absent_members(service: MeshService) -> Iterator[Envoy]:
    """Yield what refuses names of single workloads of a headless service, with a number at the end, that nobody has.

    As where DNS does not know them: what was meant for one replica must not reach another while it is away. Those that
    are there have virtual hosts of their own.
    """
    if service.headless:
        pattern = rf"(?i)[^.:]+-[0-9]+\.{re.escape(service.name)}([.:].*)?"
        meant = {"name": ":authority", "string_match": {"safe_regex": {"regex": pattern}}}
        yield from ({**route, "match": {**route["match"], "headers": [meant]}} for route in (REFUSED, REFUSED_ROUTE))


def _tunnel(alike: Alike, service: MeshService, port: MeshPort) -> Envoy:
    """Return where a tunnel to a port leads; one through an ``HTTP_PROXY`` has no listener of the service's own."""
    if not port.is_raw:
        return TUNNEL_ROUTE
    if service.by_request or alike.scope.through:
        return connect_route(outbound_name(service, port))
    return raw_route(service.host, port.number)


def _virtual_host(world: World, host: str, port: int, domains: Sequence[str], routes: list[Envoy]) -> Envoy:
    return {
        "name": f"{host}:{port}",
        "domains": list(domains),
        "routes": routes,
        "include_request_attempt_count": not proxy_headers(world).attempt_count.disabled,
    }


def _domains(names: Sequence[str], port: int, is_default: bool) -> list[str]:
    with_port = [f"{name}:{port}" for name in names]
    return [*names, *with_port] if is_default else with_port
