"""Small graphs to ask questions of: edges with the figures that a test cares about, and nothing else."""

from __future__ import annotations

from graph.model import (
    Edge,
    GraphType,
    Health,
    Node,
    NodeKind,
    Presence,
    Protocol,
    Signals,
    Snapshot,
)
from graph.ports import Span


def call(source: str, target: str, rate: float = 1.0, *, protocol=Protocol.HTTP, **facts) -> Edge:
    """Ten seconds of requests at a rate; plain TCP has bytes at that rate instead. Facts are of the edge or its signals."""
    counted = {"sent_bps": rate} if protocol is Protocol.TCP else {"rate": rate, "requests": 10 * rate}
    signals = {name: facts.pop(name) for name in [*facts] if name in Signals._fields}
    known = {
        "id": f"{source}>{target}>{protocol}",
        "source": source,
        "target": target,
        "protocol": protocol,
        "signals": Signals(window_s=10, covered_s=10.0, **(counted | signals)),
        "health": Health.HEALTHY if rate else Health.IDLE,
        "presence": Presence.LIVE if rate else Presence.IDLE,
        "evidence": (),
        "keys": (),
        "at_ms": 0,
    }
    return Edge(**(known | facts))


def node(id_: str, **facts) -> Node:
    return Node(**({"id": id_, "kind": NodeKind.APP, "cluster": "c", "namespace": "shop", "label": id_} | facts))


def graph(*edges: Edge, nodes=()) -> Snapshot:
    """The edges, the nodes at their ends, and those that are described."""
    ends = dict.fromkeys(end for edge in edges for end in (edge.source, edge.target))
    return Snapshot(
        type=GraphType.WORKLOAD,
        window_s=10,
        revision=1,
        at_ms=0,
        nodes={id_: node(id_) for id_ in ends} | {one.id: one for one in nodes},
        edges={edge.id: edge for edge in edges},
    )


def span(span_id: str, start_ns: int, end_ns: int, parent: str = "") -> Span:
    return Span(
        trace_id="t",
        span_id=span_id,
        parent_id=parent,
        name=span_id,
        kind="internal",
        start_ns=start_ns,
        end_ns=end_ns,
        error=False,
        status_message="",
        cluster="c",
        namespace="shop",
        workload="w",
        app="a",
        version="",
    )
