"""The inventory that config and workloads amount to, the same for the bundled mesh and for any Kubernetes cluster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from collectors.inventory.gateways import as_gateway, is_waypoint
from collectors.inventory.objects import CORE, Manifest, Object, Objects
from collectors.inventory.outside import entry_services, entry_workloads
from collectors.inventory.registry import DEFAULT_CLUSTER
from collectors.inventory.routing import Routing, subset_badges
from collectors.inventory.services import NOT_TOLD, Endpoints, services_of
from graph.health import ANNOTATION
from graph.model import Inventory, NodeKind, Service, Workload, WorkloadRef

DATAPLANE_MODE = "istio.io/dataplane-mode"
"""The label by which a namespace or a workload is in ambient mode."""


def inventory_of(
    manifests: Iterable[Manifest],
    workloads: Iterable[Workload],
    *,
    cluster: str = DEFAULT_CLUSTER,
    endpoints: Mapping[tuple[str, str], Endpoints] = NOT_TOLD,
) -> Inventory:
    """Say what exists in one cluster, with a badge for each thing that config does to it. Pure.

    ``manifests`` are objects as Kubernetes' API serves them: Services, Namespaces, Istio's networking kinds and the
    Gateway API's; of any other kind nothing is read. ``workloads`` are what runs, with the labels and annotations of
    its pods; whoever knows that one has no sidecar gives it the badge ``no-sidecar``. ``endpoints`` are those of Services,
    by namespace and name; of one that is not among them it is not known who answers.
    """
    objects = Objects(manifests)
    namespaces = {one.name: one for one in objects.of(CORE, "Namespace")}
    known = [_completed(one, objects, namespaces.get(one.ref.namespace)) for one in _all(workloads, objects, cluster)]
    services = [
        replace(one, annotations={**_inherited(namespaces.get(one.ref.namespace)), **one.annotations})
        for one in (*services_of(objects, known, cluster, endpoints), *entry_services(objects, known, cluster))
    ]
    return _decorated(known, services, Routing(objects))


def _all(workloads: Iterable[Workload], objects: Objects, cluster: str) -> Iterable[Workload]:
    """List what runs, and what entries stand for; what is both is what runs."""
    found = {one.ref: one for one in entry_workloads(objects, cluster)}
    for one in workloads:
        entry = found.get(one.ref)
        found[one.ref] = (
            replace(one, entries=entry.entries, badges=_union(one.badges, ("workload-entry",))) if entry else one
        )
    return found.values()


def _completed(workload: Workload, objects: Objects, namespace: Object | None) -> Workload:
    """Add what its namespace and the Gateways say of a workload."""
    one = as_gateway(workload, objects)
    mode = one.labels.get(DATAPLANE_MODE) or (namespace.labels.get(DATAPLANE_MODE) if namespace else "")
    how = ("waypoint",) if is_waypoint(one) else ("ambient",) if mode == "ambient" else ()
    needless = how or one.kind is NodeKind.GATEWAY
    return replace(
        one,
        badges=_union(tuple(badge for badge in one.badges if not needless or badge != "no-sidecar"), how),
        annotations={**_inherited(namespace), **one.annotations},
    )


def _inherited(namespace: Object | None) -> dict[str, str]:
    """What a namespace's annotation says of everything in it: by which tolerances to judge."""
    return {ANNOTATION: namespace.annotations[ANNOTATION]} if namespace and ANNOTATION in namespace.annotations else {}


def _decorated(workloads: Sequence[Workload], services: Sequence[Service], routing: Routing) -> Inventory:
    """Give services, and the workloads behind them, the badges of what config does to their traffic."""
    known = {one.ref: one for one in workloads}
    added: defaultdict[WorkloadRef, tuple[str, ...]] = defaultdict(tuple)
    databases: set[WorkloadRef] = set()
    found = {}
    for service in services:
        effects = routing.of(service.hosts)
        shared = tuple(effects.badges)
        of_some = tuple(badge for _, badge in effects.of_subsets)
        found[service.ref] = replace(
            service,
            badges=_union(service.badges, (*shared, *of_some)),
            routes=_union(service.routes, tuple(effects.routes)),
        )
        for ref in service.workloads:
            added[ref] = _union(added[ref], (*shared, *subset_badges(effects, known[ref].labels)))
        if service.kind is NodeKind.DATABASE:
            databases.update(service.workloads)
    return Inventory(
        workloads={
            ref: replace(
                one,
                badges=_union(one.badges, added[ref]),
                kind=NodeKind.DATABASE if ref in databases and one.kind is NodeKind.WORKLOAD else one.kind,
            )
            for ref, one in known.items()
        },
        services=found,
    )


def _union(some: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*some, *more)))
