"""What a gateway opens: a listener for each port, in it a filter chain for whoever is served there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from mesh_runtime.api.networking import Server
from mesh_runtime.api.networking.server_tls import ServerTLS
from mesh_runtime.registry import Instance
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import NOWHERE, Envoy
from mesh_runtime.xds.translate.gateways.passthrough import passing_chains
from mesh_runtime.xds.translate.gateways.routes import route_name
from mesh_runtime.xds.translate.gateways.servers import OpenPort, Served, merged_gateways
from mesh_runtime.xds.translate.gateways.termination import terminating, termination_complaint, termination_names
from mesh_runtime.xds.translate.listeners.filters import grpc_web, listener, manager, rds, tcp_proxy
from mesh_runtime.xds.translate.ports import gateway_ports
from mesh_runtime.xds.translate.routing.http_route import Caller
from mesh_runtime.xds.translate.routing.l4_route import l4_chains
from mesh_runtime.xds.translate.security.guards import http_guards, tcp_guards
from mesh_runtime.xds.translate.sidecar_scope import SidecarScope
from mesh_runtime.xds.translate.telemetry import metrics as telemetry
from mesh_runtime.xds.translate.telemetry.grpc_messages import callers_filters
from mesh_runtime.xds.translate.world import World

_ALPN: Final = ("h2", "http/1.1")
_OWN_WORD: Final = frozenset({"SANITIZE_SET", "APPEND_FORWARD"})
"""Where the workloads are told what the gateway has seen of a client's certificate itself."""


def gateway_listeners(world: World, instance: Instance) -> Iterator[Envoy]:
    """Yield a gateway's listeners, one per declared port and address, at the port that it may bind."""
    numbers = gateway_ports(world, instance)
    for port in merged_gateways(world, instance).ports:
        chains = list(_told_apart([*_secured_chains(world, instance, port), *_plain_chains(world, instance, port)]))
        if chains:
            opened = listener(port.bind or instance.address, numbers[port.number], "OUTBOUND", chains)
            filters = list(_listener_filters(world, port))
            bound = {"freebind": True} if port.bind else {}
            yield {**opened, **bound, **({"listener_filters": filters} if filters else {})}


def _listener_filters(world: World, port: OpenPort) -> Iterator[Envoy]:
    if world.mesh_config.default_config.gateway_topology.proxy_protocol is not None:
        yield _listener_filter("proxy_protocol", "ProxyProtocol")
    if port.secured:
        yield _listener_filter("tls_inspector", "TlsInspector")


def _listener_filter(name: str, message: str) -> Envoy:
    config = any_of(f"envoy.extensions.filters.listener.{name}.v3.{message}")
    return {"name": f"envoy.filters.listener.{name}", "typed_config": config}


def gateway_credentials(world: World, instance: Instance) -> tuple[str, ...]:
    """Return the resource names of the secrets that a gateway's listeners need; all of them can be served."""
    return tuple(
        name
        for _, tls in _terminating(world, instance)
        if not termination_complaint(world, tls, instance.namespace)
        for name in termination_names(tls, instance.namespace)
    )


def gateway_notes(world: World, instance: Instance) -> tuple[str, ...]:
    """Say which servers of its Gateways a gateway does not serve, and why."""
    complaints = (
        (served, termination_complaint(world, tls, instance.namespace)) for served, tls in _terminating(world, instance)
    )
    unserved = (f"{served.title} is not served: {complaint}" for served, complaint in complaints if complaint)
    return (*merged_gateways(world, instance).left_out, *unserved)


def _terminating(world: World, instance: Instance) -> Iterator[tuple[Served, ServerTLS]]:
    for port in merged_gateways(world, instance).ports:
        for served in port.secured:
            if served.server.tls is not None and served.server.decrypts:
                yield served, served.server.tls


def _plain_chains(world: World, instance: Instance, port: OpenPort) -> Iterator[Envoy]:
    """Yield the chains of servers without TLS: one for all that speak HTTP, or those of the one that does not."""
    if not port.plain:
        return
    served = port.plain[0]
    if served.server.is_http:
        servers = [one.server for one in port.plain]
        yield {"filters": [_requests(world, instance, servers, f"gateway_{port.number}", route_name(served))]}
    else:
        yield from _connections(world, instance, served, encrypted=False)


def _secured_chains(world: World, instance: Instance, port: OpenPort) -> Iterator[Envoy]:
    """Yield the chains of servers with TLS: passed on as it is, or ended here."""
    for served in port.secured:
        tls = served.server.tls
        assert tls is not None
        if tls.mode == "AUTO_PASSTHROUGH":
            yield from passing_chains(world, instance, served.server_names or ("*",))
        elif tls.terminates:
            yield from _ending_chains(world, instance, served, tls)
        else:
            yield from _connections(world, instance, served, encrypted=True)


def _ending_chains(world: World, instance: Instance, served: Served, tls: ServerTLS) -> Iterator[Envoy]:
    server = served.server
    if termination_complaint(world, tls, instance.namespace):
        yield {**_named(served), "filters": [_refusing(world, instance, served)]}
    elif server.is_http:
        prefix = server.name or f"gateway_{server.port.number}"
        yield {
            **_named(served),
            "transport_socket": terminating(world, tls, instance.namespace, _ALPN),
            "filters": [_requests(world, instance, [server], prefix, route_name(served))],
        }
    else:
        socket = terminating(world, tls, instance.namespace, () if tls.mode == "ISTIO_MUTUAL" else _ALPN)
        for chain in _connections(world, instance, served, encrypted=False):
            match = {**chain.get("filter_chain_match", {}), **_named(served)["filter_chain_match"]}
            yield {**chain, "filter_chain_match": match, "transport_socket": socket}


def _named(served: Served) -> dict[str, Envoy]:
    names = served.server_names
    return {"filter_chain_match": {"server_names": list(names)} if names else {}}


def _connections(world: World, instance: Instance, served: Served, *, encrypted: bool) -> Iterator[Envoy]:
    """Yield the chains that VirtualServices' rules make of a server: *encrypted* bytes go by ``tls``, others by ``tcp``."""
    number = served.server.port.number
    scope = SidecarScope(instance.namespace)
    caller = Caller(scope=scope, labels=instance.labels, gateway=served.gateway, port=number)
    logs = telemetry.tcp_source_logs(world, instance)
    for chain in l4_chains(world, caller, served.server.hosts, tls=encrypted):
        proxy = tcp_proxy(f"gateway_{number}", logs, **chain.clusters)
        yield {"filter_chain_match": chain.match, "filters": [*tcp_guards(world, instance, None), proxy]}


def _refusing(world: World, instance: Instance, served: Served) -> Envoy:
    """Close the connections to a server that cannot end TLS; another server's certificate must not answer for it."""
    logs = telemetry.tcp_source_logs(world, instance)
    return tcp_proxy(f"gateway_{served.server.port.number}", logs, cluster=NOWHERE)


def _requests(world: World, instance: Instance, servers: Iterable[Server], prefix: str, routes: str) -> Envoy:
    speaks_grpc_web = any(server.port.protocol == "GRPC-WEB" for server in servers)
    translation = (grpc_web(),) if speaks_grpc_web else ()
    options: dict[str, Any] = {"use_remote_address": True, "server_name": "meshscope", **_trust(world)}
    return manager(
        world,
        instance,
        prefix,
        telemetry.source_logs(world, instance),
        rds=rds(routes),
        guards=(*http_guards(world, instance, None), *translation, *callers_filters(world)),
        **options,
    )


def _trust(world: World) -> Envoy:
    """Say what of a client's words is believed; by default none, so that what was verified here stands alone."""
    topology = world.mesh_config.default_config.gateway_topology
    written = topology.forward_client_cert_details
    details = "SANITIZE_SET" if written == "UNDEFINED" else written
    seen = {"subject": True, "cert": True, "dns": True, "uri": True}
    return {
        "xff_num_trusted_hops": topology.num_trusted_proxies,
        "forward_client_cert_details": details,
        **({"set_current_client_cert_details": seen} if details in _OWN_WORD else {}),
    }


def _told_apart(chains: Iterable[Envoy]) -> Iterator[Envoy]:
    """Leave out of each chain the server names that an earlier one has taken: Envoy refuses what overlaps."""
    taken: set[tuple[str, str]] = set()
    for chain in chains:
        match = dict(chain.get("filter_chain_match", {}))
        names = match.pop("server_names", [""])
        free = [name for name in names if (name, repr(match)) not in taken]
        taken.update((name, repr(match)) for name in free)
        if free:
            kept = match if free == [""] else {"server_names": free, **match}
            yield {**chain, "filter_chain_match": kept}
