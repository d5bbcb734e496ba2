"""Listeners: what a sidecar takes in, what it sends out, what a gateway opens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from mesh_runtime.api.hosts import resolve_host
from mesh_runtime.api.networking import MESH, Destination, TCPRoute
from mesh_runtime.registry import Instance
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate import telemetry
from mesh_runtime.xds.translate.clusters import inbound_name, outbound_name
from mesh_runtime.xds.translate.connect import REFUSAL, tunnel_listener
from mesh_runtime.xds.translate.endpoints import address
from mesh_runtime.xds.translate.http_route import FAULT_FILTER, Caller, destination_cluster
from mesh_runtime.xds.translate.policy import mtls_mode, rules_for
from mesh_runtime.xds.translate.ports import (
    OUTBOUND_PORT,
    InboundPort,
    TcpBinding,
    gateway_ports,
    inbound_ports,
    tcp_bindings,
    workload_port,
)
from mesh_runtime.xds.translate.routes import OUTBOUND_ROUTES, gateway_route_name
from mesh_runtime.xds.translate.tls import ADS, downstream_tls
from mesh_runtime.xds.translate.world import MeshService, Protocol, World, is_for_sidecars

_HCM: Final = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_INBOUND_RETRY: Final = {"retry_on": "reset-before-request", "num_retries": 2}
"""An application may close an idle connection just when it is used again."""
_KNOWN_CALLERS: Envoy = {"upstream_connect_mode": "ON_DOWNSTREAM_TLS_HANDSHAKE", "max_early_data_bytes": 0}
"""Connect to the application when the caller has shown its certificate: before, nobody could say who it is."""


def sidecar_listeners(world: World, instance: Instance) -> Iterator[Envoy]:
    """Yield a sidecar's listeners: outbound HTTP, one per raw-TCP service, one per port of its own."""
    yield from _outbound(world, instance)
    for binding in tcp_bindings(world, instance):
        yield _tcp(world, instance, binding)
    for port in inbound_ports(instance):
        yield _inbound(world, instance, port)


def gateway_listeners(world: World, instance: Instance) -> Iterator[Envoy]:
    """Yield a gateway's listeners, one per declared port, at the port that it may bind."""
    for number, bound in gateway_ports(world, instance).items():
        manager = _manager(
            world,
            f"gateway_{number}",
            telemetry.source_logs(instance),
            rds=_rds(gateway_route_name(number)),
            use_remote_address=True,
            server_name="meshscope",
        )
        yield _listener(instance.address, bound, "OUTBOUND", [{"filters": [manager]}])


def inbound_service(world: World, instance: Instance, port: InboundPort) -> tuple[MeshService | None, Protocol]:
    """Return the service whose port leads to an instance's port, and its protocol.

    Where several do, it is the one the instance was started for; where none does, the port's name tells the protocol.
    """
    candidates = [
        (service, declared)
        for service in world.services_of(instance)
        for declared in service.ports
        if workload_port(declared, instance.ports) == port.name
    ]
    if candidates:
        service, declared = min(candidates, key=lambda found: found[0].name != instance.service)
        return service, declared.protocol
    prefix = port.name.partition("-")[0]
    protocols: dict[str, Protocol] = {"http": "http", "http2": "http2", "grpc": "grpc"}
    return None, protocols.get(prefix, "tcp")


def _outbound(world: World, instance: Instance) -> Iterator[Envoy]:
    manager = _manager(
        world,
        "outbound",
        telemetry.source_logs(instance),
        rds=_rds(OUTBOUND_ROUTES),
        # Python before 3.12 sends CONNECT in HTTP/1.0.
        http_protocol_options={"accept_http_10": True},
        server_header_transformation="PASS_THROUGH",
        local_reply_config=_NOWHERE_REPLY,
    )
    yield _listener(instance.address, OUTBOUND_PORT, "OUTBOUND", [{"filters": [manager]}])
    yield tunnel_listener([manager])


def _inbound(world: World, instance: Instance, port: InboundPort) -> Envoy:
    service, protocol = inbound_service(world, instance, port)
    mode = mtls_mode(world, instance.namespace, instance.labels)
    chains: list[Envoy] = []
    if mode != "DISABLE":
        # Only callers of the mesh offer "istio"; an application's own TLS is plain bytes to a permissive port.
        match = {"transport_protocol": "tls", "application_protocols": ["istio"]} if mode == "PERMISSIVE" else {}
        chains.append(
            {
                "name": "mutual",
                "filter_chain_match": match,
                "transport_socket": downstream_tls(http=protocol != "tcp"),
                "filters": [_inbound_filter(world, instance, port, service, protocol, mutual=True)],
            }
        )
    if mode != "STRICT":
        chains.append(
            {"name": "plain", "filters": [_inbound_filter(world, instance, port, service, protocol, mutual=False)]}
        )
    inspector = any_of("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector")
    filters = [{"name": "envoy.filters.listener.tls_inspector", "typed_config": inspector}]
    inspect = {"listener_filters": filters, "listener_filters_timeout": "5s"} if mode == "PERMISSIVE" else {}
    return {**_listener(instance.address, port.listen_port, "INBOUND", chains), **inspect}


def _inbound_filter(
    world: World,
    instance: Instance,
    port: InboundPort,
    service: MeshService | None,
    protocol: Protocol,
    *,
    mutual: bool,
) -> Envoy:
    cluster = inbound_name(port)
    if protocol == "tcp":
        logs = telemetry.tcp_destination_logs(instance, service, mutual=mutual)
        return _tcp_proxy(cluster, logs, cluster=cluster, **(_KNOWN_CALLERS if mutual else {}))
    action = {"cluster": cluster, "timeout": "0s", "retry_policy": _INBOUND_RETRY}
    host = {
        "name": f"inbound|http|{port.app_port}",
        "domains": ["*"],
        "routes": [{"name": "default", "match": {"prefix": "/"}, "route": action}],
    }
    identity = {
        # What a caller without a certificate claims about itself is removed.
        "forward_client_cert_details": "SANITIZE_SET" if mutual else "SANITIZE",
        "set_current_client_cert_details": {"uri": True} if mutual else {},
    }
    return _manager(
        world,
        f"inbound_{port.app_port}",
        telemetry.destination_logs(instance, service, mutual=mutual),
        route_config={"name": cluster, "virtual_hosts": [host]},
        server_header_transformation="PASS_THROUGH",
        common_http_protocol_options={"max_connection_duration": f"{world.settings.max_connection_s}s"},
        **identity,
    )


def _tcp(world: World, instance: Instance, binding: TcpBinding) -> Envoy:
    cluster = outbound_name(binding.service, binding.port)
    routed = _tcp_route(world, instance, binding)
    logs = telemetry.tcp_source_logs(instance)
    rules = rules_for(world, instance.namespace, binding.service)
    hashing = rules.policy.load_balancer.consistent_hash if rules.policy.load_balancer else None
    pool = rules.policy.connection_pool
    options: dict[str, Any] = {"hash_policy": [{"source_ip": {}}]} if hashing else {}
    if pool and pool.tcp and pool.tcp.idle_timeout:
        options["idle_timeout"] = f"{pool.tcp.idle_timeout.ms / 1000:g}s"
    if pool and pool.tcp and pool.tcp.max_connection_duration:
        options["max_downstream_connection_duration"] = f"{pool.tcp.max_connection_duration.ms / 1000:g}s"
    proxy = _tcp_proxy(cluster, logs, **(routed or {"cluster": cluster}), **options)
    return _listener(instance.address, binding.bound, "OUTBOUND", [{"filters": [proxy]}])


def _tcp_route(world: World, instance: Instance, binding: TcpBinding) -> Envoy | None:
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


def _manager(world: World, prefix: str, logs: Sequence[Envoy], **options: Any) -> Envoy:
    fault = any_of("envoy.extensions.filters.http.fault.v3.HTTPFault")
    router = any_of("envoy.extensions.filters.http.router.v3.Router")
    filters: list[dict[str, Any]] = [{"name": "envoy.filters.http.router", "typed_config": router}]
    if "rds" in options:
        # Off, and so free of cost, except on routes that carry a fault of their own.
        filters.insert(0, {"name": FAULT_FILTER, "typed_config": fault, "disabled": True})
    config = any_of(
        _HCM,
        stat_prefix=prefix,
        access_log=list(logs),
        http_filters=filters,
        normalize_path=True,
        # Long requests and streams are the application's business, as in Istio.
        stream_idle_timeout="0s",
        upgrade_configs=[{"upgrade_type": "websocket"}],
        **telemetry.tracing(world.settings.tracing),
        **options,
    )
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def _tcp_proxy(prefix: str, logs: Sequence[Envoy], **options: Any) -> Envoy:
    config = any_of(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        # Envoy takes what follows a dot for the name of the statistic; hosts have no "_" of their own.
        stat_prefix=prefix.replace(".", "_"),
        access_log=list(logs),
        access_log_options={"flush_access_log_on_connected": True},
        **options,
    )
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def _listener(host: str, port: int, direction: str, chains: Sequence[Envoy]) -> Envoy:
    return {
        "name": f"{host}_{port}",
        "address": address(host, port),
        "filter_chains": list(chains),
        "traffic_direction": direction,
        # With it, a second proxy could bind the same address and get a share of this one's connections.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 1024 * 1024,
    }


def _rds(name: str) -> Envoy:
    return {"route_config_name": name, "config_source": ADS}


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
