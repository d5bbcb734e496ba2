"""What a cluster's objects say of its workloads, in the words of its mesh's metrics."""

from __future__ import annotations

from typing import Any

import pytest

from collectors.dialects import istio
from collectors.kubernetes.objects import ClusterObjects, controller, declared, pod
from collectors.kubernetes.targets import targets
from collectors.kubernetes.workloads import inventory_in, own_name, workloads_of
from collectors.scrape.config import ScrapeConfig
from collectors.scrape.targets import targets_of
from graph.model import NodeKind, ServiceRef, WorkloadRef

Manifest = dict[str, Any]


def a_pod(name: str = "front-5d8f9c-x7x2p", **changes: Any) -> Manifest:
    """A pod of a Deployment, running and ready."""
    changes = {"labels": {"app": "front", "version": "v1"}, "owner": ("ReplicaSet", "front-5d8f9c")} | changes
    kind, owner = changes["owner"]
    return {
        "metadata": {
            "name": name,
            "generateName": name[:-5],
            "namespace": "shop",
            "labels": changes["labels"] | {"pod-template-hash": "5d8f9c"},
            "annotations": changes.get("annotations", {}),
            "ownerReferences": [{"kind": kind, "name": owner, "controller": True}],
        },
        "spec": {
            "serviceAccountName": "front",
            "containers": [{"name": one} for one in changes.get("containers", ("app", "istio-proxy"))],
            "initContainers": changes.get("init", []),
        },
        "status": {
            "phase": changes.get("phase", "Running"),
            "podIP": changes.get("address", "10.0.0.7"),
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def a_deployment(**changes: Any) -> Manifest:
    """A Deployment of two."""
    labels = changes.get("labels", {"app": "front", "version": "v1"})
    return {
        "metadata": {"name": "front", "namespace": "shop"},
        "spec": {
            "replicas": 2,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": changes.get("containers", [])}},
        },
        "status": {"availableReplicas": 1},
    }


def found(*pods: Manifest, controllers: tuple[tuple[str, Manifest], ...] = ()) -> ClusterObjects:
    """What is kept of them."""
    return ClusterObjects(
        pods=[pod("v1", "Pod", one) for one in pods],
        controllers=[controller("apps/v1", kind, one) for kind, one in controllers],
    )


@pytest.mark.parametrize(
    ("kind", "owner", "workload"),
    [
        ("ReplicaSet", "front-5d8f9c", "front"),
        ("ReplicaSet", "front", "front"),
        ("StatefulSet", "db", "db"),
        ("DaemonSet", "agent", "agent"),
        ("Job", "backup-29000000", "backup"),
        ("Job", "migrate", "migrate"),
    ],
)
def test_a_pod_is_a_copy_of_the_workload_that_istio_names_in_its_metrics(kind: str, owner: str, workload: str) -> None:
    [one] = workloads_of(found(a_pod(owner=(kind, owner))), "prod")
    assert one.ref == WorkloadRef("prod", "shop", workload, "front", "v1")


@pytest.mark.parametrize("version", ["v1", "latest"])
def test_it_is_the_workload_that_istios_metrics_speak_of(version: str) -> None:
    written = {
        "reporter": "destination",
        "source_workload": "unknown",
        "destination_cluster": "prod",
        "destination_workload": "front",
        "destination_workload_namespace": "shop",
        "destination_canonical_service": "front",
        "destination_canonical_revision": version,
    }
    read = istio.read("istio_requests_total", written, "prod")
    labels = {"app": "front"} | ({"version": version} if version != "latest" else {})
    [one] = workloads_of(found(a_pod(labels=labels)), "prod")
    assert read
    assert read[0].edge.target == one.ref


def test_a_workload_is_known_by_its_pods_and_by_what_makes_them() -> None:
    [one] = workloads_of(found(a_pod(), controllers=(("Deployment", a_deployment()),)), "prod")
    assert (one.replicas, one.available, one.desired, one.service_account) == (1, 1, 2, "front")
    assert one.labels == {"app": "front", "version": "v1"}


def test_a_workload_without_pods_is_known_and_two_versions_in_a_rollout_are_two() -> None:
    newer = a_deployment(labels={"app": "front", "version": "v2"})
    seen = {
        one.ref.version: one.replicas for one in workloads_of(found(a_pod(), controllers=(("Deployment", newer),)), "c")
    }
    assert seen == {"v1": 1, "v2": 0}


def test_istios_latest_is_no_version() -> None:
    [one] = workloads_of(found(a_pod(labels={"app": "front", "version": "latest"})), "prod")
    assert one.ref.version == ""


def test_pods_that_have_ended_are_no_replicas() -> None:
    assert not workloads_of(found(a_pod(phase="Succeeded")), "prod")


@pytest.mark.parametrize(
    ("changes", "badges"),
    [
        ({}, ()),
        ({"containers": ("app",)}, ("no-sidecar",)),
        ({"containers": ("app", "linkerd-proxy")}, ()),
        ({"containers": ("app",), "init": [{"name": "istio-proxy", "restartPolicy": "Always"}]}, ()),
        ({"containers": ("app",), "init": [{"name": "istio-proxy"}]}, ("no-sidecar",)),
        ({"containers": ("app",), "annotations": {"ambient.istio.io/redirection": "enabled"}}, ("ambient",)),
    ],
)
def test_it_is_told_who_has_a_proxy(changes: Manifest, badges: tuple[str, ...]) -> None:
    other = a_pod("back-1", labels={"app": "back"}, owner=("DaemonSet", "back"))
    seen = {one.ref.app: one.badges for one in workloads_of(found(a_pod(**changes), other), "prod")}
    assert seen["front"] == badges


def test_nobody_misses_a_sidecar_where_there_is_no_mesh() -> None:
    [one] = workloads_of(found(a_pod(containers=("app",))), "prod")
    assert one.badges == ()


def test_a_proxy_that_routes_is_a_gateway() -> None:
    item = a_pod(containers=())
    item["spec"]["containers"] = [{"name": "istio-proxy", "args": ["proxy", "router", "--domain", "x"]}]
    [one] = workloads_of(found(item), "prod")
    assert one.kind is NodeKind.GATEWAY


def test_a_cluster_is_called_as_its_istiod_calls_it() -> None:
    istiod = a_deployment(containers=[{"name": "discovery", "env": [{"name": "CLUSTER_ID", "value": "east"}]}])
    assert own_name(found(controllers=(("Deployment", istiod),))) == "east"


def test_services_find_their_workloads_and_long_annotations_are_not_kept() -> None:
    item = {
        "metadata": {
            "name": "front",
            "namespace": "shop",
            "resourceVersion": "7",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "managedFields": [
                {"manager": "helm", "time": "2026-11-20T10:00:00Z"},
                {"manager": "kubectl", "time": "2026-11-21T10:00:00Z"},
                {"manager": "kube-controller-manager", "time": "2026-11-22T10:00:00Z", "subresource": "status"},
            ],
        },
        "spec": {"selector": {"app": "front"}, "ports": [{"name": "grpc", "port": 80}]},
        "status": {"loadBalancer": {}},
    }
    kept = declared("v1", "Service", item)
    assert kept.manifest == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front", "namespace": "shop"},
        "spec": item["spec"],
    }
    assert (kept.changed_by, kept.version) == ("kubectl", "7")
    known = inventory_in(ClusterObjects(pods=found(a_pod()).pods, declared=[kept]), "prod")
    front = known.services[ServiceRef("prod", "shop", "front")]
    assert (front.ports, [ref.workload for ref in front.workloads]) == ({80: "grpc"}, ["front"])


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "http://10.0.0.7:15090/stats/prometheus"),
        ({"containers": ("app", "linkerd-proxy")}, "http://10.0.0.7:4191/metrics"),
        ({"address": "fd00::7"}, "http://[fd00::7]:15090/stats/prometheus"),
        (
            {
                "containers": ("istio-proxy-ztunnel",),
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "15020"},
            },
            "http://10.0.0.7:15020/metrics",
        ),
    ],
)
def test_each_pods_page_of_metrics_is_found(changes: Manifest, url: str) -> None:
    groups = list(targets(found(a_pod(**changes)).pods, "prod"))
    [page] = targets_of(groups, ScrapeConfig(targets=("unused",)))
    assert page.url == url
    assert {"cluster": "prod", "namespace": "shop", "deployment": "front"}.items() <= dict(page.labels).items()


def test_pods_without_metrics_or_address_are_no_targets() -> None:
    bare = [a_pod(containers=("app",)), a_pod(address=""), a_pod(phase="Pending")]
    assert not list(targets(found(*bare).pods, "prod"))
