"""What runs in a cluster, in the graph's words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from collectors.inventory import inventory_of
from collectors.kubernetes.endpoints import endpoints_of
from collectors.kubernetes.names import ref_of
from collectors.kubernetes.objects import ClusterObjects, Controller, Pod
from graph.model import Inventory, NodeKind, Workload, WorkloadRef

PROXIES = frozenset(
    {"istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane", "envoy-sidecar", "nginx-mesh-sidecar", "envoy"}
)
"""What meshes call their sidecars: Istio, Linkerd, Kuma, Consul (now and before), NGINX, App Mesh and OSM."""
ROUTER = "proxy router"
"""The command line of Istio's proxy in a gateway."""
REDIRECTION = "ambient.istio.io/redirection"
"""The annotation by which Istio's CNI agent says that ztunnel has a pod's traffic."""
LINKERD_CONTROL = "linkerd.io/control-plane-component"
ISTIOD = "discovery"
"""The container of Istio's control plane."""
PLATFORM = frozenset({"kube-system", "kube-public", "kube-node-lease"})
OF_ONE_COPY = frozenset(
    {
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
        "controller-revision-hash",
        "controller-uid",
        "job-name",
        "pod-template-generation",
        "pod-template-hash",
        "rollouts-pod-template-hash",
        "statefulset.kubernetes.io/pod-name",
    }
)
"""Labels that say which copy a pod is, or of which revision, and nothing of the workload."""


def inventory_in(objects: ClusterObjects, cluster: str) -> Inventory:
    """Say what exists in a cluster. Pure."""
    manifests = ({**one.manifest, "status": one.status} for one in objects.declared)
    return inventory_of(
        manifests, workloads_of(objects, cluster), cluster=cluster, endpoints=endpoints_of(objects, cluster)
    )


def own_name(objects: ClusterObjects) -> str:
    """Return what its istiod calls a cluster; empty where none says."""
    return next((one.cluster_id for one in objects.controllers if one.cluster_id), "")


def workloads_of(objects: ClusterObjects, cluster: str) -> Sequence[Workload]:
    """List all workloads, those without a pod included. Pure.

    Pods of one Deployment that carry different versions, as while it rolls out, are different workloads: so they are in
    the mesh's metrics.
    """
    copies: defaultdict[WorkloadRef, list[Pod]] = defaultdict(list)
    makers: dict[WorkloadRef, Controller] = {}
    for one in objects.controllers:
        if not one.finished:
            makers[ref_of(one, cluster)] = one
    for pod in objects.pods:
        if pod.runs:
            copies[ref_of(pod, cluster)].append(pod)
    beyond = _beyond_meshes(objects)
    return [
        _workload(ref, copies.get(ref, ()), makers.get(ref), in_mesh=ref.namespace not in beyond)
        for ref in {**makers, **copies}
    ]


def meshed(pod: Pod) -> bool:
    """Whether a mesh's proxy has the pod's traffic."""
    return pod.annotations.get(REDIRECTION) == "enabled" or any(one.name in PROXIES for one in pod.containers)


def _workload(ref: WorkloadRef, pods: Sequence[Pod], maker: Controller | None, *, in_mesh: bool) -> Workload:
    one = pods[0] if pods else maker
    assert one is not None
    is_gateway = any(container.role == ROUTER for container in one.containers)
    return Workload(
        ref=ref,
        kind=NodeKind.GATEWAY if is_gateway else NodeKind.WORKLOAD,
        replicas=len(pods),
        service_account=one.service_account,
        labels=_shared([pod.labels for pod in pods] or [one.labels]),
        annotations={**(maker.annotations if maker else {}), **_shared([pod.annotations for pod in pods])},
        badges=tuple(_badges(pods, in_mesh=in_mesh)),
        available=maker.available if maker else sum(pod.ready for pod in pods),
        desired=maker.desired if maker else None,
    )


def _badges(pods: Sequence[Pod], *, in_mesh: bool) -> Iterator[str]:
    if pods and all(pod.annotations.get(REDIRECTION) == "enabled" for pod in pods):
        yield "ambient"
    if in_mesh and not all(meshed(pod) for pod in pods):
        yield "no-sidecar"


def _beyond_meshes(objects: ClusterObjects) -> Collection[str]:
    """Name the namespaces whose pods nobody expects in a mesh: all of them, where there is none."""
    if not any(meshed(pod) for pod in objects.pods):
        return {pod.namespace for pod in objects.pods}
    return PLATFORM | {pod.namespace for pod in objects.pods if _controls(pod)}


def _controls(pod: Pod) -> bool:
    """Whether it is part of a mesh's control plane."""
    return LINKERD_CONTROL in pod.labels or any(container.name == ISTIOD for container in pod.containers)


def _shared(pairs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Keep what all copies carry, which is what is said of the workload."""
    if not pairs:
        return {}
    shared = set(pairs[0].items()).intersection(*(one.items() for one in pairs[1:]))
    return {name: value for name, value in sorted(shared) if name not in OF_ONE_COPY}
