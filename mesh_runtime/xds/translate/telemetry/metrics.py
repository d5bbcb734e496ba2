"""What proxies count: Istio's standard metrics, written by Envoy's stats access logger.

Which of Envoy's own statistics are kept beside them, and in which buckets, :mod:`mesh_runtime.sidecar.stats` says.

HTTP: ``istio_requests_total`` and ``istio_request_duration_milliseconds`` by both reporters (Envoy shows
them with the prefix ``envoy_``). A label that Envoy cannot fill is empty; a workload without version has
Istio's canonical revision ``latest``. ``destination_*`` of the source reporter come from the chosen
endpoint, so a request that reached none has nothing there; its service is still named, by the route's
cluster or else by the virtual host. Unknown hosts have the service ``BlackHoleCluster``, code 502 and flag ``NC``. The destination
reporter knows its source by ``source_principal`` only.

Telemetry changes labels, switches metrics off, and on those which are off by themselves: ``istio_request_bytes``
and ``istio_response_bytes`` (measured with one edge: 26 kB a page instead of 13). Where ``requests_total`` is
switched off, the console's graph does not see the requests, as no other reader of metrics does.

gRPC: ``istio_request_messages_total`` and ``istio_response_messages_total``, added when a call ends, of
which :mod:`~mesh_runtime.xds.translate.telemetry.grpc_messages` knows.

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

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from mesh_runtime.api import cel
from mesh_runtime.api.objects import CLUSTER
from mesh_runtime.api.telemetry import METRIC_NAMES
from mesh_runtime.identity.authority import spiffe_id
from mesh_runtime.registry import Instance
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import NOWHERE, Envoy
from mesh_runtime.xds.translate.calling.endpoints import MUTUAL, PLAIN, canonical_name, canonical_revision
from mesh_runtime.xds.translate.services import MeshService
from mesh_runtime.xds.translate.telemetry.access_logs import access_logs
from mesh_runtime.xds.translate.telemetry.grpc_messages import messages
from mesh_runtime.xds.translate.telemetry.rules import MetricRule, metric_rules
from mesh_runtime.xds.translate.world import World

UNKNOWN: Final = "unknown"
PASSTHROUGH: Final = "PassthroughCluster"
"""Where requests go whose host no service has."""

Labels = Mapping[str, str]
Rules = Mapping[str, MetricRule] | None
"""What Telemetry says of metrics; ``None``: there are to be none."""
Stat = tuple[str, Envoy]
"""A counter or histogram, after the name of the field it belongs to."""

OFF: Final = frozenset({"REQUEST_SIZE", "RESPONSE_SIZE"})
"""Counted only where a Telemetry says ``disabled: false``: two more histograms make a proxy's page twice as big."""


def source_logs(world: World, instance: Instance) -> list[Envoy]:
    """Return the access logs of an outbound HTTP listener."""
    labels, rules = _outbound_labels(instance), metric_rules(world, instance, "CLIENT")
    return [
        *_shared(world, instance, labels, lambda: (*_http_logs(labels, rules), *_tunnel_logs(labels, rules))),
        *access_logs(world, instance, "CLIENT", _NO_TUNNEL),
    ]


def destination_logs(world: World, instance: Instance, service: MeshService | None, *, mutual: bool) -> list[Envoy]:
    """Return the access logs of an inbound HTTP port."""
    labels, rules = _inbound_labels(instance, service, mutual=mutual), metric_rules(world, instance, "SERVER")
    return [
        *_shared(world, instance, labels, lambda: tuple(_http_logs(labels, rules))),
        *access_logs(world, instance, "SERVER", _NO_TUNNEL),
    ]


def tcp_source_logs(world: World, instance: Instance) -> list[Envoy]:
    """Return the access logs of an outbound TCP listener."""
    labels, rules = _outbound_labels(instance), metric_rules(world, instance, "CLIENT")
    return [
        *_shared(world, instance, labels, lambda: tuple(_tcp_logs(labels, rules))),
        *access_logs(world, instance, "CLIENT", _ENDED),
    ]


def tcp_destination_logs(world: World, instance: Instance, service: MeshService | None, *, mutual: bool) -> list[Envoy]:
    """Return the access logs of an inbound TCP port."""
    labels, rules = _inbound_labels(instance, service, mutual=mutual), metric_rules(world, instance, "SERVER")
    return [
        *_shared(world, instance, labels, lambda: tuple(_tcp_logs(labels, rules))),
        *access_logs(world, instance, "SERVER", _ENDED),
    ]


def _shared(world: World, instance: Instance, labels: Labels, make: Callable[[], tuple[Envoy, ...]]) -> Sequence[Envoy]:
    """Return the same objects for all replicas of a workload: each has 600 labels or so."""
    key = "stats", instance.namespace, tuple(sorted(instance.labels.items())), tuple(labels.items())
    return world.once(key, make)


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


def _http_logs(labels: Labels, rules: Rules) -> list[Envoy]:
    """Build one logger for gRPC and one for the rest: only the request tells which it is."""
    is_grpc = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    is_not = {**is_grpc, "invert_match": True, "treat_missing_header_as_empty": True}
    requests = {"and_filter": {"filters": [_header(is_not), _NO_TUNNEL]}}
    http, grpc = ({**labels, "request_protocol": name} for name in ("http", "grpc"))
    logs = (
        _stats_log(_http_stats(http, rules), requests),
        _stats_log((*_http_stats(grpc, rules), *_message_stats(grpc, rules)), _header(is_grpc)),
    )
    return [log for log in logs if log is not None]


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


def _http_stats(labels: Labels, rules: Rules) -> Iterator[Stat]:
    outcome = {
        "response_code": "%RESPONSE_CODE%",
        "grpc_response_status": "%GRPC_STATUS_NUMBER%",
        "response_flags": "%RESPONSE_FLAGS%",
    }
    yield from _counter("REQUEST_COUNT", {**labels, **outcome}, rules)
    yield from _histogram("REQUEST_DURATION", labels, rules, "Milliseconds", "%DURATION%")
    yield from _histogram("REQUEST_SIZE", labels, rules, "Bytes", "%BYTES_RECEIVED%")
    yield from _histogram("RESPONSE_SIZE", labels, rules, "Bytes", "%BYTES_SENT%")


def _message_stats(labels: Labels, rules: Rules) -> Iterator[Stat]:
    for way in ("request", "response"):
        yield from _counter(f"GRPC_{way.upper()}_MESSAGES", labels, rules, messages(way))


def _tcp_logs(labels: Labels, rules: Rules) -> list[Envoy]:
    tcp = {**labels, "request_protocol": "tcp", "response_flags": "%RESPONSE_FLAGS%"}
    opened = _counter("TCP_OPENED_CONNECTIONS", tcp, rules)
    closed = (
        *_counter("TCP_CLOSED_CONNECTIONS", tcp, rules),
        *_counter("TCP_SENT_BYTES", tcp, rules, "%BYTES_SENT%"),
        *_counter("TCP_RECEIVED_BYTES", tcp, rules, "%BYTES_RECEIVED%"),
    )
    logs = _stats_log(opened, _log_type("TcpUpstreamConnected")), _stats_log(closed, _ENDED)
    return [log for log in logs if log is not None]


_ESTABLISHED: Final[Envoy] = {"op": "EQ", "value": {"default_value": 200, "runtime_key": "established"}}
_LEFT: Final[Envoy] = {
    "and_filter": {
        "filters": [
            {
                "extension_filter": {
                    "name": "envoy.access_loggers.extension_filters.cel",
                    "typed_config": any_of(
                        "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                        expression="request.method == 'CONNECT' && !xds.cluster_name.startsWith('tunnel')",
                    ),
                }
            },
            {"status_code_filter": {"comparison": _ESTABLISHED}},
        ]
    }
}
"""Tunnels whose bytes left the proxy as they came, which nobody else has counted."""


def _tunnel_logs(labels: Labels, rules: Rules) -> list[Envoy]:
    """Build the logger of tunnels out of the mesh: connections, all of which is known when they end."""
    tcp = {**labels, "request_protocol": "tcp", "response_flags": "%RESPONSE_FLAGS%"}
    ended = (
        *_counter("TCP_OPENED_CONNECTIONS", tcp, rules),
        *_counter("TCP_CLOSED_CONNECTIONS", tcp, rules),
        *_counter("TCP_SENT_BYTES", tcp, rules, "%BYTES_SENT%"),
        *_counter("TCP_RECEIVED_BYTES", tcp, rules, "%BYTES_RECEIVED%"),
    )
    log = _stats_log(ended, _LEFT)
    return [] if log is None else [log]


def _log_type(name: str) -> Envoy:
    return {"log_type_filter": {"types": [name]}}


_ENDED: Final = _log_type("TcpConnectionEnd")


def _stats_log(stats: Iterable[Stat], only: Envoy) -> Envoy | None:
    found: dict[str, list[Envoy]] = {}
    for kind, stat in stats:
        found.setdefault(kind, []).append(stat)
    if not found:
        return None
    config = any_of("envoy.extensions.access_loggers.stats.v3.Config", stat_prefix="istio", **found)
    return {"name": "istio", "typed_config": config, "filter": only}


def _counter(metric: str, labels: Labels, rules: Rules, value: str = "") -> Iterator[Stat]:
    amount: Envoy = {"value_format": value} if value else {"value_fixed": 1}
    yield from (("counters", {"stat": stat, **amount}) for stat in _stat(metric, labels, rules))


def _histogram(metric: str, labels: Labels, rules: Rules, unit: str, value: str) -> Iterator[Stat]:
    for stat in _stat(metric, labels, rules):
        yield "histograms", {"stat": stat, "unit": unit, "value_format": value}


def _stat(metric: str, labels: Labels, rules: Rules) -> Iterator[Envoy]:
    """Yield a metric with its labels, unless it is switched off."""
    rule = MetricRule(disabled=True) if rules is None else rules.get(metric, MetricRule())
    if metric in OFF if rule.disabled is None else rule.disabled:
        return
    tags = dict(labels)
    for name, override in rule.tags.items():
        tags.pop(name, None)
        if override.value is not None:
            tags[name] = _format(override.value)
    yield {"name": METRIC_NAMES[metric], "tags": [_tag(label, value) for label, value in tags.items()]}


@lru_cache(maxsize=16384)
def _tag(label: str, value: str) -> Envoy:
    """Return a label: the same object for all metrics of all proxies, which have 600 or so each."""
    return {"name": label, "value_format": value}


def _format(expression: str) -> str:
    """Write an expression as a format; what it finds nothing for is ``unknown``, as in Istio."""
    operators = [{"command": "CEL", "param": cel.translated(expression)}, {"command": "CEL", "param": f"'{UNKNOWN}'"}]
    # Envoy takes the first )% for the end, wherever it stands.
    written = json.dumps({"operators": operators}).replace("%", "\\u0025")
    return f"%COALESCE({written})%"


def service_metadata(service: MeshService | None) -> Envoy:
    """Return the metadata that names a service to telemetry; ``None``: the one that does not exist, as in Istio."""
    if service is None:
        described = {"host": NOWHERE, "name": NOWHERE, "namespace": UNKNOWN}
    else:
        described = {"host": service.known_as, "name": service.name, "namespace": service.namespace}
    return {"metadata": {"filter_metadata": {"istio": described}}}


def outside_metadata() -> Envoy:
    """Return the metadata of the cluster of hosts that the mesh does not know, under Istio's name for them."""
    described = {"host": PASSTHROUGH, "name": PASSTHROUGH, "namespace": UNKNOWN, "security": PLAIN}
    return {"metadata": {"filter_metadata": {"istio": described}}}
