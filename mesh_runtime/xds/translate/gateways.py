"""What a gateway opens and where it sends what comes in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mesh_runtime.api.hosts import matches, resolve_host
from mesh_runtime.api.networking import MESH, Server, VirtualService
from mesh_runtime.api.objects import ConfigObject
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate import telemetry
from mesh_runtime.xds.translate.filters import listener, manager, rds
from mesh_runtime.xds.translate.guards import http_guards
from mesh_runtime.xds.translate.http_route import Caller
from mesh_runtime.xds.translate.ports import gateway_ports, gateway_servers
from mesh_runtime.xds.translate.routes import rules_routes
from mesh_runtime.xds.translate.world import World


def gateway_listeners(world: World, instance: Instance) -> Iterator[Envoy]:
    """Yield a gateway's listeners, one per declared port, at the port that it may bind."""
    for number, bound in gateway_ports(world, instance).items():
        requests = manager(
            world,
            instance,
            f"gateway_{number}",
            telemetry.source_logs(world, instance),
            rds=rds(gateway_route_name(number)),
            use_remote_address=True,
            server_name="meshscope",
            guards=http_guards(world, instance, None),
        )
        yield listener(instance.address, bound, "OUTBOUND", [{"filters": [requests]}])


def gateway_routes(world: World, instance: Instance) -> Iterator[Envoy]:
    """Yield a gateway's routes, one configuration per declared port."""
    for number in gateway_ports(world, instance):
        hosts = _gateway_hosts(world, instance, number)
        yield {
            "name": gateway_route_name(number),
            "virtual_hosts": hosts or [{"name": f"blackhole:{number}", "domains": ["*"]}],
            # Clients name the port that is opened, which may not be the declared one.
            "ignore_port_in_host_matching": True,
        }


def gateway_route_name(number: int) -> str:
    """Return Istio's name of a gateway port's routes."""
    return f"http.{number}"


def _gateway_hosts(world: World, instance: Instance, number: int) -> list[Envoy]:
    routes: dict[str, list[Envoy]] = {}
    for gateway, spec in gateway_servers(world, instance):
        caller = Caller(namespace=instance.namespace, labels=instance.labels, gateway=gateway, port=number)
        servers = [server for server in spec.servers if server.port.number == number]
        for item, bound in world.virtual_services:
            if bound.http and gateway in _gateways(item, bound):
                added = rules_routes(world, caller, [(item, bound)])
                for domain in _served(servers, gateway.partition("/")[0], item, bound):
                    routes.setdefault(domain, []).extend(added)
    return [
        {
            "name": f"{domain}:{number}",
            "domains": [domain],
            "routes": sorted(found, key=_catches_all),
            "include_request_attempt_count": True,
        }
        for domain, found in sorted(routes.items())
    ]


def _gateways(item: ConfigObject, spec: VirtualService) -> set[str]:
    return {name if "/" in name else f"{item.key.namespace}/{name}" for name in spec.gateways if name != MESH}


def _served(servers: Sequence[Server], namespace: str, item: ConfigObject, spec: VirtualService) -> Iterator[str]:
    """Yield the hosts that both a gateway's servers and a VirtualService name: the narrower of each pair."""
    seen = set()
    for written in spec.hosts:
        host = resolve_host(written, item.key.namespace)
        for server in servers:
            for offered in server.hosts:
                where, slash, pattern = offered.rpartition("/")
                allowed = {"": item.key.namespace, "*": item.key.namespace, ".": namespace}.get(where, where)
                if slash and allowed != item.key.namespace:
                    continue
                pattern = resolve_host(pattern, namespace)
                common = host if matches(pattern, host) else pattern if matches(host, pattern) else ""
                if common and common not in seen:
                    seen.add(common)
                    yield common


def _catches_all(route: Envoy) -> bool:
    """Order what several VirtualServices say of one host: a route for every request hides none of the others."""
    return dict(route["match"]) == {"prefix": "/"}
