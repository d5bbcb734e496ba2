"""What proxies count: Istio's standard metrics, written by Envoy's stats access logger.

Which of Envoy's own statistics are kept beside them, and in which buckets, :mod:`mesh_runtime.sidecar.stats` says.

HTTP: ``istio_requests_total`` and ``istio_request_duration_milliseconds`` by both reporters (Envoy shows
them with the prefix ``envoy_``). A label that Envoy cannot fill is empty; a workload without version has
Istio's canonical revision ``latest``. ``destination_*`` of the source reporter come from the chosen
endpoint, so a request that reached none has nothing there; its service is still named, by the route's
cluster or else by the virtual host. Unknown hosts have the service ``BlackHoleCluster``, code 502 and flag ``NC``. The destination
reporter knows its source by ``source_principal`` only.

TCP: ``istio_tcp_connections_opened_total`` is counted when the connection to the endpoint is made,
``..._closed_total``, ``istio_tcp_sent_bytes_total`` (to the caller) and ``istio_tcp_received_bytes_total``
(from the caller) when it ends, since the logger can add a connection's bytes only once. For connections
that last, take the bytes from Envoy's own live counters instead, never both:
``envoy_tcp_downstream_cx_tx_bytes_total`` (to the caller) and ``envoy_tcp_downstream_cx_rx_bytes_total``
(from the caller), whose label ``envoy_tcp_prefix`` is ``outbound|PORT||HOST`` in the caller's proxy (the
host's dots written ``_``) and ``inbound|PORT||`` in the workload's. Which workloads answered under a
prefix say the opened connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mesh_runtime.api.objects import CLUSTER
from mesh_runtime.identity.authority import spiffe_id
from mesh_runtime.registry import Instance
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import NOWHERE, Envoy
from mesh_runtime.xds.translate.endpoints import MUTUAL, PLAIN, canonical_name, canonical_revision
from mesh_runtime.xds.translate.services import MeshService
from mesh_runtime.xds.translate.world import World

UNKNOWN: Final = "unknown"
PASSTHROUGH: Final = "PassthroughCluster"
"""Where requests go whose host no service has."""
TRACING_CLUSTER: Final = "otel-collector"

Labels = Mapping[str, str]


def source_logs(world: World, instance: Instance) -> list[Envoy]:  # noqa: ARG001
    """Return the access logs of an outbound HTTP listener."""
    return _http_logs(_outbound_labels(instance))


def destination_logs(world: World, instance: Instance, service: MeshService | None, *, mutual: bool) -> list[Envoy]:  # noqa: ARG001
    """Return the access logs of an inbound HTTP port."""
    return _http_logs(_inbound_labels(instance, service, mutual=mutual))


def tcp_source_logs(world: World, instance: Instance) -> list[Envoy]:  # noqa: ARG001
    """Return the access logs of an outbound TCP listener."""
    return _tcp_logs(_outbound_labels(instance))


def tcp_destination_logs(world: World, instance: Instance, service: MeshService | None, *, mutual: bool) -> list[Envoy]:  # noqa: ARG001
    """Return the access logs of an inbound TCP port."""
    return _tcp_logs(_inbound_labels(instance, service, mutual=mutual))


def _own(instance: Instance, role: str) -> Labels:
    labels = {
        "workload": instance.workload,
        "workload_namespace": instance.namespace,
        "canonical_service": canonical_name(instance.labels, instance.workload),
        "canonical_revision": canonical_revision(instance.labels),
        "cluster": CLUSTER,
    }
    return {f"{role}_{name}": value.replace("%", "%%") for name, value in labels.items()}


def _outbound_labels(instance: Instance) -> Labels:
    return {
        "reporter": "source",
        **_own(instance, "source"),
        "source_principal": "%UPSTREAM_LOCAL_URI_SAN%",
        "destination_workload": "%UPSTREAM_METADATA(istio:workload)%",
        "destination_workload_namespace": "%UPSTREAM_METADATA(istio:namespace)%",
        "destination_principal": "%UPSTREAM_PEER_URI_SAN%",
        "destination_canonical_service": "%UPSTREAM_METADATA(istio:app)%",
        "destination_canonical_revision": "%UPSTREAM_METADATA(istio:version)%",
        "destination_cluster": "%UPSTREAM_METADATA(istio:cluster)%",
        "destination_service": _of_cluster("host"),
        "destination_service_name": _of_cluster("name"),
        "destination_service_namespace": _of_cluster("namespace"),
        "connection_security_policy": _SECURITY,
    }


def _inbound_labels(instance: Instance, service: MeshService | None, *, mutual: bool) -> Labels:
    return {
        "reporter": "destination",
        "source_workload": UNKNOWN,
        "source_workload_namespace": UNKNOWN,
        "source_canonical_service": UNKNOWN,
        "source_canonical_revision": UNKNOWN,
        "source_cluster": UNKNOWN,
        "source_principal": "%DOWNSTREAM_PEER_URI_SAN%" if mutual else UNKNOWN,
        **_own(instance, "destination"),
        "destination_principal": spiffe_id(instance.namespace, instance.service_account) if mutual else UNKNOWN,
        "destination_service": service.host if service else UNKNOWN,
        "destination_service_name": service.name if service else UNKNOWN,
        "destination_service_namespace": service.namespace if service else instance.namespace,
        "connection_security_policy": MUTUAL if mutual else PLAIN,
    }


_SECURITY: Final = (
    '%COALESCE({"operators":['
    '{"command":"UPSTREAM_METADATA","param":"istio:security"},'
    '{"command":"METADATA","param":"CLUSTER:istio:security"}'
    "]})%"
)
"""As the chosen endpoint says, or its cluster where the endpoints are DNS' own."""


def _of_cluster(name: str) -> str:
    """Describe the chosen cluster; where there is none, the virtual host: it is known without any route."""
    return (
        '%COALESCE({"operators":['
        f'{{"command":"METADATA","param":"CLUSTER:istio:{name}"}},'
        f'{{"command":"METADATA","param":"VIRTUAL_HOST:istio:{name}"}}'
        "]})%"
    )


def _http_logs(labels: Labels) -> list[Envoy]:
    """Build one logger for gRPC and one for the rest: only the request tells which it is."""
    is_grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    is_not = {**is_grpc, "invert_match": True, "treat_missing_header_as_empty": True}
    requests = {"and_filter": {"filters": [_header(is_not), _NO_TUNNEL]}}
    return [
        _stats_log(_http_stats({**labels, "request_protocol": name}), only)
        for name, only in (("http", requests), ("grpc", _header(is_grpc)))
    ]


def _header(matcher: Envoy) -> Envoy:
    return {"header_filter": {"header": matcher}}


_REFUSED: Final[Envoy] = {"op": "GE", "value": {"default_value": 400, "runtime_key": "refused"}}
_NO_TUNNEL: Final[Envoy] = {
    "or_filter": {
        "filters": [
            _header({"name": ":method", "string_match": {"exact": "CONNECT"}, "invert_match": True}),
            {"status_code_filter": {"comparison": _REFUSED}},
        ]
    }
}
"""Every request but those that became a tunnel: what goes through it is counted by itself."""


def _http_stats(labels: Labels) -> Envoy:
    outcome = {
        "response_code": "%RESPONSE_CODE%",
        "grpc_response_status": "%GRPC_STATUS_NUMBER%",
        "response_flags": "%RESPONSE_FLAGS%",
    }
    duration = {
        "stat": _stat("request_duration_milliseconds", labels),
        "unit": "Milliseconds",
        "value_format": "%DURATION%",
    }
    return {"counters": [_count("requests_total", {**labels, **outcome})], "histograms": [duration]}


def _tcp_logs(labels: Labels) -> list[Envoy]:
    tcp = {**labels, "request_protocol": "tcp", "response_flags": "%RESPONSE_FLAGS%"}
    opened = {"counters": [_count("tcp_connections_opened_total", tcp)]}
    closed = {
        "counters": [
            _count("tcp_connections_closed_total", tcp),
            _sum("tcp_sent_bytes_total", tcp, "%BYTES_SENT%"),
            _sum("tcp_received_bytes_total", tcp, "%BYTES_RECEIVED%"),
        ]
    }
    return [_stats_log(opened, _log_type("TcpUpstreamConnected")), _stats_log(closed, _log_type("TcpConnectionEnd"))]


def _log_type(name: str) -> Envoy:
    return {"log_type_filter": {"types": [name]}}


def _stats_log(stats: Envoy, only: Envoy) -> Envoy:
    config = any_of("envoy.extensions.access_loggers.stats.v3.Config", stat_prefix="istio", **stats)
    return {"name": "istio", "typed_config": config, "filter": only}


def _count(name: str, labels: Labels) -> Envoy:
    return {"stat": _stat(name, labels), "value_fixed": 1}


def _sum(name: str, labels: Labels, value: str) -> Envoy:
    return {"stat": _stat(name, labels), "value_format": value}


def _stat(name: str, labels: Labels) -> Envoy:
    return {"name": name, "tags": [{"name": label, "value_format": value} for label, value in labels.items()]}


def service_metadata(service: MeshService | None) -> Envoy:
    """Return the metadata that names a service to telemetry; ``None``: the one that does not exist, as in Istio."""
    if service is None:
        described = {"host": NOWHERE, "name": NOWHERE, "namespace": UNKNOWN}
    else:
        described = {"host": service.known_as, "name": service.name, "namespace": service.namespace}
    return {"metadata": {"filter_metadata": {"istio": described}}}


def tracing(world: World, instance: Instance) -> Envoy:  # noqa: ARG001
    """Return a listener's spans; without settings none, and W3C headers pass through as they are."""
    settings = world.settings.tracing
    if settings is None:
        return {}
    provider = any_of(
        "envoy.config.trace.v3.OpenTelemetryConfig",
        grpc_service={"envoy_grpc": {"cluster_name": TRACING_CLUSTER}, "timeout": "1s"},
        service_name="envoy",
    )
    return {
        "tracing": {
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": provider},
            "random_sampling": {"value": settings.sampling},
            "spawn_upstream_span": True,
        }
    }


def tracing_clusters(world: World) -> tuple[Envoy, ...]:
    """Return the cluster that spans are sent to."""
    settings = world.settings.tracing
    if settings is None:
        return ()
    address = {"socket_address": {"address": settings.address, "port_value": settings.port}}
    return (
        {
            "name": TRACING_CLUSTER,
            "type": "STATIC",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": any_of(
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    explicit_http_config={"http2_protocol_options": {}},
                )
            },
            "load_assignment": {
                "cluster_name": TRACING_CLUSTER,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
        },
    )


def outside_metadata() -> Envoy:
    """Return the metadata of the cluster of hosts that the mesh does not know, under Istio's name for them."""
    described = {"host": PASSTHROUGH, "name": PASSTHROUGH, "namespace": UNKNOWN, "security": PLAIN}
    return {"metadata": {"filter_metadata": {"istio": described}}}
