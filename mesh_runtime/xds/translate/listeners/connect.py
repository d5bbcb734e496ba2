"""CONNECT on the outbound listener, for clients that tunnel what they send: gRPC's own, and ``https_proxy``'s.

A tunnel ends in the proxy itself: its bytes go to a listener of the same Envoy that treats them as the
outbound listener treats requests, or as the service's own listener treats raw bytes, by the same routes and
with the same telemetry; a tunnel itself is not counted. Tunnels to hosts outside of the mesh lead there
at once. One to what only the mesh could know, and it does not, is refused before a byte of it is sent, and
counted as a request to an unknown host.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from mesh_runtime.xds.snapshot import NOWHERE, Envoy
from mesh_runtime.xds.translate.calling.clusters import CONNECT_TIMEOUT, limits
from mesh_runtime.xds.translate.calling.endpoints import address
from mesh_runtime.xds.translate.ports import TcpBinding

TUNNEL: Final = "tunnel"
"""The name of both the internal listener and the cluster that leads to it."""


def tunnel_listener(filters: list[Envoy]) -> Envoy:
    """Return the listener that takes tunnels' bytes to an outbound listener's filters. It has no address."""
    return {
        "name": TUNNEL,
        "internal_listener": {},
        "filter_chains": [{"filters": filters}],
        "traffic_direction": "OUTBOUND",
    }


def connect_route(cluster: str, **options: Any) -> Envoy:
    """Return the route that takes a tunnel's bytes to a cluster as they are."""
    return {
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": cluster,
            "timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
            **options,
        },
        # Spans, too, belong to what is sent through it.
        "tracing": {"overall_sampling": {"numerator": 0}},
    }


TUNNEL_ROUTE: Final = connect_route(TUNNEL)
"""A virtual host's last route: no other one matches a CONNECT, so that ordinary requests never come to it.

Each virtual host has its own, though they are a sixth of what a change of the table costs an Envoy (1.40): it looks for
a route only in the virtual host of the name that the tunnel asks for, and lets no header mutation change that name.
"""
REFUSED_ROUTE: Final = connect_route(NOWHERE)
"""The same for hosts that are unknown."""
REFUSED: Final[Envoy] = {"match": {"prefix": "/"}, "route": {"cluster": NOWHERE}}
"""What becomes of requests to them."""

TUNNEL_CLUSTER: Final[Envoy] = {
    "name": TUNNEL,
    "type": "STATIC",
    "connect_timeout": CONNECT_TIMEOUT,
    "circuit_breakers": limits(None),
    "load_assignment": {
        "cluster_name": TUNNEL,
        "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": TUNNEL}}}}]}
        ],
    },
}

RAW_TUNNEL: Final = "tunnel-raw"
"""The cluster of an instance's own listeners for raw bytes, told apart by the service and port behind them."""
_BEHIND: Final = "to"


def raw_route(host: str, port: int) -> Envoy:
    """Return the route that takes a tunnel's bytes to the caller's own listener for a raw port of a service."""
    chosen = {"filter_metadata": {"envoy.lb": {_BEHIND: f"{host}:{port}"}}}
    return connect_route(RAW_TUNNEL, metadata_match=chosen)


def raw_tunnel_cluster(bindings: Iterable[TcpBinding], own: str) -> Envoy:
    """Return the cluster that :func:`raw_route` leads to; *own* is the address where the listeners are."""
    endpoints = [
        {
            "endpoint": {"address": address(own, binding.bound)},
            "metadata": {"filter_metadata": {"envoy.lb": {_BEHIND: f"{binding.service.host}:{binding.port.number}"}}},
        }
        for binding in bindings
    ]
    return {
        "name": RAW_TUNNEL,
        "type": "STATIC",
        "connect_timeout": CONNECT_TIMEOUT,
        "circuit_breakers": limits(None),
        "lb_subset_config": {"subset_selectors": [{"keys": [_BEHIND]}]},
        "load_assignment": {"cluster_name": RAW_TUNNEL, "endpoints": [{"lb_endpoints": endpoints}]},
    }


REFUSAL: Final[Envoy] = {
    "filter": {
        "and_filter": {
            "filters": [
                {"response_flag_filter": {"flags": ["NC"]}},
                {"header_filter": {"header": {"name": ":method", "string_match": {"exact": "CONNECT"}}}},
            ]
        }
    },
    "status_code": 502,
    "body": {"inline_string": "there is no such service in the mesh, or no such port of it"},
}
"""What the client of a refused CONNECT is told, as a mapper of local replies without its format."""
