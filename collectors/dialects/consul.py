"""Consul service mesh: Envoy's clusters with Consul's tags for both ends."""

from __future__ import annotations

from collectors.dialects import envoy
from collectors.dialects.dialect import Gap, Latency, Need
from collectors.dialects.words import Called, End, Words
from graph.model import Security

DIALECT = Words(
    requests=envoy.REQUESTS,
    latencies=envoy.LATENCIES,
    tcp=envoy.TCP,
    carriers=True,
    # Namespaces are Consul's, for they are the ones that are told of both ends; a datacenter is a cluster.
    source=End(
        workload=("consul_source_service", "local_cluster"),
        namespace=("consul_source_namespace",),
        cluster=("consul_source_datacenter",),
    ),
    target=End(
        workload=("consul_destination_service",),
        version=("consul_destination_service_subset",),
        namespace=("consul_destination_namespace",),
        cluster=("consul_destination_datacenter",),
    ),
    service=Called(
        name=("consul_destination_service",),
        namespace=("consul_destination_namespace",),
        cluster=("consul_destination_datacenter",),
    ),
    code=envoy.CODE,
    mtls={"consul_destination_routing_type": {"internal": Security.MUTUAL_TLS}},
    only={"consul_destination_service": ".+"},
).dialect(
    name="consul",
    title="Consul",
    stats_filter=envoy.STATS_FILTER,
    probe=envoy.REQUESTS,
    sample_tells=True,
    latency=Latency.LAST_BYTE,
    requires=(
        Need(
            metric="envoy_cluster_upstream_rq_xx",
            labels=("consul_source_service", "local_cluster"),
            reason="proxies publish no metrics until they are told to",
            remedy="""\
apiVersion: consul.hashicorp.com/v1alpha1
kind: ProxyDefaults
metadata: {name: global}
spec:
  config:
    protocol: http
    envoy_prometheus_bind_addr: 0.0.0.0:20200""",
        ),
    ),
    gaps=(
        envoy.CODES,
        envoy.GRPC,
        envoy.CALLERS,
        Gap(
            signal="requests",
            reason="services whose protocol is tcp, which is the default, have connections and bytes only",
            remedy="""\
apiVersion: consul.hashicorp.com/v1alpha1
kind: ServiceDefaults
metadata: {name: <service>}
spec: {protocol: http}""",
        ),
        Gap(
            signal="version",
            reason="a request's target is told by subset, if at all",
            remedy="declare subsets in a ServiceResolver",
        ),
    ),
)
