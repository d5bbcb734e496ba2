"""Answers as plain dicts: what the REST API sends. Nodes are named by id and label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graph.analysis.blast import BlastRadius, Share
from graph.analysis.chains import Chain
from graph.analysis.cycles import Cycle
from graph.analysis.single_points import SinglePoint
from graph.analysis.trace_path import TracePath
from graph.model import Snapshot
from graph.ports import Span


def blast_json(found: BlastRadius, snapshot: Snapshot) -> dict[str, Any]:
    """Write what the failure of some nodes means."""
    return {
        "failed": _nodes(found.failed, snapshot),
        "share": _share(found.share),
        "entryRate": round(found.entry_rate, 4),
        "entries": [
            {**_node(one.id, snapshot), "rate": round(one.rate, 4), "share": _share(one.share)} for one in found.entries
        ],
        "callers": [{**_node(one.id, snapshot), "share": _share(one.share), "hops": one.hops} for one in found.callers],
        "starved": _nodes(found.starved, snapshot),
        "unharmed": found.unharmed,
    }


def single_point_json(found: SinglePoint, snapshot: Snapshot) -> dict[str, Any]:
    """Write one single point of failure."""
    return {
        **_node(found.id, snapshot),
        "weaknesses": list(found.weaknesses),
        "share": _share(found.share),
        "cutOff": _nodes(found.cut_off, snapshot),
        "replicas": found.replicas,
        "standIns": _nodes(found.stand_ins, snapshot),
    }


def cycle_json(found: Cycle, snapshot: Snapshot) -> dict[str, Any]:
    """Write one circle of calls."""
    return {
        "nodes": _nodes(found.nodes, snapshot),
        "edges": list(found.edges),
        "way": _nodes(found.way, snapshot),
        "rate": round(found.rate, 4),
    }


def chain_json(found: Chain, snapshot: Snapshot) -> dict[str, Any]:
    """Write one chain of calls; times are milliseconds."""
    return {
        "ms": round(found.latency_ms, 3),
        "steps": [
            {
                "edge": step.edge,
                "source": _node(step.source, snapshot),
                "target": _node(step.target, snapshot),
                "ms": round(step.latency_ms, 3),
                "addedMs": round(step.added_ms, 3),
                "share": round(step.share, 4),
            }
            for step in found.steps
        ],
    }


def trace_path_json(found: TracePath) -> dict[str, Any]:
    """Write a trace's critical path; milliseconds, those of segments since the root began."""
    began = found.root.start_ns
    return {
        "root": _span(found.root),
        "segments": [
            {"spanId": one.span_id, "startMs": (one.start_ns - began) / 1e6, "endMs": (one.end_ns - began) / 1e6}
            for one in found.segments
        ],
        "spans": [
            {**_span(one.span), "selfMs": one.self_ns / 1e6, "criticalMs": one.critical_ns / 1e6} for one in found.spans
        ],
        "apart": found.apart,
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "spanId": span.span_id,
        "name": span.name,
        "app": span.app,
        "version": span.version,
        "durationMs": (span.end_ns - span.start_ns) / 1e6,
    }


def _nodes(ids: Iterable[str], snapshot: Snapshot) -> list[dict[str, str]]:
    return [_node(id_, snapshot) for id_ in ids]


def _node(id_: str, snapshot: Snapshot) -> dict[str, str]:
    node = snapshot.nodes[id_]
    return {"id": id_, "namespace": node.namespace, "label": node.label, "version": node.version}


def _share(share: Share) -> dict[str, float]:
    return {"least": round(share.least, 6), "likely": round(share.likely, 6), "most": round(share.most, 6)}
