"""Envoy's own statistics per cluster: what is left where no mesh says more; and what its relatives share."""

from __future__ import annotations

import re
from collections.abc import Mapping

from collectors.dialects.dialect import Gap, Labels, Latency, Need
from collectors.dialects.words import Called, End, Words

REQUESTS = ("envoy_cluster_upstream_rq_xx",)
"""By class of code. Envoy counts each request by exact code, too; reading both would count twice."""
LATENCIES = ("envoy_cluster_upstream_rq_time",)
TCP = {
    "envoy_cluster_upstream_cx_tx_bytes_total": "sent_bytes",
    "envoy_cluster_upstream_cx_rx_bytes_total": "received_bytes",
    "envoy_cluster_upstream_cx_total": "opened",
    "envoy_cluster_upstream_cx_destroy": "closed",
}
CODE = ("envoy_response_code_class",)
STATS_FILTER = (
    r"^cluster\..*(upstream_rq_[0-9]xx|upstream_rq_time|upstream_cx_(tx_bytes_total|rx_bytes_total|total|destroy))$"
)

CODES = Gap(
    signal="codes",
    reason="requests are read by class of code (5xx), since clusters' exact codes count the same requests again",
    remedy="",
)
GRPC = Gap(
    signal="grpc",
    reason="clusters count HTTP statuses: a gRPC call that failed is a 200",
    remedy="send spans, or access logs with the gRPC status",
)
CARRIED = Gap(
    signal="tcp",
    reason="connections are counted whatever they carry, so they are shown only where no requests are",
    remedy="",
)
CALLERS = Gap(
    signal="source",
    reason="proxies count inbound requests without the caller; callers outside the mesh are not drawn",
    remedy="route the callers through a proxy, or send spans",
)

OF_MESHES = ("consul_source_service", "appmesh_mesh", "kuma_io_zone", "kuma_workload", "dataplane", "osm_proxy_uuid")
"""Labels by which meshes made of Envoys are known."""

OWN = re.compile(
    r"(?:xds|ads|sds|lds|cds|eds|rds|admin|agent|stats|zipkin|jaeger|datadog|otel|opentelemetry|prometheus|"
    r"access_?log|self|local|localhost|inbound|system|kuma|_kuma|dynamic_forward_proxy)(?:[_:.|-].*)?"
    r"|.*(?:_agent|prometheus_stats|sds-grpc|xds-grpc|xds_cluster|ads_cluster)"
)
"""Clusters of the proxy's own: its control plane, telemetry, administration and application."""

ISTIO = re.compile(r"outbound\|\d+\|(?P<subset>[^|]*)\|(?P<host>.+)")
SLASHES = re.compile(r"(?P<namespace>[^/]+)/(?P<name>[^/:]+)(?:[/:](?P<port>\w+))?")


def called(cluster: str) -> Mapping[str, str] | None:
    """Say which service a cluster stands for, by the usual ways of naming clusters; ``None`` for one of its own."""
    if found := ISTIO.fullmatch(cluster):
        return {"called_version": found["subset"], **_host(found["host"])}
    if not cluster or OWN.fullmatch(cluster):
        return None
    if found := SLASHES.fullmatch(cluster):
        return {"called": found["name"], "called_in": found["namespace"]}
    return _host(cluster)


def _host(host: str) -> Mapping[str, str]:
    name, _, rest = host.partition(".")
    namespace, _, suffix = rest.partition(".")
    if suffix == "svc" or suffix.startswith("svc."):
        return {"called": name, "called_in": namespace}
    return {"called": host}


def _cluster(metric: str, labels: Labels) -> tuple[str, Labels] | None:
    target = called(labels.get("envoy_cluster_name", ""))
    if target is None or any(labels.get(name) for name in OF_MESHES):
        return None
    return metric, {"called_in": labels.get("namespace", ""), **labels, **target}


DIALECT = Words(
    requests=REQUESTS,
    latencies=LATENCIES,
    tcp=TCP,
    carriers=True,
    source=End(
        workload=("deployment", "statefulset", "daemonset", "workload"),
        pod=("pod", "kubernetes_pod_name", "pod_name"),
        app=("app", "app_kubernetes_io_name", "service", "job", "instance"),
        version=("version", "app_kubernetes_io_version"),
        namespace=("namespace", "kubernetes_namespace"),
        cluster=("cluster",),
    ),
    service=Called(name=("called",), namespace=("called_in",)),
    code=CODE,
    unpack=_cluster,
    reads=("envoy_cluster_name", *OF_MESHES),
    makes=("called", "called_in"),
).dialect(
    name="envoy",
    title="Envoy",
    stats_filter=STATS_FILTER,
    probe=REQUESTS,
    # Istio's proxies are Envoys that can be told to publish clusters, too: the same requests again.
    covered_by=("istio",),
    latency=Latency.LAST_BYTE,
    requires=(
        Need(
            metric="envoy_cluster_upstream_rq_xx",
            labels=("deployment", "statefulset", "daemonset", "workload", "pod", "app", "service", "job"),
            reason="Envoy does not name the workload that it serves: the scrape job must",
            remedy="""\
relabel_configs:
  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
  - {source_labels: [__meta_kubernetes_pod_label_app], target_label: app}
  - {source_labels: [__meta_kubernetes_pod_label_version], target_label: version}""",
        ),
    ),
    gaps=(
        CODES,
        GRPC,
        CARRIED,
        CALLERS,
        Gap(
            signal="workload",
            reason="a cluster is a service: which workload answered is not told",
            remedy="make one cluster per version, named <namespace>/<service>/<port>",
        ),
        Gap(signal="mtls", reason="clusters do not tell who is at the other end", remedy=""),
    ),
)
