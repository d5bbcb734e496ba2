"""NGINX Service Mesh: NGINX Plus' statistics of upstream servers, labelled with both ends."""

from __future__ import annotations

from collectors.dialects.dialect import Gap, Latency, Need
from collectors.dialects.words import Called, End, Words

OWNERS = ("deployment", "statefulset", "daemonset")

DIALECT = Words(
    requests=("nginxplus_upstream_server_responses",),
    latencies=("nginxplus_upstream_server_response_latency_ms",),
    # Streams are TCP only: requests have upstreams of their own.
    tcp={
        "nginxplus_stream_upstream_server_sent": "sent_bytes",
        "nginxplus_stream_upstream_server_received": "received_bytes",
        "nginxplus_stream_upstream_server_connections": "opened",
    },
    source=End(workload=OWNERS, pod=("pod",), version=("version",), namespace=("namespace",), cluster=("cluster",)),
    target=End(
        workload=tuple(f"dst_{owner}" for owner in OWNERS),
        pod=("dst_pod",),
        version=("dst_version",),
        namespace=("dst_namespace",),
    ),
    service=Called(name=("dst_service",), namespace=("dst_namespace",)),
    code=("code",),
    # Requests that come in have no destination but the proxy's own application.
    only={"dst_namespace": ".+"},
).dialect(
    name="nginx-service-mesh",
    title="NGINX Service Mesh",
    probe=("nginxplus_upstream_server_responses",),
    sample_tells=True,
    latency=Latency.LAST_BYTE,
    requires=(
        Need(
            metric="nginxplus_upstream_server_responses",
            labels=OWNERS,
            reason="the workload is put on by the mesh's scrape job",
            remedy="""\
- job_name: nginx-mesh-sidecars
  kubernetes_sd_configs: [{role: pod}]
  relabel_configs:
    - {source_labels: [__meta_kubernetes_pod_container_name], action: keep, regex: nginx-mesh-sidecar}
    - {source_labels: [__meta_kubernetes_pod_ip], target_label: __address__, replacement: "$1:8887"}
    - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
    - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
    - {action: labelmap, regex: __meta_kubernetes_pod_label_nsm_nginx_com_(.+)}""",
        ),
        Need(
            metric="nginxplus_upstream_server_responses",
            labels=("dst_service",),
            reason="series of the ingress controller carry other names",
            remedy="""\
metric_relabel_configs:
  - {source_labels: [__name__], regex: nginx_ingress_nginxplus(.+), target_label: __name__, replacement: nginxplus$1}
  - {source_labels: [service], target_label: dst_service}
  - {source_labels: [resource_namespace], target_label: dst_namespace}
  - {source_labels: [pod_name], target_label: dst_pod}""",
        ),
    ),
    gaps=(
        Gap(
            signal="requests",
            reason="counters begin anew whenever NGINX reloads: what came after the last reading before it is lost",
            remedy="scrape more often",
        ),
        Gap(signal="codes", reason="responses are counted by class of code", remedy=""),
        Gap(signal="grpc", reason="NGINX counts HTTP statuses: a gRPC call that failed is a 200", remedy="send spans"),
        Gap(signal="mtls", reason="series do not tell", remedy=""),
    ),
)
