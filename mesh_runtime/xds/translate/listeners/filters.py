"""What listeners of every direction are made of: HTTP and TCP filters, and the listener itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mesh_runtime.registry import Instance
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.calling.endpoints import address
from mesh_runtime.xds.translate.listeners.lookup import lookup_filter
from mesh_runtime.xds.translate.proxy_headers import http1_options, manager_options, proxy_headers
from mesh_runtime.xds.translate.routing.http_options import PER_ROUTE_FILTERS
from mesh_runtime.xds.translate.telemetry.grpc_messages import callers_filters
from mesh_runtime.xds.translate.telemetry.rules import Side
from mesh_runtime.xds.translate.telemetry.tracing import tracing
from mesh_runtime.xds.translate.tls import ADS
from mesh_runtime.xds.translate.world import World

GRPC_WEB_FILTER: Final = "envoy.filters.http.grpc_web"
_GRPC_WEB: Final = "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"
FILTER_ON: Final = any_of("envoy.config.route.v3.FilterConfig", config={})
"""What turns a filter on for a virtual host. Elsewhere an application may speak gRPC-Web by itself."""
PLAIN_HTTP: Final[Envoy] = {"application_protocols": ["http/1.0", "http/1.1", "h2c"]}
"""What Envoy calls a connection that it has seen a request begin on."""
_HCM: Final = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_BASE: Final[Envoy] = {"normalize_path": True}
_SLASHES: Final[Envoy] = {**_BASE, "merge_slashes": True}
_PATHS: Final[Mapping[str, Envoy]] = {
    "NONE": {},
    "BASE": _BASE,
    "DEFAULT": _BASE,
    "MERGE_SLASHES": _SLASHES,
    "DECODE_AND_MERGE_SLASHES": {**_SLASHES, "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD"},
}
"""MeshConfig's ``pathNormalization``."""


_NO_HTTP1_OPTIONS: Final[Envoy] = {}


def manager(
    world: World,
    instance: Instance,
    prefix: str,
    logs: Sequence[Envoy],
    *,
    guards: Sequence[Envoy] = (),
    side: Side = "CLIENT",
    http1: Mapping[str, Any] = _NO_HTTP1_OPTIONS,
    **options: Any,
) -> Envoy:
    """Return the network filter that understands HTTP. *guards* are filters that a request passes first."""
    quiet = {"suppress_envoy_headers": True} if proxy_headers(world).envoy_debug_headers.disabled else {}
    router = any_of("envoy.extensions.filters.http.router.v3.Router", **quiet)
    filters: list[dict[str, Any]] = [{"name": "envoy.filters.http.router", "typed_config": router}]
    if "rds" in options:
        # Off, and so free of cost, except on routes that configure them.
        optional = [{"name": name, "typed_config": one, "disabled": True} for name, one in PER_ROUTE_FILTERS.items()]
        counted = [{**one, "disabled": True} for one in (grpc_web(), *callers_filters(world))]
        filters = [*counted, *optional, lookup_filter(), *filters]
    written = {**http1, **http1_options(world)}
    config = any_of(
        _HCM,
        stat_prefix=prefix,
        access_log=list(logs),
        http_filters=[*guards, *filters],
        **_PATHS[world.mesh_config.path_normalization.normalization],
        # Long requests and streams are the application's business, as in Istio.
        stream_idle_timeout="0s",
        upgrade_configs=[{"upgrade_type": "websocket"}],
        **tracing(world, instance, side),
        **{**options, **manager_options(world)},
        **({"http_protocol_options": written} if written else {}),
    )
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def tcp_proxy(prefix: str, logs: Sequence[Envoy], **options: Any) -> Envoy:
    """Return the network filter that passes bytes on."""
    config = any_of(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        # Envoy takes what follows a dot for the name of the statistic; hosts have no "_" of their own.
        stat_prefix=prefix.replace(".", "_"),
        access_log=list(logs),
        access_log_options={"flush_access_log_on_connected": True},
        **options,
    )
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def listener(host: str, port: int, direction: str, chains: Sequence[Envoy]) -> Envoy:
    """Return a listener of one address, which nobody else may share."""
    return {
        "name": f"{host}_{port}",
        "address": address(host, port),
        "filter_chains": list(chains),
        "traffic_direction": direction,
        # With it, a second proxy could bind the same address and get a share of this one's connections.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 1024 * 1024,
    }


def rds(name: str) -> Envoy:
    """Return the reference to routes by name."""
    return {"route_config_name": name, "config_source": ADS}


def grpc_web() -> Envoy:
    """Return the HTTP filter that makes gRPC of what browsers send, and the answers theirs."""
    return {"name": GRPC_WEB_FILTER, "typed_config": any_of(_GRPC_WEB)}


def inspected(*looks: str) -> Envoy:
    """Return the part of a listener by which it looks at a connection's first bytes for ``tls`` and ``http``.

    Where requests are looked for, one that says nothing for a while is taken for what waits for the server to speak.
    """
    if not looks:
        return {}
    kinds = {"tls": "tls_inspector.v3.TlsInspector", "http": "http_inspector.v3.HttpInspector"}
    filters = [
        {
            "name": f"envoy.filters.listener.{look}_inspector",
            "typed_config": any_of(f"envoy.extensions.filters.listener.{kinds[look]}"),
        }
        for look in looks
    ]
    patience = {"continue_on_listener_filters_timeout": True} if "http" in looks else {}
    return {"listener_filters": filters, "listener_filters_timeout": "5s", **patience}
