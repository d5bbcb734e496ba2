"""What an Envoy is told before it hears of xDS."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Final

from mesh_runtime.registration import Grant, Registration
from mesh_runtime.sidecar.stats import stats_config

XDS_CLUSTER: Final = "xds-grpc"
RELAY_CLUSTER: Final = "fluentd"
"""Leads to an internal listener of this name, if xDS brings one."""
TOKEN_KEY: Final = "x-meshscope-token"  # noqa: S105  the header's name, not a token
"""gRPC metadata that carries the proxy's token on the xDS channel."""

_MAX_REGEX_PROGRAM: Final = 32768
_LIMITS: Final = {
    "re2.max_program_size.error_level": _MAX_REGEX_PROGRAM,
    "re2.max_program_size.warn_level": _MAX_REGEX_PROGRAM,
}
"""Istio's: with Envoy's own limit of 100 a pattern of one long name would be refused."""

_WATCHED: Final = {"miss_timeout": "2s", "megamiss_timeout": "10s"}
"""When a thread that does not come round is counted. All of them wake up twice in the shorter time to say that they do:
with Envoy's own 0.2 s that was half of what an idle sidecar costs."""

Json = dict[str, Any]


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
            "locality": dict(zip(("region", "zone", "sub_zone"), registration.locality.split("/"), strict=False)),
            "metadata": {
                "NAMESPACE": registration.namespace,
                "WORKLOAD_NAME": grant.workload,
                "SERVICE_ACCOUNT": grant.service_account,
                "LABELS": dict(registration.labels),
            },
        },
        "admin": {"address": {"pipe": {"path": registration.admin, "mode": 0o600}}},
        "dynamic_resources": {"ads_config": _ads(grant.token), "cds_config": ads, "lds_config": ads},
        "static_resources": {"clusters": [_xds_cluster(grant.xds_socket), _RELAY]},
        **_own_source(grant.address),
        "layered_runtime": {"layers": [{"name": "limits", "static_layer": _LIMITS}]},
        "stats_config": stats_config(),
        "stats_flush_interval": "1s",
        "watchdogs": {"main_thread_watchdog": _WATCHED, "worker_watchdog": _WATCHED},
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
                },
            }
        ],
    }


def _own_source(address: str) -> Json:
    """Have calls to the mesh's own network come from the proxy's own address, by which policies may know it.

    Clusters that lead elsewhere say so themselves: from a loopback address nobody else could be reached.
    """
    own = ip_address(address)
    if own.version != 4 or not own.is_loopback:
        return {}
    return {"cluster_manager": {"upstream_bind_config": {"source_address": {"address": address, "port_value": 0}}}}


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
        "upstream_bind_config": {},
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
_RELAY: Final[Json] = {
    "name": RELAY_CLUSTER,
    "type": "STATIC",
    "upstream_bind_config": {},
    "connect_timeout": "1s",
    "load_assignment": {
        "cluster_name": RELAY_CLUSTER,
        "endpoints": [
            {
                "lb_endpoints": [
                    {"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": RELAY_CLUSTER}}}}
                ]
            }
        ],
    },
}
