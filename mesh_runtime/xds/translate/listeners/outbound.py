"""What a sidecar sends out: listeners for all requests, and one for each port to which bytes of any kind go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mesh_runtime.registry import Instance
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.calling.balancing import connection_options
from mesh_runtime.xds.translate.calling.clusters import outbound_name
from mesh_runtime.xds.translate.calling.rules import rules_for
from mesh_runtime.xds.translate.listeners.connect import REFUSAL, tunnel_listener
from mesh_runtime.xds.translate.listeners.filters import PLAIN_HTTP, inspected, listener, manager, rds, tcp_proxy
from mesh_runtime.xds.translate.ports import TcpBinding, proxy_ports, request_ports, tcp_bindings
from mesh_runtime.xds.translate.routing.http_route import Caller
from mesh_runtime.xds.translate.routing.l4_route import L4Chain, l4_chains
from mesh_runtime.xds.translate.routing.routes import OUTBOUND_ROUTES, sniffed_routes_name
from mesh_runtime.xds.translate.sidecar_scope import scope_of
from mesh_runtime.xds.translate.telemetry import metrics as telemetry
from mesh_runtime.xds.translate.tls import RAW_ALPN
from mesh_runtime.xds.translate.world import World


def outbound_listeners(world: World, instance: Instance) -> Iterator[Envoy]:
    """Yield a sidecar's outbound listeners."""
    every = _requests(world, instance, OUTBOUND_ROUTES)
    for port in proxy_ports(world, instance):
        yield listener(instance.address, port, "OUTBOUND", [{"filters": [every]}])
    yield tunnel_listener([every])
    for number, bound in request_ports(world, instance).items():
        requests = _requests(world, instance, str(number))
        yield listener(instance.address, bound, "OUTBOUND", [{"filters": [requests]}])
    for binding in tcp_bindings(world, instance):
        yield _raw(world, instance, binding)


def _requests(world: World, instance: Instance, routes: str) -> Envoy:
    return manager(
        world,
        instance,
        "outbound",
        telemetry.source_logs(world, instance),
        rds=rds(routes),
        # Python before 3.12 sends CONNECT in HTTP/1.0.
        http1={"accept_http_10": True},
        server_header_transformation="PASS_THROUGH",
        local_reply_config=_NOWHERE_REPLY,
    )


def _raw(world: World, instance: Instance, binding: TcpBinding) -> Envoy:
    """Return the listener for one port of a service: by server name in TLS, by what it is where that shows."""
    protocol = binding.port.protocol
    caller = Caller(scope=scope_of(world, instance), labels=instance.labels, port=binding.port.number)
    routed = l4_chains(world, caller, [binding.service.host], tls=protocol == "tls")
    chains = [_chain(world, instance, binding, chain) for chain in routed]
    if all(chain.match for chain in routed):
        to_itself = L4Chain(match={}, clusters={"cluster": outbound_name(binding.service, binding.port)}, service=None)
        chains.append(_chain(world, instance, binding, to_itself))
    if protocol == "auto":
        requests = _requests(world, instance, sniffed_routes_name(binding.service, binding.port))
        chains.insert(0, {"name": "requests", "filter_chain_match": PLAIN_HTTP, "filters": [requests]})
    looks = {"tls": ("tls",), "auto": ("tls", "http")}.get(protocol, ())
    return {**listener(instance.address, binding.bound, "OUTBOUND", chains), **inspected(*looks)}


def _chain(world: World, instance: Instance, binding: TcpBinding, chain: L4Chain) -> Envoy:
    rules = rules_for(world, instance.namespace, chain.service or binding.service, instance.labels)
    options: dict[str, Any] = {**chain.clusters, **connection_options(rules.policy(binding.port.number, chain.subset))}
    logs = telemetry.tcp_source_logs(world, instance)
    proxy = tcp_proxy(outbound_name(binding.service, binding.port), logs, **options)
    return {
        **({"filter_chain_match": chain.match} if chain.match else {}),
        "filters": [_SAYS_RAW, proxy] if binding.port.protocol == "auto" else [proxy],
    }


_RAW: Final = {
    "object_key": "envoy.network.application_protocols",
    "format_string": {"text_format_source": {"inline_string": ",".join(RAW_ALPN)}},
    "shared_with_upstream": "ONCE",
}
_SAYS_RAW: Final[Envoy] = {
    "name": "envoy.filters.network.set_filter_state",
    "typed_config": any_of("envoy.extensions.filters.network.set_filter_state.v3.Config", on_new_connection=[_RAW]),
}
"""Tells the other end, which looks into no encrypted connection, that no requests will come through it."""

_NOWHERE_FORMAT: Envoy = {
    "body_format_override": {"text_format_source": {"inline_string": "%REQ(:authority)%: %LOCAL_REPLY_BODY%\n"}}
}
_NOWHERE_REPLY: Envoy = {
    "mappers": [
        {**REFUSAL, **_NOWHERE_FORMAT},
        {
            "filter": {"response_flag_filter": {"flags": ["NC"]}},
            "status_code": 502,
            "body": {"inline_string": "there is no such service in the mesh, or no such subset of it"},
            **_NOWHERE_FORMAT,
        },
    ]
}
