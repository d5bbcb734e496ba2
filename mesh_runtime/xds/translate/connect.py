"""CONNECT on the outbound listener, for clients that tunnel what they send: gRPC's own, and ``https_proxy``'s.

A tunnel ends in the proxy itself: its bytes go to a listener inside the same Envoy that treats them as
the outbound listener treats requests, by the same routes and with the same telemetry. Whatever a
``Host`` may name can be tunnelled to, with its port. All else, TLS and raw TCP above all, is refused
before a byte of it is sent, and counted as a request to an unknown host; a tunnel itself is not counted.
"""

from __future__ import annotations

from typing import Final

from mesh_runtime.xds.snapshot import NOWHERE, Envoy
from mesh_runtime.xds.translate.clusters import CONNECT_TIMEOUT, limits

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


def _to(cluster: str) -> Envoy:
    return {
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": cluster,
            "timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
        },
        # Spans, too, belong to what is sent through it.
        "tracing": {"overall_sampling": {"numerator": 0}},
    }


TUNNEL_ROUTE: Final = _to(TUNNEL)
"""A virtual host's last route: no other one matches a CONNECT, so that ordinary requests never come to it."""
REFUSED_ROUTE: Final = _to(NOWHERE)
"""The same for hosts that are unknown."""

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
    "body": {
        "inline_string": "no service of the mesh takes HTTP or gRPC at this name and port; "
        "TLS and raw TCP do not go through CONNECT"
    },
}
"""What the client of a refused CONNECT is told, as a mapper of local replies without its format."""
