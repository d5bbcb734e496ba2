"""What is kept of a cluster's objects: little of each, since there are many."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from typing import Any, NamedTuple

LONGEST_ANNOTATION = 1000
"""Longer ones are other programs' notes."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

SERVICE_NAME = "kubernetes.io/service-name"
"""The label that names an EndpointSlice's Service."""

_CRON_JOB = re.compile(r"(.+)-\d{8,10}")

JsonObject = Mapping[str, Any]


class Owner(NamedTuple):
    """The workload behind a pod."""

    kind: str
    name: str


class Port(NamedTuple):
    """A port of a container."""

    name: str
    number: int


class Container(NamedTuple):
    """A container of a pod. Sidecars may be among the init containers."""

    name: str
    ports: tuple[Port, ...]
    role: str
    """The first words of its command line that are no options, as in ``proxy router``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod."""

    namespace: str
    name: str
    owner: Owner
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    service_account: str
    containers: tuple[Container, ...]
    addresses: tuple[str, ...] = ()
    """Its IP addresses, the first one first; none until it has one."""
    node: str = ""
    host: str = ""
    """The node's own address."""
    on_host_network: bool = False
    """Its addresses are the node's."""
    phase: str = ""
    ready: bool = False
    leaving: bool = False
    """It was told to end."""

    @property
    def address(self) -> str:
        """Its IP address; empty until it has one."""
        return self.addresses[0] if self.addresses else ""

    @property
    def holds_address(self) -> bool:
        """Whether its addresses are still its own: of what has ended they are given to others."""
        return self.phase in {"Pending", "Running", "Unknown"}

    @property
    def runs(self) -> bool:
        """Whether it is, or is about to be, one of its workload's replicas."""
        return self.holds_address and not self.leaving


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """What makes pods: Deployment, StatefulSet, DaemonSet, Job or CronJob."""

    namespace: str
    owner: Owner
    labels: Mapping[str, str]
    """Of the pods that it makes."""
    annotations: Mapping[str, str]
    """Of the pods that it makes, and its own."""
    service_account: str
    containers: tuple[Container, ...]
    desired: int | None = None
    available: int | None = None
    finished: bool = False
    """A Job that is done, or that a CronJob made."""
    cluster_id: str = ""
    """Of an istiod: what it calls the cluster."""


class Endpoint(NamedTuple):
    """Who answers for a Service."""

    addresses: tuple[str, ...]
    ready: bool
    pod: str
    """In the Service's namespace; empty: no pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """An EndpointSlice: some of a Service's endpoints, all at the same ports."""

    namespace: str
    service: str
    ports: tuple[int, ...]
    endpoints: tuple[Endpoint, ...]
    """Without those that are about to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A Namespace, a Service, or an object of a mesh's config."""

    group: str
    kind: str
    namespace: str
    name: str
    manifest: JsonObject = field(repr=False)
    """``apiVersion``, ``kind``, ``metadata`` and what follows, without what the server writes into it."""
    status: JsonObject = field(repr=False)
    version: str
    """Its ``resourceVersion``: a writer who has seen this one names it."""
    changed_by: str = ""
    """Who last wrote it: a field manager."""
    changed_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterObjects:
    """All that is known of a cluster at one moment."""

    pods: Sequence[Pod] = ()
    controllers: Sequence[Controller] = ()
    declared: Sequence[Declared] = ()
    slices: Sequence[Slice] = ()


def pod(_api_version: str, _kind: str, item: JsonObject) -> Pod:
    """Keep a Pod."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    return Pod(
        namespace=intern(metadata["namespace"]),
        name=metadata["name"],
        owner=_owner(metadata),
        labels=_pairs(metadata.get("labels")),
        annotations=_pairs(metadata.get("annotations")),
        service_account=intern(spec.get("serviceAccountName", "")),
        containers=_containers(spec),
        addresses=_addresses(status),
        node=intern(spec.get("nodeName") or ""),
        host=intern(status.get("hostIP", "")),
        on_host_network=bool(spec.get("hostNetwork")),
        phase=intern(status.get("phase", "")),
        ready=any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ()),
        leaving="deletionTimestamp" in metadata,
    )


def controller(_api_version: str, kind: str, item: JsonObject) -> Controller:
    """Keep a Deployment, StatefulSet, DaemonSet, Job or CronJob."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    template = spec["jobTemplate"]["spec"]["template"] if kind == "CronJob" else spec["template"]
    made = template.get("metadata") or {}
    desired, available = _replicas(kind, spec, status)
    return Controller(
        namespace=intern(metadata["namespace"]),
        owner=Owner(kind, metadata["name"]),
        labels=_pairs(made.get("labels")),
        annotations=_pairs({**(metadata.get("annotations") or {}), **(made.get("annotations") or {})}),
        service_account=intern(template["spec"].get("serviceAccountName", "")),
        containers=_containers(template["spec"]),
        desired=desired,
        available=available,
        finished=kind == "Job" and (bool(metadata.get("ownerReferences")) or _is_done(status)),
        cluster_id=_cluster_id(template["spec"]),
    )


def endpoint_slice(_api_version: str, _kind: str, item: JsonObject) -> Slice:
    """Keep an EndpointSlice; what it does not say of readiness means ready, says its API."""
    metadata = item["metadata"]
    told = [(one, one.get("conditions") or {}) for one in item.get("endpoints") or ()]
    return Slice(
        namespace=intern(metadata["namespace"]),
        service=intern((metadata.get("labels") or {}).get(SERVICE_NAME, "")),
        ports=tuple(one["port"] for one in item.get("ports") or () if one.get("port")),
        endpoints=tuple(
            Endpoint(tuple(one["addresses"]), conditions.get("ready") is not False, _pod_of(one))
            for one, conditions in told
            if not conditions.get("terminating")
        ),
    )


def declared(api_version: str, kind: str, item: JsonObject) -> Declared:
    """Keep a Namespace, a Service, or an object of a mesh's config."""
    metadata = item["metadata"]
    annotations = {name: text for name, text in (metadata.get("annotations") or {}).items() if name != LAST_APPLIED}
    shown = {
        "name": metadata["name"],
        "namespace": metadata.get("namespace", ""),
        "labels": metadata.get("labels"),
        "annotations": annotations,
    }
    own = {name: value for name, value in item.items() if name not in {"apiVersion", "kind", "metadata", "status"}}
    changed_by, changed_ms = _last_write(metadata)
    return Declared(
        group=api_version.rpartition("/")[0],
        kind=kind,
        namespace=shown["namespace"],
        name=shown["name"],
        manifest={
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {name: value for name, value in shown.items() if value},
            **own,
        },
        status=item.get("status") or {},
        version=metadata["resourceVersion"],
        changed_by=changed_by,
        changed_ms=changed_ms,
    )


def _owner(metadata: JsonObject) -> Owner:
    """Name the workload as Istio does, whose metrics carry its name: of what lies between, only the pod tells.

    https://github.com/istio/istio/blob/master/pkg/kube/controllers (``GetWorkloadMetaFromPod``)
    """
    found = next((one for one in metadata.get("ownerReferences") or () if one.get("controller")), None)
    if found is None or "generateName" not in metadata:
        return Owner("Pod", metadata["name"])
    labels: Mapping[str, str] = metadata.get("labels") or {}
    kind, name = found["kind"], found["name"]
    for label, maker in (("pod-template-hash", "Deployment"), ("rollouts-pod-template-hash", "Rollout")):
        made_by, _, revision = name.rpartition("-")
        if kind == "ReplicaSet" and revision and labels.get(label) == revision:
            return Owner(maker, intern(made_by))
    if kind == "ReplicationController" and "deploymentconfig" in labels:
        return Owner("DeploymentConfig", intern(labels["deploymentconfig"]))
    if kind == "Job" and (scheduled := _CRON_JOB.fullmatch(name)):
        return Owner("CronJob", intern(scheduled[1]))
    return Owner(intern(kind), intern(name))


def _addresses(status: JsonObject) -> tuple[str, ...]:
    listed = tuple(one["ip"] for one in status.get("podIPs") or ())
    return listed or ((status["podIP"],) if status.get("podIP") else ())


def _pod_of(endpoint: JsonObject) -> str:
    target = endpoint.get("targetRef") or {}
    return target.get("name", "") if target.get("kind") == "Pod" else ""


def _containers(spec: JsonObject) -> tuple[Container, ...]:
    native = (one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always")
    return tuple(
        Container(
            intern(one["name"]),
            tuple(Port(intern(port.get("name", "")), port["containerPort"]) for port in one.get("ports") or ()),
            intern(" ".join(_words(one.get("args") or ()))),
        )
        for one in (*spec["containers"], *native)
    )


def _words(arguments: Sequence[str]) -> Iterator[str]:
    for argument in arguments[:2]:
        if argument.startswith("-"):
            return
        yield argument


def _replicas(kind: str, spec: JsonObject, status: JsonObject) -> tuple[int | None, int | None]:
    if kind in {"Deployment", "StatefulSet"}:
        return spec.get("replicas", 1), status.get("availableReplicas", 0)
    if kind == "DaemonSet":
        return status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    return None, None


def _is_done(status: JsonObject) -> bool:
    conditions = status.get("conditions") or ()
    return any(one["type"] in {"Complete", "Failed"} and one["status"] == "True" for one in conditions)


def _cluster_id(spec: JsonObject) -> str:
    """Find what an istiod calls its cluster: https://istio.io/latest/docs/reference/commands/pilot-discovery/."""
    istiods = (one for one in spec["containers"] if one["name"] == "discovery")
    return next(
        (
            variable.get("value", "")
            for one in istiods
            for variable in one.get("env") or ()
            if variable["name"] == "CLUSTER_ID"
        ),
        "",
    )


def _last_write(metadata: JsonObject) -> tuple[str, int]:
    """Tell who last changed an object beside its status, and when."""
    writes = [one for one in metadata.get("managedFields") or () if not one.get("subresource") and one.get("time")]
    if not writes:
        return "", _unix_ms(metadata.get("creationTimestamp"))
    newest = max(writes, key=lambda one: str(one["time"]))
    return newest.get("manager", ""), _unix_ms(newest["time"])


def _unix_ms(text: str | None) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000) if text else 0


def _pairs(pairs: Mapping[str, str] | None) -> Mapping[str, str]:
    """Keep labels or annotations; most are the same as many others'."""
    return {
        intern(name): intern(value)
        for name, value in (pairs or {}).items()
        if len(value) <= LONGEST_ANNOTATION and name != LAST_APPLIED
    }
