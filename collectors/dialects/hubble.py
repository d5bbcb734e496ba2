"""Cilium's Hubble: HTTP as its agents see it, with both ends once they are told to label them."""

from __future__ import annotations

from collectors.dialects.dialect import Gap, Labels, Latency, Need
from collectors.dialects.words import End, Unit, Words
from graph.model import Reporter

CONTEXT = (
    "source_ip,source_namespace,source_workload,source_app,"
    "destination_ip,destination_namespace,destination_workload,destination_app,traffic_direction"
)
REMEDY = f"""\
# values of Cilium's Helm chart
hubble:
  metrics:
    enabled:
      - "httpV2:exemplars=true;labelsContext={CONTEXT}"
"""


def _ends(metric: str, labels: Labels) -> tuple[str, Labels] | None:
    """Read ``sourceContext=workload`` too, which writes ``source="namespace/workload"``."""
    if metric == "hubble_http_requests_total" and not labels.get("status"):
        return None
    told = dict(labels)
    for end in ("source", "destination"):
        namespace, _, name = labels.get(end, "").rpartition("/")
        told.setdefault(f"{end}_workload", name)
        told.setdefault(f"{end}_namespace", namespace)
    named = any(told.get(f"{end}_{what}") for end in ("source", "destination") for what in ("workload", "app", "pod"))
    return (metric, told) if named else None


def _end(name: str) -> End:
    return End(
        workload=(f"{name}_workload",),
        app=(f"{name}_app",),
        pod=(f"{name}_pod", f"{name}_pod_name"),
        namespace=(f"{name}_workload_namespace", f"{name}_namespace"),
        cluster=(f"{name}_cluster", "cluster"),
    )


def _words(requests: str) -> Words:
    return Words(
        requests=(requests,),
        latencies=("hubble_http_request_duration_seconds",),
        unit=Unit.S,
        source=_end("source"),
        target=_end("destination"),
        reporter=("reporter",),
        # Agents that cannot tell on which side they are see what others report better.
        reporters={"client": Reporter.SOURCE, "server": Reporter.DESTINATION, "": Reporter.DESTINATION},
        code=("status",),
        unpack=_ends,
        reads=("source", "destination"),
    )


def _need(metric: str) -> Need:
    return Need(
        metric=metric,
        labels=("source_workload", "source_app", "source_pod", "source"),
        reason="Hubble's contexts are empty by default: series name neither end, so there are no edges",
        remedy=REMEDY,
    )


GAPS = (
    Gap(
        signal="requests",
        reason="HTTP is seen only where a policy with HTTP rules, or an ingress, puts Cilium's Envoy in its way",
        remedy="""\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: l7-visibility}
spec:
  endpointSelector: {}
  ingress:
    - fromEndpoints: [{}]
      toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]""",
    ),
    Gap(signal="service", reason="flows name workloads, services are not labelled", remedy=""),
    Gap(signal="version", reason="agents do not tell versions", remedy="deploy each version as a workload of its own"),
    Gap(signal="grpc", reason="gRPC statuses are not counted: a call that failed is a 200", remedy="send spans"),
    Gap(signal="tcp", reason="flows are counted as packets, not as bytes or connections", remedy=""),
    Gap(signal="mtls", reason="series do not tell", remedy=""),
)
HTTP_V2 = _words("hubble_http_requests_total").dialect(
    name="hubble",
    title="Cilium Hubble",
    probe=("hubble_http_requests_total",),
    sample_tells=True,
    latency=Latency.LAST_BYTE,
    requires=(_need("hubble_http_requests_total"),),
    gaps=GAPS,
    instance_labels=("k8s_app_pod", "pod", "node", "instance"),
)
HTTP_V1 = _words("hubble_http_responses_total").dialect(
    name="hubble-v1",
    title="Cilium Hubble (metric http)",
    probe=("hubble_http_responses_total",),
    sample_tells=True,
    covered_by=("hubble",),
    latency=Latency.LAST_BYTE,
    requires=(_need("hubble_http_responses_total"),),
    gaps=(
        Gap(
            signal="requests",
            reason="this version counts requests without their outcome; answers are read, so what got none is missing",
            remedy=REMEDY,
        ),
        *GAPS,
    ),
)
