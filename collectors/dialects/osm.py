"""Open Service Mesh: one counter with both ends, whose labels a WebAssembly filter packs into the metric's name."""

from __future__ import annotations

import re

from collectors.dialects.dialect import Gap, Labels, Latency
from collectors.dialects.words import End, Words

ENDS = "".join(
    f"{end}_{what}_(?P<{end}_{what}>.+?)_"
    for end in ("source", "destination")
    for what in ("namespace", "kind", "name")
).replace("_destination_namespace_", "_source_pod_(?P<source_pod>.+?)_destination_namespace_", 1)
PACKED = re.compile(
    rf"(?:envoy_)?(?:response_code_(?P<response_code>\d+)_)?{ENDS}destination_pod_(?P<destination_pod>.+)"
    r"_(?P<metric>osm_request_(?:total|duration_ms_(?:bucket|sum|count)))"
)


def _unpacked(metric: str, labels: Labels) -> tuple[str, Labels] | None:
    found = PACKED.fullmatch(metric)
    if found is None:
        return (metric, labels) if metric.startswith("osm_request_") else None
    packed = {name: value for name, value in found.groupdict().items() if value is not None}
    return packed.pop("metric"), {**labels, **packed}


DIALECT = Words(
    requests=("osm_request_total",),
    latencies=("osm_request_duration_ms",),
    source=End(workload=("source_name",), pod=("source_pod",), namespace=("source_namespace",)),
    target=End(workload=("destination_name",), pod=("destination_pod",), namespace=("destination_namespace",)),
    code=("response_code",),
    unpack=_unpacked,
).dialect(
    name="osm",
    title="Open Service Mesh",
    metric_pattern=r"(?:envoy_.+_)?osm_request_(?:total|duration_ms_(?:bucket|sum))",
    latency=Latency.LAST_BYTE,
    gaps=(
        Gap(
            signal="names",
            reason="Envoy turns dashes and dots of names into underscores: a-b, a.b and a_b are one workload a_b",
            remedy="",
        ),
        Gap(
            signal="edges",
            reason="requests that came from or went outside the mesh are not counted, and those that the caller's proxy "
            "answered itself name no destination",
            remedy="send spans",
        ),
        Gap(signal="service", reason="workloads are named, services are not", remedy=""),
        Gap(signal="version", reason="proxies do not tell versions", remedy=""),
        Gap(signal="grpc", reason="gRPC statuses are not counted", remedy="send spans"),
        Gap(signal="tcp", reason="only HTTP is counted by ends", remedy=""),
        Gap(signal="mtls", reason="series do not tell; all traffic that is counted is within the mesh", remedy=""),
    ),
)
