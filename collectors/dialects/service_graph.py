"""Metrics that Tempo, Alloy and the OpenTelemetry Collector make of spans: one counter per pair of services."""

from __future__ import annotations

from collectors.dialects.dialect import Gap, Labels, Latency, Need
from collectors.dialects.words import FINE, NO_RESPONSE, End, Unit, Words
from graph.model import NodeKind, Reporter

CALLERS = "traces_service_graph_request_client_seconds"
CALLEES = "traces_service_graph_request_server_seconds"
DURATION = "traces_service_graph_request_seconds"
PEERS = {"database": NodeKind.DATABASE, "virtual_node": NodeKind.EXTERNAL}
"""What a connection's type says of a server that sends no spans."""


def _pair(metric: str, labels: Labels) -> tuple[str, Labels] | None:
    kind = labels.get("connection_type", "")
    virtual = labels.get("virtual_node", "")
    virtual_client = kind == "virtual_node" and (
        virtual == "client" or (not virtual and labels.get("client") == "user")
    )
    told = {**labels, "client": "" if virtual_client else labels.get("client", "")}
    if kind in {"database", "messaging_system"}:
        # As with the spans themselves: these are known from traces only, whatever they speak.
        told["peer_protocol"] = "tcp"
    if kind in PEERS and not virtual_client:
        told["peer_kind"] = PEERS[kind]
    # Both ends measure the same request; who calls waits longer, and a caller that sends no spans measures nothing.
    if metric.startswith(CALLEES if not virtual_client else CALLERS):
        return None
    for name in (CALLERS, CALLEES):
        metric = metric.replace(name, DURATION)
    return metric, told


def _end(side: str) -> End:
    return End(
        app=(side,),
        workload=tuple(f"{side}_k8s_{owner}_name" for owner in ("deployment", "statefulset", "daemonset")),
        namespace=(f"{side}_k8s_namespace_name", f"{side}_service_namespace"),
        version=(f"{side}_service_version",),
        cluster=(f"{side}_k8s_cluster_name",),
        kind=("peer_kind",) if side == "server" else (),
    )


DIALECT = Words(
    requests=("traces_service_graph_request_total",),
    parts={"traces_service_graph_request_failed_total": NO_RESPONSE},
    whole=FINE,
    failed=("failed",),
    protocol=("peer_protocol",),
    latencies=(DURATION,),
    unit=Unit.S,
    source=_end("client"),
    target=_end("server"),
    told_by=Reporter.TRACE,
    unpack=_pair,
    reads=("connection_type", "virtual_node"),
    makes=("peer_kind", "peer_protocol"),
).dialect(
    name="service-graph",
    title="Service graph of traces (Tempo, OpenTelemetry)",
    metrics=(
        *("traces_service_graph_request_total", "traces_service_graph_request_failed_total"),
        *(f"{name}_{of}" for name in (CALLERS, CALLEES) for of in ("bucket", "sum")),
    ),
    probe=("traces_service_graph_request_total",),
    latency=Latency.LAST_BYTE,
    instance_labels=("__metrics_gen_instance", "pod", "instance"),
    requires=(
        Need(
            metric="traces_service_graph_request_total",
            labels=("client_k8s_namespace_name", "client_service_namespace"),
            reason="services are named without their namespace, and so are other nodes than those of the mesh",
            remedy="""\
# tempo.yaml
overrides:
  defaults:
    metrics_generator:
      processors: [service-graphs]
      processor:
        service_graphs:
          enable_client_server_prefix: true
          dimensions: [k8s.cluster.name, k8s.namespace.name, k8s.deployment.name, service.version]""",
        ),
    ),
    gaps=(
        Gap(
            signal="requests",
            reason="only sampled requests are counted, and those whose two spans met within the store's wait (10 s)",
            remedy="look at traces_service_graph_unpaired_spans_total and _dropped_spans_total; raise wait and max_items",
        ),
        Gap(signal="codes", reason="requests failed or did not: statuses are not told", remedy="send the spans here"),
        Gap(
            signal="queues",
            reason="through a queue producer and consumer are joined, the queue is not named",
            remedy="send the spans here",
        ),
        Gap(
            signal="protocol",
            reason="but for databases and queues everything counts as HTTP",
            remedy="send the spans here",
        ),
        Gap(signal="mtls", reason="spans do not tell", remedy=""),
    ),
)
