"""Services: the table and one service in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from collectors.inventory.objects import part
from console.clusters import object_of
from console.courses import courses_of
from console.pages.listing import TRACES_SHOWN, WINDOW_S, Pages, Subject, spans
from console.recent import recent
from console.views import links
from console.views import services as views
from console.views.applied import Applied, applied, applied_in_cluster
from console.views.listing import Row
from console.views.reasons import Reasons
from console.views.shiftable import shiftable
from console.widgets import services as widgets
from graph.health import Direction
from graph.model import GraphType, Node, NodeKind, ServiceRef
from graph.ports import TraceQuery
from mesh_runtime.api.objects import CLUSTER, ObjectKey

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

PATH = "/services"
TITLE = "Services"


def _rows(console: Console) -> Sequence[Row]:
    services = console.live.snapshot(GraphType.SERVICE, WINDOW_S)
    reasons = Reasons(services, console.live.tolerances)
    return views.rows(services, console.live.inventoried, _shiftable(console), reasons)


def _shiftable(console: Console) -> Mapping[str, tuple[str, ...]]:
    return shiftable(console.live.snapshot(GraphType.VERSIONED_APP, WINDOW_S), console.store.current)


async def _detail(console: Console, subject: Subject) -> list[Component]:
    services = console.live.snapshot(GraphType.SERVICE, WINDOW_S)
    called = (subject.namespace, subject.name)
    found = {
        node.cluster: node
        for node in services.nodes.values()
        if (node.namespace, node.service) == called and subject.cluster in {"", node.cluster}
    }
    if len(found) > 1:
        return PAGES.several(subject, {cluster: links.service(*called, cluster) for cluster in found})
    declared = any((one.key.namespace, one.key.name) == called for one in console.store.current.of("Service"))
    if not found and not (declared and subject.cluster in {"", CLUSTER}):
        return PAGES.missing(subject)
    node = next(iter(found.values()), None)
    return await _one(console, subject, node)


async def _one(console: Console, subject: Subject, node: Node | None) -> list[Component]:
    services = console.live.snapshot(GraphType.SERVICE, WINDOW_S)
    ref = ServiceRef(node.cluster if node else CLUSTER, subject.namespace, subject.name)
    outside = node is not None and node.kind is NodeKind.EXTERNAL
    query = TraceQuery(namespace=ref.namespace, app=ref.name, limit=TRACES_SHOWN)
    courses = await courses_of(console, GraphType.SERVICE, node.id if node else "", subject.span_s)
    view = views.detail(
        node,
        ref,
        services=services,
        workloads=console.live.snapshot(GraphType.WORKLOAD, WINDOW_S),
        course=courses[Direction.INBOUND],
        span_s=subject.span_s,
        reason=Reasons(services, console.live.tolerances).of(node) if node else "",
        known=console.live.inventoried.services.get(ref),
        selector=_selector(console, ref),
        config=_config(console, ref),
        traces=() if outside else await recent(console, query),
        shiftable=_shiftable(console),
        now_ms=console.clock.now_ms(),
    )
    href = links.service(subject.namespace, subject.name, subject.cluster)
    return widgets.detail(view, await spans(console, subject, href))


def _selector(console: Console, ref: ServiceRef) -> Mapping[str, str]:
    """The labels by which its Service finds workloads."""
    key = ObjectKey("", "Service", ref.namespace, ref.name)
    cluster = console.clusters.find(ref.cluster)
    declared = cluster.declared.get(key) if cluster else console.store.current.objects.get(key)
    return part(part(declared.manifest, "spec"), "selector") if declared else {}


def _config(console: Console, ref: ServiceRef) -> tuple[Applied, ...]:
    if cluster := console.clusters.find(ref.cluster):
        objects = [object_of(one) for one in cluster.declared.values()]
        return applied_in_cluster(objects, ref.cluster, ref.namespace, _selector(console, ref), (ref.name,))
    return applied(console.store.current, ref.namespace, ref.name) if ref.cluster == CLUSTER else ()


PAGES = Pages(one="service", many="services", rows=_rows, table=widgets.listing, detail=_detail)
show, register = PAGES.show, PAGES.register
