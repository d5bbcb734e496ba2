"""Snapshots and differences as plain dicts: what the REST API and the live stream send.

They are made by the column, so that of thousands of nodes and edges no records need to be made for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from graph import figures
from graph.figures import BYTES, MEASURED, RATE, SHARE
from graph.groups import group_of, groups_of
from graph.health import status
from graph.model import Delta, Edge, Evidence, Group, Node, Outcome, Protocol, Signals, Snapshot
from graph.records import Maybe, Several, Table, listed, table_of
from graph.rows import by_column

NO_FLAGS = {"", "-"}

Columns = Mapping[str, Any]
"""Fields of JSON by their names, each side by side as in a :class:`Table`."""


def nodes_json(nodes: Table[Node]) -> list[dict[str, Any]]:
    """Nodes, whole."""
    inbound, outbound = (Maybe.of(Signals, nodes[side]) for side in ("inbound", "outbound"))
    return _rows(
        {
            "id": nodes["id"],
            "kind": nodes["kind"],
            "cluster": nodes["cluster"],
            "namespace": nodes["namespace"],
            "label": nodes["label"],
            "app": nodes["app"],
            "version": nodes["version"],
            "workload": nodes["workload"],
            "service": nodes["service"],
            "parent": list(map(group_of, nodes["cluster"], nodes["namespace"])),
            "health": nodes["health"],
            "in": inbound.dealt(_rows(_signals(inbound.table))),
            "out": outbound.dealt(_rows(_signals(outbound.table))),
            "replicas": nodes["replicas"],
            "badges": nodes["badges"],
            "principals": nodes["principals"],
            "reason": nodes["reason"],
            "hosts": nodes["hosts"],
            "labels": list(map(dict, nodes["labels"])),
            "tolerances": nodes["tolerances"],
        }
    )


def edges_json(edges: Table[Edge]) -> list[dict[str, Any]]:
    """Edges, whole."""
    signals = table_of(Signals, edges["signals"])
    evidence = Several.of(Evidence, edges["evidence"])
    codes, flags = _answers(edges["protocol"], signals["outcomes"])
    return _rows(
        {
            "id": edges["id"],
            "source": edges["source"],
            "target": edges["target"],
            "protocol": edges["protocol"],
            "service": edges["service"],
            "health": edges["health"],
            "presence": edges["presence"],
            "reason": edges["reason"],
            "at": edges["at_ms"],
            **_signals(signals),
            "mean": figures.column(signals["mean_ms"], MEASURED),
            "opened": figures.column(signals["opened_rate"], RATE),
            "operation": edges["operation"],
            "host": edges["host"],
            "principals": edges["principals"],
            "throughput": _pairs(signals, "request_bps", "response_bps"),
            "messages": _pairs(signals, "request_messages", "response_messages"),
            "codes": codes,
            "flags": flags,
            "covered": signals["covered_s"],
            "evidence": evidence.dealt(_rows(_evidence(evidence.table))),
        }
    )


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """One snapshot, whole."""
    nodes, edges = by_column(Node, snapshot.nodes), by_column(Edge, snapshot.edges)
    return {
        "type": "snapshot",
        "graph": snapshot.type,
        "window": snapshot.window_s,
        "revision": snapshot.revision,
        "at": snapshot.at_ms,
        "nodes": nodes_json(nodes),
        "edges": edges_json(edges),
        "boxes": boxes_json(nodes),
        "groups": groups_json(snapshot.nodes.values()),
    }


def delta_json(delta: Delta, new: Snapshot) -> dict[str, Any]:
    """What leads to the new snapshot from the one before; boxes are sent whole, groups where their nodes are others."""
    return {
        "type": "delta",
        "from": delta.source,
        "to": delta.target,
        "at": delta.at_ms,
        "nodes": nodes_json(by_column(Node, delta.nodes)),
        "edges": edges_json(by_column(Edge, delta.edges)),
        "goneNodes": list(delta.gone_nodes),
        "goneEdges": list(delta.gone_edges),
        "boxes": boxes_json(by_column(Node, new.nodes)),
        "groups": [_group_json(group) for group in delta.groups],
        "goneGroups": list(delta.gone_groups),
    }


def boxes_json(nodes: Table[Node]) -> list[dict[str, Any]]:
    """The namespaces that hold nodes, in order."""
    places = set(zip(nodes["cluster"], nodes["namespace"], strict=True))
    boxes = {(box, place[1]) for place in places if (box := group_of(*place))}
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


def traffic_json(signals: Table[Signals]) -> list[dict[str, Any]]:
    """The golden signals, with the digits that are shown."""
    return _rows(_traffic(signals))


def _traffic(signals: Table[Signals]) -> Columns:
    return {
        "rate": figures.column(signals["rate"], RATE),
        "requests": signals["requests"],
        "errors": signals["errors"],
        "errorRatio": figures.column(signals["error_ratio"], SHARE),
        "p50": figures.column(signals["p50_ms"], MEASURED),
        "p95": figures.column(signals["p95_ms"], MEASURED),
        "p99": figures.column(signals["p99_ms"], MEASURED),
        "sent": figures.column(signals["sent_bps"], BYTES),
        "received": figures.column(signals["received_bps"], BYTES),
    }


def _signals(signals: Table[Signals]) -> Columns:
    return {**_traffic(signals), "mtls": figures.column(signals["mtls"], MEASURED)}


def _pairs(signals: Table[Signals], *both: str) -> list[tuple[float, ...]]:
    return list(zip(*(listed(figures.column(signals[one], RATE)) for one in both), strict=True))


def _evidence(evidence: Table[Evidence]) -> Columns:
    return {
        "reporter": evidence["reporter"],
        "instances": evidence["instances"],
        "requests": evidence["requests"],
        "at": evidence["at_ms"],
        "origin": evidence["origin"],
    }


def _answers(
    protocols: Iterable[Protocol], outcomes: Iterable[Mapping[Outcome, float]]
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Per edge how its requests ended: by code, and by flag."""
    codes: list[dict[str, float]] = []
    flags: list[dict[str, float]] = []
    for protocol, ended in zip(protocols, outcomes, strict=True):
        by_code: dict[str, float] = {}
        by_flag: dict[str, float] = {}
        for outcome, count in ended.items():
            code = _status(protocol, outcome)
            by_code[code] = by_code.get(code, 0.0) + count
            if outcome.flags not in NO_FLAGS:
                by_flag[outcome.flags] = by_flag.get(outcome.flags, 0.0) + count
        codes.append(by_code)
        flags.append(by_flag)
    return codes, flags


_status = lru_cache(maxsize=4096)(status)


def _rows(columns: Columns) -> list[dict[str, Any]]:
    names = tuple(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*map(listed, columns.values()), strict=True)]
