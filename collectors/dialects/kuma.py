"""Kuma: Envoy's clusters, whose names say the destination in two ways (version 2's, and resource identifiers)."""

from __future__ import annotations

import re
from dataclasses import replace

from collectors.dialects import envoy
from collectors.dialects.dialect import Dialect, Gap, Labels, Latency, Need
from collectors.dialects.words import Called, End, Words

KRI = re.compile(
    r"kri_(?P<kind>[a-z]+)_(?P<mesh>[^_]*)_(?P<zone>[^_]*)_(?P<namespace>[^_]*)_(?P<name>[^_]*)_(?P<of>[^_]*)"
)
"""``kri_<kind>_<mesh>_<zone>_<namespace>_<name>_<section>``: MADR 105 of Kuma."""
DESTINATIONS = {"msvc", "mzsvc", "extsvc"}
"""MeshService, MeshMultiZoneService, MeshExternalService."""
HASH = r"(?:-[0-9a-f]{16})?"
RESOURCE = re.compile(
    rf"(?P<mesh>[^_]+)_(?P<name>[^_]+)_(?P<namespace>[^_]*)_(?P<zone>[^_]*)_(?:msvc|mzsvc|extsvc)_[^_]+?{HASH}"
)
"""A MeshService's clusters in version 2."""
TAGGED = re.compile(rf"(?P<name>[^_]+)_(?P<namespace>[^_]+)_svc(?:_\d+)?{HASH}")
"""Clusters of the tag ``kuma.io/service`` in Kubernetes; the hash tells subsets apart."""
PLAIN = re.compile(rf"(?P<name>.+?){HASH}")
OF_KUMA = ("kuma_io_zone", "kuma_workload", "dataplane", "kuma_io_service", "mesh")
READS = ("envoy_cluster_name", "service", *OF_KUMA)


def _named(labels: Labels, name: str, namespace: str = "", zone: str = "") -> Labels:
    """Add the destination; outside Kubernetes the mesh stands in for the namespace."""
    mesh = labels.get("mesh", "")
    told = TAGGED.fullmatch(labels.get("kuma_io_service") or labels.get("service", ""))
    return {
        **labels,
        "called": name,
        "called_in": namespace or mesh,
        "called_zone": zone or labels.get("kuma_io_zone", ""),
        "caller": told["name"] if told else labels.get("kuma_io_service", ""),
        "caller_in": (told["namespace"] if told else "") or labels.get("k8s_kuma_io_namespace", ""),
    }


def _identified(metric: str, labels: Labels) -> tuple[str, Labels] | None:
    found = KRI.fullmatch(labels.get("envoy_cluster_name", ""))
    if found is None or found["kind"] not in DESTINATIONS:
        return None
    return metric, _named(labels, found["name"], found["namespace"], found["zone"])


def _by_name(metric: str, labels: Labels) -> tuple[str, Labels] | None:
    cluster = labels.get("envoy_cluster_name", "")
    if cluster.startswith("kri_") or not any(labels.get(name) for name in OF_KUMA):
        return None
    if found := RESOURCE.fullmatch(cluster):
        return metric, _named(labels, found["name"], found["namespace"], found["zone"])
    if found := TAGGED.fullmatch(cluster):
        return metric, _named(labels, found["name"], found["namespace"])
    if not cluster or envoy.OWN.fullmatch(cluster):
        return None
    found = PLAIN.fullmatch(cluster)
    return metric, _named(labels, found["name"] if found else cluster)


SOURCE = End(
    workload=("kuma_workload", "deployment", "statefulset", "daemonset"),
    app=("kuma_workload", "caller", "app"),
    pod=("pod", "dataplane"),
    namespace=("caller_in", "namespace", "k8s_kuma_io_namespace", "mesh"),
    cluster=("kuma_io_zone",),
)
SERVICE = Called(name=("called",), namespace=("called_in",), cluster=("called_zone",))
REMEDY = """\
apiVersion: kuma.io/v1alpha1
kind: MeshMetric
metadata: {name: metrics, namespace: kuma-system, labels: {kuma.io/mesh: default}}
spec:
  targetRef: {kind: Mesh}
  default:
    sidecar: {profiles: {appendProfiles: [{name: Basic}]}, includeUnused: false}
    backends: [{type: Prometheus, prometheus: {port: 5670, path: /metrics}}]"""
REQUIRES = (
    Need(
        metric="envoy_cluster_upstream_rq_xx",
        labels=OF_KUMA,
        reason="proxies publish metrics once a policy says so, and Kuma's service discovery names them",
        remedy=REMEDY + "\n---\n# Prometheus\n- job_name: kuma-dataplanes\n  kuma_sd_configs:\n"
        "    - {server: 'http://kuma-control-plane.kuma-system.svc:5676'}\n  relabel_configs:\n"
        "    - {source_labels: [__meta_kuma_mesh], target_label: mesh}\n"
        "    - {source_labels: [__meta_kuma_dataplane], target_label: dataplane}\n"
        "    - {source_labels: [__meta_kuma_service], target_label: service}\n"
        "    - {regex: __meta_kuma_label_(.+), action: labelmap}",
    ),
)
GAPS = (
    envoy.CODES,
    envoy.GRPC,
    envoy.CARRIED,
    envoy.CALLERS,
    Gap(
        signal="workload",
        reason="a cluster is a service: which workload or version answered is not told",
        remedy="give each version a MeshService of its own and split between them with a MeshHTTPRoute",
    ),
    Gap(signal="mtls", reason="clusters do not tell who is at the other end", remedy=""),
)

_BY_NAME = Words(
    requests=envoy.REQUESTS,
    latencies=envoy.LATENCIES,
    tcp=envoy.TCP,
    carriers=True,
    source=SOURCE,
    service=SERVICE,
    code=envoy.CODE,
    unpack=_by_name,
    reads=READS,
    makes=("called", "called_in", "called_zone", "caller", "caller_in"),
)


def _dialect(words: Words, name: str, title: str) -> Dialect:
    return words.dialect(
        name=name,
        title=title,
        stats_filter=envoy.STATS_FILTER,
        probe=envoy.REQUESTS,
        sample_tells=True,
        latency=Latency.LAST_BYTE,
        requires=REQUIRES,
        gaps=GAPS,
    )


KUMA2 = _dialect(_BY_NAME, "kuma", "Kuma 2")
KUMA3 = _dialect(replace(_BY_NAME, only={"envoy_cluster_name": "kri_.+"}, unpack=_identified), "kuma-3", "Kuma 3")
