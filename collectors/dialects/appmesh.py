"""AWS App Mesh: the metrics extension's own counters, and Envoy's clusters where it is off."""

from __future__ import annotations

import re

from collectors.dialects import envoy
from collectors.dialects.dialect import Gap, Labels, Latency, Need
from collectors.dialects.words import Called, End, Words

MADE = ("caller", "caller_in", "target", "target_in", "called", "called_in")
PREFIX = "envoy_appmesh_"
EXTENSION = Need(
    metric=f"({PREFIX})?RequestCountPerTarget",
    reason="Envoy counts by target only with the metrics extension",
    remedy="""\
# the environment of the container envoy; on EKS: helm upgrade appmesh-controller --set stats.…
APPMESH_METRIC_EXTENSION_VERSION=1""",
)
MTLS = Gap(signal="mtls", reason="series do not tell", remedy="")


def _node(name: str, into: str) -> dict[str, str]:
    """Split a virtual node's name as the controller for Kubernetes makes it: ``<name>_<namespace>``."""
    workload, _, namespace = name.rpartition("_")
    return {into: workload or name, f"{into}_in": namespace if workload else ""}


def _extended(metric: str, labels: Labels) -> tuple[str, Labels] | None:
    host = labels.get("TargetVirtualService", "")
    name, _, rest = host.partition(".")
    return metric.removeprefix(PREFIX), {
        **labels,
        **_node(labels.get("VirtualNode") or labels.get("VirtualGateway", ""), "caller"),
        **_node(labels.get("TargetVirtualNode", ""), "target"),
        "called": name,
        "called_in": rest.partition(".")[0],
    }


COUNTED = Words(
    requests=("RequestCountPerTarget",),
    parts={f"HTTPCode_Target_{of}XX_Count": f"{of}xx" for of in "2345"},
    latencies=("TargetResponseTime",),
    source=End(workload=("caller",), namespace=("caller_in", "namespace")),
    target=End(workload=("target",), namespace=("target_in", "called_in")),
    service=Called(name=("called",), namespace=("called_in",)),
    unpack=_extended,
    makes=MADE,
    reads=("VirtualNode", "VirtualGateway", "TargetVirtualNode", "TargetVirtualService"),
).dialect(
    name="app-mesh",
    title="AWS App Mesh",
    metrics=tuple(
        f"{prefix}{metric}"
        for prefix in (PREFIX, "")
        for metric in (
            *("RequestCountPerTarget", "TargetResponseTime_bucket", "TargetResponseTime_sum"),
            *(f"HTTPCode_Target_{of}XX_Count" for of in "2345"),
        )
    ),
    probe=(f"{PREFIX}RequestCountPerTarget", "RequestCountPerTarget"),
    latency=Latency.LAST_BYTE,
    requires=(EXTENSION,),
    gaps=(
        Gap(signal="codes", reason="responses are counted by class of code", remedy=""),
        envoy.GRPC,
        Gap(signal="version", reason="a version is a virtual node", remedy=""),
        MTLS,
        Gap(signal="tcp", reason="bytes are counted for each node, not for each target", remedy=""),
    ),
)


def _plain(metric: str, labels: Labels) -> tuple[str, Labels] | None:
    mesh = re.escape(labels.get("appmesh_mesh", ""))
    found = re.fullmatch(rf"cds_egress_{mesh}_(?P<node>.+)_(?:http|http2|grpc|tcp)_\d+", labels["envoy_cluster_name"])
    if found is None:
        return None
    source = labels.get("appmesh_virtual_node") or labels.get("appmesh_virtual_gateway", "")
    return metric, {**labels, **_node(source, "caller"), **_node(found["node"], "target")}


PLAIN = Words(
    requests=envoy.REQUESTS,
    latencies=envoy.LATENCIES,
    tcp=envoy.TCP,
    carriers=True,
    source=End(workload=("caller",), namespace=("caller_in", "namespace")),
    target=End(workload=("target",), namespace=("target_in", "namespace")),
    code=envoy.CODE,
    only={"appmesh_mesh": ".+", "envoy_cluster_name": "cds_egress_.+"},
    unpack=_plain,
    makes=MADE,
    reads=("appmesh_virtual_node", "appmesh_virtual_gateway", "namespace"),
).dialect(
    name="app-mesh-envoy",
    title="AWS App Mesh (without its metrics extension)",
    stats_filter=envoy.STATS_FILTER,
    probe=envoy.REQUESTS,
    sample_tells=True,
    covered_by=("app-mesh",),
    latency=Latency.LAST_BYTE,
    requires=(
        Need(
            metric="envoy_cluster_upstream_rq_xx",
            labels=("appmesh_mesh",),
            reason="Envoy names its node when it is told to",
            remedy="# the environment of the container envoy\nENABLE_ENVOY_STATS_TAGS=1",
        ),
    ),
    gaps=(
        envoy.CODES,
        envoy.GRPC,
        envoy.CARRIED,
        envoy.CALLERS,
        Gap(
            signal="service",
            reason="a cluster is a virtual node: which virtual service was asked for is not told",
            remedy=EXTENSION.remedy,
        ),
        MTLS,
    ),
)
