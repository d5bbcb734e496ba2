"""Health of nodes and edges out of the graph's own traffic, by Kiali's rules and in its form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from graph.health import (
    ANNOTATION,
    PRIORITY,
    Direction,
    Item,
    Tolerance,
    judge_rates,
    judge_workload,
    tolerances_of,
    worst,
)
from graph.kiali.existing import Existing
from graph.kiali.form import APP_HEALTH
from graph.kiali.traffic import Traffic, TrafficEdge, TrafficNode, is_ok
from graph.model import Health, Workload

WORDS = {
    Health.FAILURE: "Failure",
    Health.DEGRADED: "Degraded",
    Health.NOT_READY: "Not Ready",
    Health.HEALTHY: "Healthy",
    Health.IDLE: "NA",
}
Rates = Mapping[str, Mapping[str, float]]


def append_health(traffic: Traffic, existing: Existing, tolerances: Sequence[Tolerance]) -> None:
    """Judge edges and nodes."""
    annotations = {id_: _annotation(node, existing) for id_, node in traffic.nodes.items()}
    inbound: dict[str, dict[str, dict[str, float]]] = {id_: {} for id_ in traffic.nodes}
    outbound: dict[str, dict[str, dict[str, float]]] = {id_: {} for id_ in traffic.nodes}
    for edge in traffic.edges():
        codes = _codes(edge)
        for side, node in ((outbound, edge.source), (inbound, edge.target)):
            so_far = side[node.id].setdefault(edge.protocol, {})
            for code, rate in codes.items():
                so_far[code] = so_far.get(code, 0.0) + rate
        if codes:
            edge.data["healthStatus"] = WORDS[_judge_edge(edge, codes, annotations, tolerances)]
    for id_, node in traffic.nodes.items():
        if node.type in {"app", "workload", "service"}:
            node.data["healthData"] = _judged(
                node, existing, annotations[id_], (inbound[id_], outbound[id_]), tolerances
            )
    _judge_apps(traffic, existing, (inbound, outbound), tolerances)


def _judge_apps(
    traffic: Traffic,
    existing: Existing,
    sides: tuple[Mapping[str, Rates], Mapping[str, Rates]],
    tolerances: Sequence[Tolerance],
) -> None:
    """Judge each app of which versions are drawn as a whole, for the box around them."""
    apps: defaultdict[tuple[str, str, str], list[TrafficNode]] = defaultdict(list)
    for node in traffic.nodes.values():
        if node.type == "app" and is_ok(node.workload):
            apps[node.cluster, node.namespace, node.app].append(node)
    for (cluster, namespace, app), versions in apps.items():
        whole = TrafficNode("", "app", cluster, namespace, app=app)
        inbound, outbound = (_sum(side[node.id] for node in versions) for side in sides)
        health = _judged(whole, existing, "", (inbound, outbound), tolerances)
        for node in versions:
            node.data[APP_HEALTH] = health


def _sum(sides: Iterable[Rates]) -> Rates:
    total: dict[str, dict[str, float]] = {}
    for side in sides:
        for protocol, codes in side.items():
            so_far = total.setdefault(protocol, {})
            for code, rate in codes.items():
                so_far[code] = so_far.get(code, 0.0) + rate
    return total


def _codes(edge: TrafficEdge) -> dict[str, float]:
    codes: defaultdict[str, float] = defaultdict(float)
    for (code, _), rate in edge.flags.items():
        codes[code] += rate
    return codes


def _item(node: TrafficNode, annotation: str) -> Item:
    names = {"app": node.app, "service": node.service, "workload": node.workload}
    return Item(node.namespace, node.type, names.get(node.type, ""), annotation)


def _judge_edge(
    edge: TrafficEdge, codes: Mapping[str, float], annotations: Mapping[str, str], tolerances: Sequence[Tolerance]
) -> Health:
    sides = ((edge.source, Direction.OUTBOUND), (edge.target, Direction.INBOUND))
    return worst(
        judge_rates(
            {edge.protocol: codes}, direction, tolerances_of(_item(node, annotations[node.id]), tolerances)
        ).health
        for node, direction in sides
    )


def _annotation(node: TrafficNode, existing: Existing) -> str:
    if node.type == "service":
        service = existing.service(node)
        return service.annotations.get(ANNOTATION, "") if service else ""
    if node.type == "workload":
        return next((text for one in existing.behind(node) if (text := one.annotations.get(ANNOTATION, ""))), "")
    return ""


def _judged(
    node: TrafficNode,
    existing: Existing,
    annotation: str,
    sides: tuple[Rates, Rates],
    tolerances: Sequence[Tolerance],
) -> dict[str, Any]:
    own = tolerances_of(_item(node, annotation), tolerances)
    found = [
        judge_rates(rates, direction, own)
        for rates, direction in zip(sides, (Direction.INBOUND, Direction.OUTBOUND), strict=True)
    ]
    asked, ratio, *_ = max(found, key=lambda one: PRIORITY.index(one.health))
    workloads = existing.behind(node) if node.type != "service" else []
    data: dict[str, Any] = {
        "requests": {
            "inbound": sides[0],
            "outbound": sides[1],
            "healthAnnotations": {ANNOTATION: annotation} if annotation else {},
        }
    }
    if node.type == "workload":
        data["workloadStatus"] = _status(workloads[0]) if workloads else None
    elif node.type == "app":
        data["workloadStatuses"] = [_status(one) for one in workloads]
    if not node.data.get("isInaccessible"):
        total = sum(rate for rates in sides for codes in rates.values() for rate in codes.values())
        data["status"] = {
            "status": WORDS[worst((asked, *(judge_workload(one) for one in workloads)))],
            **({"errorRatio": ratio} if ratio else {}),
            **({"totalRequestRate": total} if total else {}),
        }
    return data


def _status(one: Workload) -> dict[str, Any]:
    return {
        "name": one.ref.workload,
        "desiredReplicas": one.replicas if one.desired is None else one.desired,
        "currentReplicas": one.replicas,
        "availableReplicas": one.replicas if one.available is None else one.available,
        "syncedProxies": one.synced,
    }
