"""Which pages of a cluster's pods hold a mesh's metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from collectors.kubernetes.objects import Pod

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


PAGES = (
    Page("istio-proxy", 15090, "/stats/prometheus"),
    Page("linkerd-proxy", 4191, "/metrics"),
    Page("kuma-sidecar", 5670, "/metrics"),
    Page("consul-dataplane", 20200, "/metrics"),
)
"""By the proxy's container. They answer in plain HTTP, whatever the mesh demands of others' ports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One page to scrape, and what to add to each of its series."""

    address: str
    """``host:port``."""
    path: str
    scheme: str
    labels: Mapping[str, str]


def targets(pods: Iterable[Pod], cluster: str) -> Iterator[Target]:
    """Yield at most one page per running pod: its proxy's, else the one that its annotations name. Pure.

    Never both: with Istio's merged metrics the annotated page (``:15020``) repeats the proxy's own.
    """
    for pod in pods:
        if pod.address and pod.phase == "Running":
            page = _of_proxy(pod, cluster) or _annotated(pod, cluster)
            if page:
                yield page


def _of_proxy(pod: Pod, cluster: str) -> Target | None:
    names = {container.name for container in pod.containers}
    page = next((page for page in PAGES if page.container in names), None)
    return _target(pod, cluster, page.port, page.path) if page else None


def _annotated(pod: Pod, cluster: str) -> Target | None:
    said = {name: pod.annotations.get(f"{ANNOTATION}/{name}", "") for name in ("scrape", "port", "path", "scheme")}
    if said["scrape"] != "true":
        return None
    port = int(said["port"]) if said["port"].isdecimal() else _first_port(pod)
    return _target(pod, cluster, port, said["path"] or "/metrics", said["scheme"] or "http")


def _first_port(pod: Pod) -> int:
    return next((port.number for container in pod.containers for port in container.ports), DEFAULT_PORT)


def _target(pod: Pod, cluster: str, port: int, path: str, scheme: str = "http") -> Target:
    host = f"[{pod.address}]" if ":" in pod.address else pod.address
    labels = {
        "cluster": cluster,
        "namespace": pod.namespace,
        "pod": pod.name,
        "node": pod.node,
        "app": pod.labels.get("app", ""),
        OWNER_LABELS.get(pod.owner.kind, "workload"): pod.owner.name,
    }
    return Target(
        address=f"{host}:{port}",
        path=path if path.startswith("/") else f"/{path}",
        scheme=scheme,
        labels={name: value for name, value in labels.items() if value},
    )
