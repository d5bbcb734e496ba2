"""Snapshots and differences as plain dicts: what the REST API and the live stream send."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graph import figures
from graph.groups import groups_of, namespace_of
from graph.health import status
from graph.model import Delta, Edge, Evidence, Group, Node, Protocol, Signals, Snapshot

NO_FLAGS = {"", "-"}


def node_json(node: Node) -> dict[str, Any]:
    """One node, whole."""
    return {
        "id": node.id,
        "kind": node.kind,
        "cluster": node.cluster,
        "namespace": node.namespace,
        "label": node.label,
        "app": node.app,
        "version": node.version,
        "workload": node.workload,
        "service": node.service,
        "parent": namespace_of(node),
        "health": node.health,
        "in": node.inbound and _signals_json(node.inbound),
        "out": node.outbound and _signals_json(node.outbound),
        "replicas": node.replicas,
        "badges": list(node.badges),
        "principals": list(node.principals),
        "reason": node.reason,
        "hosts": list(node.hosts),
        "labels": dict(node.labels),
        "tolerances": node.tolerances,
    }


def edge_json(edge: Edge) -> dict[str, Any]:
    """One edge, whole."""
    codes, flags = _answers(edge.protocol, edge.signals)
    return {
        "id": edge.id,
        "source": edge.source,
        "target": edge.target,
        "protocol": edge.protocol,
        "service": edge.service,
        "health": edge.health,
        "presence": edge.presence,
        "reason": edge.reason,
        "at": edge.at_ms,
        **_signals_json(edge.signals),
        "mean": figures.thousandths(edge.signals.mean_ms),
        "opened": round(edge.signals.opened_rate, 4),
        "operation": edge.operation,
        "host": edge.host,
        "principals": [list(pair) for pair in edge.principals],
        "throughput": [round(edge.signals.request_bps, 4), round(edge.signals.response_bps, 4)],
        "messages": [round(edge.signals.request_messages, 4), round(edge.signals.response_messages, 4)],
        "codes": codes,
        "flags": flags,
        "covered": edge.signals.covered_s,
        "evidence": [_evidence_json(evidence) for evidence in edge.evidence],
    }


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """One snapshot, whole."""
    return {
        "type": "snapshot",
        "graph": snapshot.type,
        "window": snapshot.window_s,
        "revision": snapshot.revision,
        "at": snapshot.at_ms,
        "nodes": [node_json(node) for node in snapshot.nodes.values()],
        "edges": [edge_json(edge) for edge in snapshot.edges.values()],
        "boxes": boxes_json(snapshot.nodes.values()),
        "groups": groups_json(snapshot.nodes.values()),
    }


def delta_json(delta: Delta, new: Snapshot) -> dict[str, Any]:
    """What leads to the new snapshot from the one before; boxes are sent whole, groups where their nodes are others."""
    return {
        "type": "delta",
        "from": delta.source,
        "to": delta.target,
        "at": delta.at_ms,
        "nodes": [node_json(node) for node in delta.nodes.values()],
        "edges": [edge_json(edge) for edge in delta.edges.values()],
        "goneNodes": list(delta.gone_nodes),
        "goneEdges": list(delta.gone_edges),
        "boxes": boxes_json(new.nodes.values()),
        "groups": [_group_json(group) for group in delta.groups],
        "goneGroups": list(delta.gone_groups),
    }


def boxes_json(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """The namespaces that hold nodes, in order."""
    boxes = {(box, node.namespace) for node in nodes if (box := namespace_of(node))}
    return [{"id": box, "label": namespace, "kind": "namespace"} for box, namespace in sorted(boxes)]


def groups_json(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """What belongs together, from the outside in."""
    return [_group_json(group) for group in groups_of(nodes).values()]


def _group_json(group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "label": group.label,
        "kind": group.kind,
        "parent": group.parent,
        "nodes": list(group.nodes),
    }


def traffic_json(signals: Signals) -> dict[str, Any]:
    """The golden signals, with the digits that are shown."""
    return {
        "rate": figures.rate(signals),
        "requests": signals.requests,
        "errors": signals.errors,
        "errorRatio": figures.error_ratio(signals),
        "p50": figures.thousandths(signals.p50_ms),
        "p95": figures.thousandths(signals.p95_ms),
        "p99": figures.thousandths(signals.p99_ms),
        "sent": figures.sent(signals),
        "received": figures.received(signals),
    }


def _signals_json(signals: Signals) -> dict[str, Any]:
    return traffic_json(signals) | {"mtls": figures.thousandths(signals.mtls)}


def _answers(protocol: Protocol, signals: Signals) -> tuple[dict[str, float], dict[str, float]]:
    codes: dict[str, float] = {}
    flags: dict[str, float] = {}
    for outcome, count in signals.outcomes.items():
        code = status(protocol, outcome)
        codes[code] = codes.get(code, 0.0) + count
        if outcome.flags not in NO_FLAGS:
            flags[outcome.flags] = flags.get(outcome.flags, 0.0) + count
    return codes, flags


def _evidence_json(evidence: Evidence) -> dict[str, Any]:
    return {
        "reporter": evidence.reporter,
        "instances": evidence.instances,
        "requests": evidence.requests,
        "at": evidence.at_ms,
        "origin": evidence.origin,
    }
