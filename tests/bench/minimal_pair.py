"""Two Envoys configured by hand with nothing but mutual TLS between them and the mesh's own counters: the peer of the latency benchmark."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from mesh_runtime.identity.authority import Authority, spiffe_id
from mesh_runtime.sidecar.stats import stats_config

API = "type.googleapis.com/envoy.extensions."


def client(
    authority: Authority, *, listen: tuple[str, int], far: tuple[str, int], admin: Path, logs: list[Any]
) -> dict[str, Any]:
    """Plain HTTP in, mutual TLS out."""
    return _bootstrap(
        "client",
        admin,
        _listener(listen, logs),
        {
            **_cluster(far),
            "transport_socket": _tls(authority, "UpstreamTlsContext", "client"),
        },
    )


def server(
    authority: Authority, *, listen: tuple[str, int], app: tuple[str, int], admin: Path, logs: list[Any]
) -> dict[str, Any]:
    """Mutual TLS in, plain HTTP out."""
    tls = _tls(authority, "DownstreamTlsContext", "server")
    tls["typed_config"]["require_client_certificate"] = True
    return _bootstrap("server", admin, _listener(listen, logs, tls), _cluster(app))


def _bootstrap(name: str, admin: Path, listener: dict[str, Any], cluster: dict[str, Any]) -> dict[str, Any]:
    return {
        "node": {"id": name, "cluster": name},
        "stats_config": stats_config(),
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


def _listener(at: tuple[str, int], logs: list[Any], tls: dict[str, Any] | None = None) -> dict[str, Any]:
    everything = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "far"}}]}
    manager = {
        "@type": f"{API}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "all",
        "access_log": logs,
        "route_config": {"virtual_hosts": [everything]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{API}filters.http.router.v3.Router"},
            }
        ],
    }
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if tls:
        chain["transport_socket"] = tls
    return {"name": "in", "address": _address(at), "filter_chains": [chain]}


def _cluster(at: tuple[str, int]) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(at)}}
    return {
        "name": "far",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "far", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _tls(authority: Authority, context: str, account: str) -> dict[str, Any]:
    leaf = authority.issue(spiffe_id("bench", account))
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{API}transport_sockets.tls.v3.{context}",
            "common_tls_context": {
                "alpn_protocols": ["http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [
                    {"certificate_chain": _inline(leaf.chain_pem), "private_key": _inline(leaf.key_pem)}
                ],
                "validation_context": {"trusted_ca": _inline(authority.root_pem)},
            },
        },
    }


def _address(at: tuple[str, int]) -> dict[str, Any]:
    return {"socket_address": {"address": at[0], "port_value": at[1]}}


def _inline(pem: str) -> dict[str, str]:
    return {"inline_bytes": base64.b64encode(pem.encode()).decode()}
