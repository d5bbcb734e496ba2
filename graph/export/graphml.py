"""GraphML, for Gephi, yEd, networkx and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx

from graph.export.words import printable
from graph.model import Edge, Node, Snapshot
from graph.query import Found


def graphml(snapshot: Snapshot, found: Found) -> str:
    """GraphML with every number as an attribute; parallel edges differ by protocol."""
    graph = nx.MultiDiGraph()
    for node in snapshot.nodes.values():
        graph.add_node(printable(node.id), **_printable(_facts_of_node(node)), found=node.id in found.nodes)
    for edge in snapshot.edges.values():
        source, target, key = map(printable, (edge.source, edge.target, edge.id))
        graph.add_edge(source, target, key=key, **_printable(_facts_of_edge(edge)), found=edge.id in found.edges)
    return "\n".join([*nx.generate_graphml(graph), ""])


def _printable(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: printable(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}


def _facts_of_node(node: Node) -> dict[str, Any]:
    return {
        "label": node.title,
        "kind": node.kind.value,
        "cluster": node.cluster,
        "namespace": node.namespace,
        "app": node.app,
        "version": node.version,
        "health": node.health.value,
        "rate_in": node.inbound.rate if node.inbound else 0.0,
        "rate_out": node.outbound.rate if node.outbound else 0.0,
    }


def _facts_of_edge(edge: Edge) -> dict[str, Any]:
    signals = edge.signals
    numbers = {
        "rate": signals.rate,
        "requests": signals.requests,
        "error_ratio": signals.error_ratio,
        "p50_ms": signals.p50_ms,
        "p95_ms": signals.p95_ms,
        "p99_ms": signals.p99_ms,
        "sent_bps": signals.sent_bps,
        "received_bps": signals.received_bps,
        "mtls": signals.mtls,
    }
    known = {name: float(value) for name, value in numbers.items() if value is not None}
    return {"protocol": edge.protocol.value, "service": edge.service, "health": edge.health.value, **known}
