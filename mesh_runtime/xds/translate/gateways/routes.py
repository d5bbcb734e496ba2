"""Where a gateway sends the requests that come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from mesh_runtime.api.hosts import matches, resolve_host
from mesh_runtime.api.networking import MESH, Server, VirtualService
from mesh_runtime.api.networking.http_action import MAX_BODY
from mesh_runtime.api.objects import ConfigObject
from mesh_runtime.registry import Instance
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.gateways.servers import Served, merged_gateways
from mesh_runtime.xds.translate.listeners.lookup import lookups
from mesh_runtime.xds.translate.ports import gateway_ports
from mesh_runtime.xds.translate.proxy_headers import proxy_headers
from mesh_runtime.xds.translate.routing.host_rules import rules_routes, virtual_services_for
from mesh_runtime.xds.translate.routing.http_match import EVERY_PATH, catches_all
from mesh_runtime.xds.translate.routing.http_route import Caller
from mesh_runtime.xds.translate.sidecar_scope import SidecarScope
from mesh_runtime.xds.translate.world import World

_HTTPS: Final = 443
_MISDIRECTED: Final[Envoy] = {
    "match": {"prefix": "/"},
    "direct_response": {
        "status": 421,
        "body": {"inline_string": "this host has a server of its own, to be asked for by SNI"},
    },
}


def route_name(served: Served) -> str:
    """Return Istio's name of the routes of an HTTP server: its own with TLS, else those of the port."""
    port, bind = served.server.port, served.server.bind
    suffix = f".{bind}" if bind else ""
    if not served.server.over_tls:
        return f"http.{port.number}{suffix}"
    namespace, _, name = served.gateway.partition("/")
    return f"https.{port.number}.{port.name}.{name}.{namespace}{suffix}"


def gateway_routes(world: World, instance: Instance) -> Iterator[Envoy]:
    """Yield a gateway's routes: one configuration per port without TLS, and one per server with it."""
    for port in merged_gateways(world, instance).ports:
        if port.plain and port.plain[0].server.is_http:
            yield _routes(world, instance, port.plain)
        for served in port.secured:
            if served.server.is_http:
                others = {name for other in port.secured if other is not served for name in _names(other)}
                yield _routes(world, instance, (served,), others)


def _routes(world: World, instance: Instance, servers: Sequence[Served], others: Iterable[str] = ()) -> Envoy:
    """Return the routes of servers. *others* is what further servers of the port answer for by SNI."""
    number = servers[0].server.port.number
    hosts = list(_directed(_hosts(world, instance, servers), _names(servers[0]), others))
    return {
        "name": route_name(servers[0]),
        "virtual_hosts": hosts or [{"name": f"blackhole:{number}", "domains": ["*"]}],
        **lookups(world),
        # Clients name the port that is opened, which may not be the declared one.
        "ignore_port_in_host_matching": True,
        "max_direct_response_body_size_bytes": MAX_BODY,
    }


def _hosts(world: World, instance: Instance, servers: Sequence[Served]) -> Iterator[Envoy]:
    number, tls = servers[0].server.port.number, servers[0].server.over_tls
    scope, https_port = SidecarScope(instance.namespace), gateway_ports(world, instance).get(_HTTPS, _HTTPS)
    routes: dict[str, list[Envoy]] = {}
    redirected: set[str] = set()
    for gateway, group in _by_gateway(servers).items():
        namespace = gateway.partition("/")[0]
        caller = Caller(
            scope=scope, labels=instance.labels, gateway=gateway, port=number, tls=tls, https_port=https_port
        )
        for domain, server, added in _rules(world, caller, group):
            routes.setdefault(domain, []).extend(added)
            redirected |= {domain} if server.redirects else set()
        for domain in (one for server in group if server.redirects for one in _own_domains(server, namespace)):
            routes.setdefault(domain, [])
            redirected.add(domain)
    for domain, found in sorted(routes.items()):
        # Of what several VirtualServices say of one host, a route for every request hides none of the others.
        ordered = sorted(found, key=catches_all)
        yield {
            "name": f"{domain}:{number}",
            "domains": [domain],
            "routes": ordered,
            "include_request_attempt_count": not proxy_headers(world).attempt_count.disabled,
            **(_over_tls(ordered, https_port) if domain in redirected else {}),
        }


def _rules(world: World, caller: Caller, servers: Sequence[Server]) -> Iterator[tuple[str, Server, Sequence[Envoy]]]:
    """Yield what VirtualServices say of each domain that a Gateway's servers serve, and by which of these."""
    for item, bound in virtual_services_for(world, caller.namespace):
        if bound.http and caller.gateway in _gateways(item, bound):
            routes = rules_routes(world, caller, [(item, bound)])
            for domain, server in _served(servers, caller.gateway.partition("/")[0], item, bound):
                yield domain, server, routes


def _over_tls(routes: Sequence[Envoy], https_port: int) -> Envoy:
    """Return the part of a virtual host that sends requests without TLS to HTTPS.

    Where 443 may not be opened, to the port that stands for it: Envoy would keep the one that the client named.
    """
    if https_port == _HTTPS:
        return {"require_tls": "ALL"}
    plain = {"name": "x-forwarded-proto", "string_match": {"exact": "https"}, "invert_match": True}
    redirect = {"https_redirect": True, "port_redirect": https_port}
    return {"routes": [{"match": {**EVERY_PATH, "headers": [plain]}, "redirect": redirect}, *routes]}


def _names(served: Served) -> tuple[str, ...]:
    return served.server_names or ("*",)


def _directed(hosts: Iterable[Envoy], own: Sequence[str], others: Iterable[str]) -> Iterator[Envoy]:
    """Refuse hosts that another server's names are closer to: a client must not pass over what that one asks of it.

    It is told so (421), as one may have come by a connection that it had for another host.
    """
    elsewhere = {name for name in others if any(matches(pattern, name) for pattern in own)}
    for host in hosts:
        (domain,) = host["domains"]
        closest = max((name for name in (*own, *elsewhere) if matches(name, domain)), key=len, default="")
        if closest not in elsewhere:
            yield host
    for name in sorted(elsewhere):
        yield {"name": f"misdirected:{name}", "domains": [name], "routes": [_MISDIRECTED]}


def _by_gateway(servers: Iterable[Served]) -> dict[str, list[Server]]:
    """Put the servers of a Gateway together: what they share of a VirtualService's hosts counts once."""
    found: dict[str, list[Server]] = {}
    for served in servers:
        found.setdefault(served.gateway, []).append(served.server)
    return found


def _own_domains(server: Server, namespace: str) -> Iterator[str]:
    for host in server.hosts:
        yield resolve_host(host.rpartition("/")[2], namespace).lower()


def _gateways(item: ConfigObject, spec: VirtualService) -> set[str]:
    return {name if "/" in name else f"{item.key.namespace}/{name}" for name in spec.gateways if name != MESH}


def _served(
    servers: Sequence[Server], namespace: str, item: ConfigObject, spec: VirtualService
) -> Iterator[tuple[str, Server]]:
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
                common = (host if matches(pattern, host) else pattern if matches(host, pattern) else "").lower()
                if common and common not in seen:
                    seen.add(common)
                    yield common, server
