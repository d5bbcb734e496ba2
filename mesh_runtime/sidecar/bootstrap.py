"""What an Envoy is told before it hears of xDS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mesh_runtime.registration import Grant, Registration

XDS_CLUSTER: Final = "xds-grpc"
TOKEN_KEY: Final = "x-meshscope-token"  # noqa: S105  the header's name, not a token
"""gRPC metadata that carries the proxy's token on the xDS channel."""

Json = dict[str, Any]

STATS_CONFIG: Final[Mapping[str, Any]] = {
    "stats_matcher": {
        "inclusion_list": {
            "patterns": [
                *({"prefix": prefix} for prefix in ("istio", "cluster_manager.", "listener_manager.", "server.")),
                *({"prefix": prefix} for prefix in ("control_plane.", "sds.")),
                *({"contains": part} for part in ("upstream_cx_active", "upstream_rq_active", "membership_healthy")),
                *({"contains": part} for part in ("ejections_active", "upstream_rq_pending_overflow")),
                {"contains": "ssl.fail_verify"},
            ]
        }
    },
}
"""A page of every statistic would be megabytes with a few hundred clusters."""


def bootstrap(grant: Grant, registration: Registration) -> Json:
    """Build the bootstrap of one proxy. It holds the proxy's token: only ever write it to 0600 files.

    The proxy counts as live only when it has been given listeners and clusters, however long the server
    takes: a proxy that is ready without config would refuse what it was started for.
    """
    ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    return {
        "node": {
            "id": grant.node_id,
            "cluster": f"{registration.service}.{registration.namespace}",
            "metadata": {
                "NAMESPACE": registration.namespace,
                "WORKLOAD_NAME": grant.workload,
                "SERVICE_ACCOUNT": grant.service_account,
                "LABELS": dict(registration.labels),
            },
        },
        "admin": {"address": {"pipe": {"path": registration.admin, "mode": 0o600}}},
        "dynamic_resources": {"ads_config": _ads(grant.token), "cds_config": ads, "lds_config": ads},
        "static_resources": {"clusters": [_xds_cluster(grant.xds_socket)]},
        "stats_config": dict(STATS_CONFIG),
        "stats_flush_interval": "1s",
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
                },
            }
        ],
    }


def _ads(token: str) -> Json:
    back_off = {"base_interval": "0.2s", "max_interval": "2s"}
    return {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [
            {
                # Envoy's own back-off grows to half a minute: too long for a server that was only restarted.
                "envoy_grpc": {"cluster_name": XDS_CLUSTER, "retry_policy": {"retry_back_off": back_off}},
                "initial_metadata": [{"key": TOKEN_KEY, "value": token}],
            }
        ],
    }


def _xds_cluster(socket: str) -> Json:
    address = {"pipe": {"path": socket}}
    http2 = {"explicit_http_config": {"http2_protocol_options": {"connection_keepalive": _KEEPALIVE}}}
    return {
        "name": XDS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                **http2,
            }
        },
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


_KEEPALIVE: Final = {"interval": "30s", "timeout": "5s"}
