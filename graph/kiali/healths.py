"""Health of nodes and edges out of the graph's own traffic, by Kiali's rules and in its form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
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
from graph.kiali.existing import workloads_of
from graph.kiali.form import APP_HEALTH
from graph.kiali.traffic import Traffic, TrafficEdge, TrafficNode, is_ok
from graph.model import Health, Inventory, ServiceRef, Workload

WORDS = {
    Health.FAILURE: "Failure",
    Health.DEGRADED: "Degraded",
    Health.NOT_READY: "Not Ready",
    Health.HEALTHY: "Healthy",
    Health.IDLE: "NA",
}
Rates = Mapping[str, Mapping[str, float]]


def append_health(traffic: Traffic, inventory: Inventory, tolerances: Sequence[Tolerance]) -> None:
    """Judge edges and nodes."""
    annotations = {id_: _annotation(node, inventory) for id_, node in traffic.nodes.items()}
    inbound: dict[str, dict[str, dict[str, float]]] = {id_: {} for id_ in traffic.nodes}
    outbound: dict[str, dict[str, dict[str, float]]] = {id_: {} for id_ in traffic.nodes}
    for edge in traffic.edges():
        codes = _codes(edge)
        for side, node in ((outbound, edge.source), (inbound, edge.target)):
            known = side[node.id].setdefault(edge.protocol, {})
            for code, rate in codes.items():
                known[code] = known.get(code, 0.0) + rate
        if codes:
            edge.data["healthStatus"] = WORDS[_judge_edge(edge, codes, annotations, tolerances)]
    for id_, node in traffic.nodes.items():
        if node.type in {"app", "workload", "service"}:
            _judge_node(node, inventory, annotations[id_], (inbound[id_], outbound[id_]), tolerances)


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
        judge_rates({edge.protocol: codes}, direction, tolerances_of(_item(node, annotations[node.id]), tolerances))[0]
        for node, direction in sides
    )


def _annotation(node: TrafficNode, inventory: Inventory) -> str:
    if node.type == "service":
        service = inventory.services.get(ServiceRef(node.cluster, node.namespace, node.service))
        return service.annotations.get(ANNOTATION, "") if service else ""
    if node.type == "workload":
        return next(
            (text for one in workloads_of(node, inventory) if (text := one.annotations.get(ANNOTATION, ""))), ""
        )
    return ""


def _judge_node(
    node: TrafficNode,
    inventory: Inventory,
    annotation: str,
    sides: tuple[Rates, Rates],
    tolerances: Sequence[Tolerance],
) -> None:
    own = tolerances_of(_item(node, annotation), tolerances)
    found = [
        judge_rates(rates, direction, own)
        for rates, direction in zip(sides, (Direction.INBOUND, Direction.OUTBOUND), strict=True)
    ]
    asked, ratio = max(found, key=lambda one: PRIORITY.index(one[0]))
    workloads = workloads_of(node, inventory) if node.type != "service" else []
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
    node.data["healthData"] = data
    if node.type == "app" and is_ok(node.workload):
        node.data[APP_HEALTH] = data


def _status(one: Workload) -> dict[str, Any]:
    return {
        "name": one.ref.workload,
        "desiredReplicas": one.replicas if one.desired is None else one.desired,
        "currentReplicas": one.replicas,
        "availableReplicas": one.replicas if one.available is None else one.available,
        "syncedProxies": one.synced,
    }
