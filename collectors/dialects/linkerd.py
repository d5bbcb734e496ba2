"""Linkerd's proxies: the classic counters per workload, and the newer ones per route and backend."""

from __future__ import annotations

from collectors.dialects.dialect import Gap, Labels, Latency, Need
from collectors.dialects.words import Called, End, Unit, Words
from graph.model import Security

OWNERS = ("deployment", "statefulset", "daemonset", "k8s_job", "cronjob", "replicaset", "replicationcontroller")
SOURCE = End(workload=OWNERS, pod=("pod",), namespace=("namespace",), cluster=("cluster",))
SCRAPE = """\
- job_name: linkerd-proxy
  kubernetes_sd_configs: [{role: pod}]
  relabel_configs:
    - {source_labels: [__meta_kubernetes_pod_container_name, __meta_kubernetes_pod_container_port_name],
       regex: ^linkerd-proxy;linkerd-admin$, action: keep}
    - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
    - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
    - {source_labels: [__meta_kubernetes_pod_label_linkerd_io_proxy_job], target_label: k8s_job}
    - {regex: __meta_kubernetes_pod_label_linkerd_io_proxy_job, action: labeldrop}
    - {regex: __meta_kubernetes_pod_label_linkerd_io_proxy_(.+), action: labelmap}"""
"""The scrape job that Linkerd's own Prometheus has, as its documentation gives it for one's own."""

LABELLED = Need(
    metric="response_total|outbound_(http|grpc)_route_backend_response_statuses_total",
    labels=("namespace",),
    reason="proxies do not name themselves: namespace and workload are put on by the scrape job",
    remedy=SCRAPE,
)
WORKLOADS = Need(
    metric="response_total|outbound_(http|grpc)_route_backend_response_statuses_total",
    labels=OWNERS,
    reason="without the owner's label the workload is guessed from the pod's name",
    remedy=SCRAPE,
)
INBOUND = Gap(
    signal="source",
    reason="what proxies count inbound names no caller; callers outside the mesh are not drawn",
    remedy="mesh the callers, or send spans",
)
VERSION = Gap(
    signal="version",
    reason="proxies do not tell versions",
    remedy="deploy each version as a workload of its own",
)

CALLED = ("called", "called_in")
TCP = {
    "tcp_write_bytes_total": "sent_bytes",
    "tcp_read_bytes_total": "received_bytes",
    "tcp_open_total": "opened",
    "tcp_close_total": "closed",
}
MTLS = {
    "true": Security.MUTUAL_TLS,
    "no_identity": Security.NONE,
    "disabled": Security.NONE,
}


def _classic(metric: str, labels: Labels) -> tuple[str, Labels] | None:
    if metric in TCP and labels.get("peer") != "dst":
        # The proxy's connections with its own application.
        return None
    if labels.get("dst_service"):
        return metric, {**labels, "called": labels["dst_service"], "called_in": labels.get("dst_namespace", "")}
    host = labels.get("authority", "").rpartition(":")[0] or labels.get("authority", "")
    name, _, rest = host.partition(".")
    namespace, _, suffix = rest.partition(".")
    if suffix == "svc" or suffix.startswith("svc."):
        return metric, {**labels, "called": name, "called_in": namespace}
    return metric, {**labels, "called": host, "called_in": labels.get("dst_namespace", "")}


CLASSIC = Words(
    # ``request_total`` counts the same requests when they begin: the two must never be added.
    requests=("response_total",),
    latencies=("response_latency_ms",),
    tcp=TCP,
    carriers=True,
    source=SOURCE,
    target=End(
        workload=tuple(f"dst_{owner}" for owner in OWNERS),
        pod=("dst_pod",),
        namespace=("dst_namespace",),
        principal=("server_id",),
    ),
    service=Called(name=("called",), namespace=("called_in",)),
    code=("status_code",),
    # The documentation says grpc_status_code, the proxy writes grpc_status.
    grpc=("grpc_status", "grpc_status_code"),
    flags=("error",),
    mtls={"tls": MTLS},
    only={"direction": "outbound"},
    unpack=_classic,
    reads=("authority", "dst_service", "dst_namespace", "peer"),
    makes=CALLED,
).dialect(
    name="linkerd",
    title="Linkerd",
    probe=("response_total", "response_latency_ms_bucket"),
    sample_tells=True,
    latency=Latency.FIRST_BYTE,
    requires=(LABELLED, WORKLOADS),
    gaps=(
        INBOUND,
        VERSION,
        Gap(
            signal="tcp",
            reason="connections are counted whatever they carry, so they are shown only where no requests are",
            remedy="",
        ),
        Gap(
            signal="latency",
            reason="it is measured to the first byte, and not told apart by gRPC status",
            remedy="the route metrics measure to the last byte: outbound_http_route_backend_response_duration_seconds",
        ),
    ),
)


def _routed(metric: str, labels: Labels) -> tuple[str, Labels] | None:
    backend = "backend" if labels.get("backend_kind") == "Service" else "parent"
    if labels.get("parent_kind") == "EgressNetwork":
        return metric, {**labels, "called": labels.get("hostname", ""), "called_in": labels.get("parent_namespace", "")}
    return metric, {
        **labels,
        "called": labels.get(f"{backend}_name", ""),
        "called_in": labels.get(f"{backend}_namespace", ""),
    }


ROUTES = Words(
    requests=(
        "outbound_http_route_backend_response_statuses_total",
        "outbound_grpc_route_backend_response_statuses_total",
    ),
    latencies=(
        "outbound_http_route_backend_response_duration_seconds",
        "outbound_grpc_route_backend_response_duration_seconds",
    ),
    grpc_metrics=(
        "outbound_grpc_route_backend_response_statuses_total",
        "outbound_grpc_route_backend_response_duration_seconds",
    ),
    unit=Unit.S,
    source=SOURCE,
    service=Called(name=("called",), namespace=("called_in",)),
    code=("http_status",),
    grpc=("grpc_status",),
    flags=("error",),
    unpack=_routed,
    reads=(*(f"{of}_{what}" for of in ("parent", "backend") for what in ("kind", "namespace", "name")), "hostname"),
    makes=CALLED,
).dialect(
    name="linkerd-routes",
    title="Linkerd (route metrics)",
    covered_by=("linkerd",),
    latency=Latency.LAST_BYTE,
    requires=(LABELLED, WORKLOADS),
    gaps=(
        INBOUND,
        VERSION,
        Gap(
            signal="workload",
            reason="route metrics name the service that a request went to, not the workload",
            remedy="keep response_total in the scrape job: it names workloads",
        ),
        Gap(signal="mtls", reason="route metrics do not tell", remedy="keep response_total in the scrape job"),
        Gap(signal="tcp", reason="route metrics of TCP count connections without bytes", remedy=""),
    ),
)
