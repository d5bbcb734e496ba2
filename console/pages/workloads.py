"""Workloads: the table and one workload in detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from console.clusters import object_of
from console.courses import courses_of
from console.pages.listing import TRACES_SHOWN, WINDOW_S, Pages, Subject, spans
from console.pages.proxies import labels_of
from console.recent import recent
from console.views import certificates, instances, links, proxies
from console.views import workloads as views
from console.views.applied import Applied, applied_in_cluster, applied_to_workload
from console.views.instances import Instance
from console.views.item import is_workload
from console.views.listing import Row
from console.views.reasons import Reasons
from console.views.shiftable import shiftable
from console.widgets import workloads as widgets
from graph.model import GraphType, Node
from graph.ports import TraceQuery
from mesh_runtime.api.objects import CLUSTER

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/workloads"
TITLE = "Workloads"


def _rows(console: Console) -> Sequence[Row]:
    workloads = console.live.snapshot(GraphType.WORKLOAD, WINDOW_S)
    return views.rows(workloads, console.live.inventoried, Reasons(workloads, console.live.tolerances))


async def _detail(console: Console, subject: Subject) -> list[Component]:
    called = (subject.namespace, subject.name)
    found = {
        node.cluster: node
        for node in console.live.snapshot(GraphType.WORKLOAD, WINDOW_S).nodes.values()
        if is_workload(node) and (node.namespace, node.workload) == called and subject.cluster in {"", node.cluster}
    }
    if len(found) > 1:
        return PAGES.several(subject, {cluster: links.workload(*called, cluster) for cluster in found})
    for node in found.values():
        return await _one(console, subject, node)
    return PAGES.missing(subject)


async def _one(console: Console, subject: Subject, node: Node) -> list[Component]:
    workloads = console.live.snapshot(GraphType.WORKLOAD, WINDOW_S)
    versioned = console.live.snapshot(GraphType.VERSIONED_APP, WINDOW_S)
    known = views.known_as(console.live.inventoried, node)
    services = views.services_of(console.live.inventoried, known)
    query = TraceQuery(
        namespace=node.namespace, app=node.app or node.workload, version=node.version, limit=TRACES_SHOWN
    )
    view = views.detail(
        node,
        workloads=workloads,
        courses=await courses_of(console, GraphType.WORKLOAD, node.id, subject.span_s),
        span_s=subject.span_s,
        reason=Reasons(workloads, console.live.tolerances).of(node, known),
        known=known,
        services=services,
        instances=_instances(console, node),
        config=_config(console, node, services),
        traces=await recent(console, query),
        shiftable=shiftable(versioned, console.store.current),
        now_ms=console.clock.now_ms(),
    )
    href = links.workload(subject.namespace, subject.name, subject.cluster)
    return widgets.detail(view, await spans(console, subject, href))


def _instances(console: Console, node: Node) -> tuple[Instance, ...]:
    """The pods of a cluster's workload, or the proxies of one of the bundled mesh."""
    name = (node.namespace, node.workload)
    if cluster := console.clusters.find(node.cluster):
        pods = [one for one in cluster.objects.pods if one.runs and (one.namespace, one.owner.name) == name]
        return tuple(instances.of_pod(one) for one in sorted(pods, key=lambda one: one.name))
    control, labels, now_ms = console.control, labels_of(console), console.clock.now_ms()
    signed = {one.instance_id: certificates.row(one, control.rotation, now_ms) for one in control.certificates()}
    return tuple(
        instances.of_proxy(
            proxies.row(one, labels.get(one.instance_id, {}), console.store.current), signed.get(one.instance_id)
        )
        for one in control.status()
        if (one.namespace, one.workload) == name
    )


def _config(console: Console, node: Node, services: Sequence[str]) -> tuple[Applied, ...]:
    labels = dict(node.labels)
    if cluster := console.clusters.find(node.cluster):
        objects = [object_of(one) for one in cluster.declared.values()]
        return applied_in_cluster(objects, node.cluster, node.namespace, labels, services)
    if node.cluster != CLUSTER:
        return ()
    return applied_to_workload(console.store.current, node.namespace, labels, services)


PAGES = Pages(one="workload", many="workloads", rows=_rows, table=widgets.listing, detail=_detail)
show, register = PAGES.show, PAGES.register
