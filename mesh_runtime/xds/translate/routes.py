"""Virtual hosts: every name a caller may use, and the hosts that a gateway serves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mesh_runtime.api.hosts import matches, resolve_host
from mesh_runtime.api.networking import VirtualService
from mesh_runtime.api.objects import DOMAIN, ConfigObject
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import NOWHERE, Envoy, Group
from mesh_runtime.xds.translate.connect import REFUSED_ROUTE, TUNNEL_ROUTE
from mesh_runtime.xds.translate.http_route import Caller, rule_routes, service_route
from mesh_runtime.xds.translate.rules import selectors_of
from mesh_runtime.xds.translate.services import MeshService
from mesh_runtime.xds.translate.telemetry import service_metadata
from mesh_runtime.xds.translate.world import World, is_for_sidecars

OUTBOUND_ROUTES = "15001"

_Found = tuple[ConfigObject, VirtualService]


def outbound_routes(world: World, instance: Instance) -> Group:
    """Return what a sidecar does with a request by its Host; an unknown one leads nowhere."""
    labels = tuple(sorted(instance.labels.items())) if _sees_labels(world, instance.namespace) else ()
    key = "routes", instance.namespace, labels
    return world.once(key, lambda: (_outbound_routes(world, instance),))


def service_names(service: MeshService, namespace: str) -> tuple[str, ...]:
    """Return every name under which callers in a namespace know a service, the full one first."""
    if service.host != f"{service.name}.{service.namespace}.svc.{DOMAIN}":
        return (service.host,)
    names = (service.host, f"{service.name}.{service.namespace}.svc", f"{service.name}.{service.namespace}")
    return (*names, service.name) if service.namespace == namespace else names


def _sees_labels(world: World, namespace: str) -> bool:
    """Tell whether callers of a namespace differ by their labels."""
    return bool(selectors_of(world, namespace)) or world.once(
        "sees labels",
        lambda: any(
            match.source_labels for _, spec in world.virtual_services for rule in spec.http for match in rule.match
        ),
    )


def _outbound_routes(world: World, instance: Instance) -> Envoy:
    taken: set[str] = set()
    hosts = []
    for host in _outbound_hosts(world, instance):
        domains = [domain for domain in host["domains"] if domain not in taken]
        taken.update(domains)
        if domains:
            hosts.append({**host, "domains": domains})
    return {"name": OUTBOUND_ROUTES, "virtual_hosts": [*hosts, _NOWHERE_HOST]}


def _outbound_hosts(world: World, instance: Instance) -> Iterator[Envoy]:
    for service in world.services_for(instance.namespace).values():
        rules = _rules_of(world, service.host)
        for port in service.ports:
            if port.is_http:
                caller = Caller(namespace=instance.namespace, labels=instance.labels, port=port.number)
                routes = (
                    rules_routes(world, caller, [rules]) if rules else [service_route(world, caller, service, port)]
                )
                names = service_names(service, instance.namespace)
                is_default = port is service.default_http_port
                known = _host(service.host, port.number, names, is_default, routes)
                yield {**known, **service_metadata(service)}
    for item, spec in world.virtual_services:
        for written in spec.hosts:
            host = resolve_host(written, item.key.namespace)
            if is_for_sidecars(spec) and spec.http and host not in world.services_for(instance.namespace):
                caller = Caller(namespace=instance.namespace, labels=instance.labels, port=80)
                routes = rules_routes(world, caller, [(item, spec)])
                found = world.find_service(host, instance.namespace)
                yield {**_host(host, 80, (host,), True, routes), **(service_metadata(found) if found else {})}


def _host(host: str, port: int, names: Sequence[str], is_default: bool, routes: list[Envoy]) -> Envoy:
    with_port = [f"{name}:{port}" for name in names]
    return {
        "name": f"{host}:{port}",
        "domains": [*names, *with_port] if is_default else with_port,
        "routes": [*routes, TUNNEL_ROUTE],
        "include_request_attempt_count": True,
    }


def _rules_of(world: World, host: str) -> _Found | None:
    """Return the VirtualService that speaks of a host in the mesh: the exact one, else the closest wildcard."""
    known = world.once("rules by host", lambda: dict(_mesh_rules(world)))
    if host in known:
        return known[host]
    wide = [pattern for pattern in known if pattern.startswith("*") and matches(pattern, host)]
    return known[max(wide, key=len)] if wide else None


def _mesh_rules(world: World) -> Iterator[tuple[str, _Found]]:
    """Yield VirtualServices by host, the last one first: of several for a host, the first one is to stay."""
    for item, spec in reversed(world.virtual_services):
        if is_for_sidecars(spec) and spec.http:
            for written in spec.hosts:
                yield resolve_host(written, item.key.namespace), (item, spec)


def rules_routes(world: World, caller: Caller, found: Iterable[_Found]) -> list[Envoy]:
    """Return the routes of VirtualServices' rules for one caller, in order."""
    return [
        route
        for item, spec in found
        for rule in spec.http
        for route in rule_routes(world, caller, item.key.namespace, rule, _described(item))
    ]


def _described(item: ConfigObject) -> Envoy:
    """Name the object that a route comes from."""
    config = f"/apis/{item.api_version}/namespaces/{item.key.namespace}/virtual-service/{item.key.name}"
    return {"filter_metadata": {"istio": {"config": config}}}


_NOWHERE_HOST: Envoy = {
    "name": "block_all",
    "domains": ["*"],
    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": NOWHERE}}, REFUSED_ROUTE],
    **service_metadata(None),
}
