"""Which VirtualServices a caller follows for a host, and what they make of its requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from mesh_runtime.api.hosts import matches, resolve_host
from mesh_runtime.api.networking import VirtualService
from mesh_runtime.api.networking.virtual_service import EVERYBODY
from mesh_runtime.api.objects import ConfigObject, ObjectKey
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.calling.rules import selectors_of
from mesh_runtime.xds.translate.routing.delegation import Found, is_exported
from mesh_runtime.xds.translate.routing.http_match import catches_all
from mesh_runtime.xds.translate.routing.http_route import Caller, rule_routes, service_route
from mesh_runtime.xds.translate.services import MeshPort, MeshService
from mesh_runtime.xds.translate.sidecar_scope import SidecarScope, follows, known_services
from mesh_runtime.xds.translate.telemetry.tracing import spans_named
from mesh_runtime.xds.translate.world import World

DEFAULT_PORT: Final = 80
"""Where hosts are looked for that are no service's."""


def virtual_services_for(world: World, namespace: str) -> tuple[Found, ...]:
    """Return the VirtualServices that proxies of a namespace follow, those that count first in front.

    Those that are only exported there come before those that are for all.
    """
    if world.once("all rules public", lambda: not any(spec.export_to for _, spec in world.virtual_services)):
        return world.virtual_services
    return world.once(("virtual services for", namespace), lambda: _visible(world, namespace))


def _visible(world: World, namespace: str) -> tuple[Found, ...]:
    found = [(item, spec) for item, spec in world.virtual_services if is_exported(item, spec, namespace)]
    return tuple(sorted(found, key=lambda one: _distance(*one, namespace=namespace)))


def _distance(item: ConfigObject, spec: VirtualService, *, namespace: str) -> int:
    if not spec.export_to or EVERYBODY in spec.export_to:
        return 2
    return 0 if item.key.namespace == namespace else 1


def sees_labels(world: World, namespace: str) -> bool:
    """Tell whether the workloads of a namespace may follow different rules."""
    return bool(selectors_of(world, namespace)) or world.once(
        "sees labels",
        lambda: any(
            match.source_labels for _, spec in world.virtual_services for rule in spec.http for match in rule.match
        ),
    )


def host_routes(world: World, caller: Caller, service: MeshService, port: MeshPort) -> list[Envoy]:
    """Return what becomes of a workload's requests to a port of a service; some route, in any case."""
    for who, found in _rules_for(world, caller, service):
        routes = rules_routes(world, who, [found])
        if routes:
            return routes
    return [service_route(world, caller, service, port)]


def _rules_for(world: World, caller: Caller, service: MeshService) -> Iterator[tuple[Caller, Found]]:
    """Yield what a caller follows for a service, and as whom.

    As in Istio, rules for a headless service are also for its workloads' own names, and lead to the one named.
    """
    yield from ((caller, found) for found in _rules_of(world, caller, service.host))
    if service.parent:
        named = replace(caller, member=service)
        yield from ((named, found) for found in _rules_of(world, caller, service.parent))


def other_hosts(world: World, scope: SidecarScope, number: int) -> Iterator[tuple[str, Found]]:
    """Yield hosts that are no service's but that VirtualServices give to workloads at a port.

    That is port 80, and every port of the services that the same VirtualService is for.
    """
    taking = world.once(
        ("takes requests", scope, number),
        lambda: {
            host: service for host, service in known_services(world, scope).items() if _takes_requests(service, number)
        },
    )
    rules = {item.key: (item, spec) for item, spec in _for_workloads(world, scope, number)}

    def others(_: ObjectKey, found: Found) -> tuple[str, ...]:
        item, spec = found
        hosts = [resolve_host(written, item.key.namespace) for written in spec.hosts]
        left = tuple(host for host in hosts if not _is_taken(host, taking))
        return left if number == DEFAULT_PORT or len(left) < len(hosts) else ()

    for key, hosts in world.each(("other hosts", scope, number), rules, others).items():
        yield from ((host, rules[key]) for host in hosts)


def _is_taken(host: str, taking: Mapping[str, MeshService]) -> bool:
    return host in taking or any(_is_meant(host, service) for service in taking.values())


def rules_routes(world: World, caller: Caller, found: Iterable[Found]) -> list[Envoy]:
    """Return the routes of VirtualServices' rules for one caller, in order; of each, up to one for every request."""
    return [route for item, spec in found for route in _routes(world, caller, item, spec)]


def _routes(world: World, caller: Caller, item: ConfigObject, spec: VirtualService) -> Iterator[Envoy]:
    for rule in spec.http:
        for route in rule_routes(world, caller, item.key.namespace, rule):
            yield {**route, "metadata": described(item), **spans_named(route, item.key.name, caller.port)}
            if catches_all(route):
                return


def described(item: ConfigObject) -> Envoy:
    """Name the object that a route or chain comes from."""
    config = f"/apis/{item.api_version}/namespaces/{item.key.namespace}/virtual-service/{item.key.name}"
    return {"filter_metadata": {"istio": {"config": config}}}


def _for_workloads(world: World, scope: SidecarScope, port: int) -> tuple[Found, ...]:
    visible = virtual_services_for(world, scope.namespace)
    return tuple(
        (item, spec)
        for item, spec in visible
        if spec.is_for_sidecars and spec.http and follows(world, scope, port, item, spec)
    )


def _rules_of(world: World, caller: Caller, host: str) -> tuple[Found, ...]:
    """Return the VirtualServices that name a host, the first one first; else the first of the closest wildcard's."""
    scope, port = caller.scope, caller.port
    exact = tuple(_followed(world, world.virtual_services_naming(host), scope, port))
    if exact:
        return exact
    at = port if scope.sidecar else 0
    known = world.once(("wide rules", scope, at), lambda: _by_pattern(world, scope, at))
    wide = [pattern for pattern in known if matches(pattern, host)]
    return known[max(wide, key=len)][:1] if wide else ()


def _by_pattern(world: World, scope: SidecarScope, port: int) -> Mapping[str, tuple[Found, ...]]:
    found: dict[str, tuple[Found, ...]] = {}
    for item, spec in _followed(world, world.wide_virtual_services, scope, port):
        for pattern in (resolve_host(written, item.key.namespace) for written in spec.hosts):
            if pattern.startswith("*"):
                found[pattern] = (*found.get(pattern, ()), (item, spec))
    return found


def _followed(world: World, found: Iterable[Found], scope: SidecarScope, port: int) -> list[Found]:
    """Keep those that workloads follow for requests to a port, those that count first in front."""
    kept = [
        (item, spec)
        for item, spec in found
        if spec.is_for_sidecars
        and spec.http
        and is_exported(item, spec, scope.namespace)
        and follows(world, scope, port, item, spec)
    ]
    return sorted(kept, key=lambda one: _distance(*one, namespace=scope.namespace))


def _takes_requests(service: MeshService, number: int) -> bool:
    port = service.port(number)
    return port is not None and port.is_http


def _is_meant(host: str, service: MeshService) -> bool:
    return matches(host, service.host) or (host.startswith("*") and matches(service.host, host))
