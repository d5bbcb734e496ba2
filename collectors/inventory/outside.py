"""What config declares and nobody started here: ServiceEntries' hosts, WorkloadEntries' workloads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from collectors.inventory.objects import ISTIO, Manifest, Object, Objects, part, parts, selects, texts
from graph.model import NodeKind, Service, ServiceRef, Workload, WorkloadRef

INTERNAL = "MESH_INTERNAL"
GROUP = "istio.io/autoRegistrationGroup"
"""The annotation of WorkloadEntries that workloads made by themselves."""
NAMES = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
VERSIONS = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
TLS_MODE = "security.istio.io/tlsMode"


def entry_workloads(objects: Objects, cluster: str) -> list[Workload]:
    """List the workloads that WorkloadEntries stand for, named as Istio names them: by group, else by entry.

    One that has not registered itself has no sidecar, unless its label says that it takes mutual TLS.
    """
    groups = {(one.namespace, one.name): one for one in objects.of(ISTIO, "WorkloadGroup")}
    copies: defaultdict[tuple[str, str], list[Object]] = defaultdict(list)
    for one in objects.of(ISTIO, "WorkloadEntry"):
        copies[one.namespace, one.annotations.get(GROUP) or one.name].append(one)
    return [_workload(place, entries, groups.get(place), cluster) for place, entries in copies.items()]


def _workload(place: tuple[str, str], entries: Sequence[Object], group: Object | None, cluster: str) -> Workload:
    namespace, name = place
    spec = entries[0].spec
    labels = {**entries[0].labels, **part(spec, "labels")}
    meshed = GROUP in entries[0].annotations or labels.get(TLS_MODE) == "istio"
    return Workload(
        ref=WorkloadRef(cluster, namespace, name, first_label(NAMES, labels) or name, first_label(VERSIONS, labels)),
        kind=NodeKind.WORKLOAD,
        replicas=len(entries),
        service_account=str(spec.get("serviceAccount", "")),
        labels=labels,
        annotations={**(part(part(group.spec, "metadata"), "annotations") if group else {}), **entries[0].annotations},
        badges=("workload-entry",) if meshed else ("workload-entry", "no-sidecar"),
        entries=tuple(sorted(one.name for one in entries)),
    )


def entry_services(objects: Objects, workloads: Sequence[Workload], cluster: str) -> Iterator[Service]:
    """Yield a service for each host of each ServiceEntry."""
    for one in objects.of(ISTIO, "ServiceEntry"):
        location = str(one.spec.get("location") or "MESH_EXTERNAL")
        selector = part(part(one.spec, "workloadSelector"), "labels")
        behind = [
            workload.ref
            for workload in workloads
            if workload.ref.namespace == one.namespace and selects(selector, workload.labels)
        ]
        for host in texts(one.spec, "hosts"):
            yield Service(
                ref=ServiceRef(cluster, one.namespace, host),
                kind=NodeKind.SERVICE if location == INTERNAL else NodeKind.EXTERNAL,
                hosts=(host,),
                workloads=tuple(behind),
                ports={port["number"]: str(port.get("protocol", "")).lower() for port in _ports(one)},
                badges=("service-entry",),
                labels=one.labels,
                annotations=one.annotations,
                location=location,
                entry=one.name,
                addresses=tuple(_addresses(one)),
            )


def _ports(entry: Object) -> Iterator[Manifest]:
    return (port for port in parts(entry.spec, "ports") if isinstance(port.get("number"), int))


def _addresses(entry: Object) -> Iterator[str]:
    yield from texts(entry.spec, "addresses")
    yield from (str(one["address"]) for one in parts(entry.spec, "endpoints") if one.get("address"))


def first_label(names: Sequence[str], labels: Mapping[str, str]) -> str:
    """Return the value of the first of these labels that has one; ``""``: none has."""
    return next((labels[name] for name in names if labels.get(name)), "")
