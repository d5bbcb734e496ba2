"""Which pages of a cluster's pods hold a mesh's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from collectors.kubernetes.objects import Pod
from collectors.scrape.config import TargetGroup

ANNOTATION = "prometheus.io"
"""``prometheus.io/scrape``, ``/port``, ``/path`` and ``/scheme``: the convention of Prometheus' example config."""
DEFAULT_PORT = 80
OWNER_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "Deployment": "deployment",
        "StatefulSet": "statefulset",
        "DaemonSet": "daemonset",
        "Job": "k8s_job",
        "CronJob": "cronjob",
    }
)
"""As Linkerd's scrape jobs call a pod's owner."""


class Page(NamedTuple):
    """Where a mesh's proxy shows its metrics."""

    container: str
    port: int
    path: str


class _Address(NamedTuple):
    scheme: str
    port: int
    path: str


PAGES = (
    Page("istio-proxy", 15090, "/stats/prometheus"),
    Page("linkerd-proxy", 4191, "/metrics"),
    Page("kuma-sidecar", 5670, "/metrics"),
    Page("consul-dataplane", 20200, "/metrics"),
)
"""By the proxy's container. They answer in plain HTTP, whatever the mesh demands of others' ports."""


def targets(pods: Iterable[Pod], cluster: str) -> Iterator[TargetGroup]:
    """Yield at most one page per running pod: its proxy's, else the one that its annotations name. Pure.

    Never both: with Istio's merged metrics the annotated page (``:15020``) repeats the proxy's own.
    """
    for pod in pods:
        if pod.address and pod.phase == "Running":
            page = _of_proxy(pod) or _annotated(pod)
            if page:
                yield _group(pod, cluster, page)


def _of_proxy(pod: Pod) -> _Address | None:
    names = {container.name for container in pod.containers}
    page = next((page for page in PAGES if page.container in names), None)
    return _Address("http", page.port, page.path) if page else None


def _annotated(pod: Pod) -> _Address | None:
    said = {name: pod.annotations.get(f"{ANNOTATION}/{name}", "") for name in ("scrape", "port", "path", "scheme")}
    if said["scrape"] != "true":
        return None
    port = int(said["port"]) if said["port"].isdecimal() else _first_port(pod)
    return _Address(said["scheme"] or "http", port, said["path"] or "/metrics")


def _first_port(pod: Pod) -> int:
    return next((port.number for container in pod.containers for port in container.ports), DEFAULT_PORT)


def _group(pod: Pod, cluster: str, page: _Address) -> TargetGroup:
    host = f"[{pod.address}]" if ":" in pod.address else pod.address
    labels = {
        "__scheme__": page.scheme,
        "__metrics_path__": page.path if page.path.startswith("/") else f"/{page.path}",
        "cluster": cluster,
        "namespace": pod.namespace,
        "pod": pod.name,
        "node": pod.node,
        "app": pod.labels.get("app", ""),
        OWNER_LABELS.get(pod.owner.kind, "workload"): pod.owner.name,
    }
    return TargetGroup(
        targets=(f"{host}:{page.port}",), labels={name: value for name, value in labels.items() if value}
    )
