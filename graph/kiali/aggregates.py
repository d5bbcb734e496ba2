"""Aggregate nodes: what is asked for, between caller and callee."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from graph.health import status
from graph.kiali.options import Options
from graph.kiali.telemetry import ends_of
from graph.kiali.traffic import AGGREGATE, Code, End, Traffic, TrafficEdge, TrafficNode, identify, is_ok
from graph.model import Edge, Protocol, Snapshot


class _Call(NamedTuple):
    """One operation that one caller asks of one callee."""

    source: End
    target: End
    edge: Edge


def append_aggregates(traffic: Traffic, operations: Snapshot | None, options: Options) -> None:
    """Replace each edge of which operations are told by edges to and from the operations.

    As in Kiali: of requests only, never in service graphs, and with services injected the operation stands before the
    service.
    """
    if (
        operations is None
        or options.graph_type == "service"
        or "requests" not in (options.rate_http, options.rate_grpc)
    ):
        return
    for call in _calls(operations, options):
        source = _found(traffic, call.source)
        target = _found(traffic, _asked(call.target) if options.inject_service_nodes else call.target)
        if source and target:
            operation = _operation(traffic, call, options)
            source.edges.pop((target.id, call.edge.protocol), None)
            _add(source.edge_to(operation, call.edge.protocol), call.edge, operation.rates, "In")
            _add(operation.edge_to(target, call.edge.protocol), call.edge, operation.rates, "Out")


def _calls(operations: Snapshot, options: Options) -> Iterator[_Call]:
    rates = {Protocol.HTTP: options.rate_http, Protocol.GRPC: options.rate_grpc}
    wanted = options.node.aggregate_value if options.node else ""
    for edge in operations.edges.values():
        # Of the two edges of an operation the one that leads to it.
        leads = edge.operation and not edge.source.startswith("op:") and rates.get(edge.protocol) == "requests"
        ends = ends_of(edge.keys[0]) if leads and (not wanted or edge.operation == wanted) else None
        if ends:
            yield _Call(*ends, edge)


def _found(traffic: Traffic, end: End) -> TrafficNode | None:
    found = identify(end, traffic.graph_type)
    return traffic.nodes.get(found[0]) if found else None


def _asked(target: End) -> End:
    return End(target.cluster, target.service_namespace, target.service, "", "", "", "")


def _operation(traffic: Traffic, call: _Call, options: Options) -> TrafficNode:
    target, injected = call.target, options.inject_service_nodes and is_ok(call.target.service)
    place = target.service_namespace if injected else target.namespace
    id_ = f"agg_{target.cluster}_{place}_{options.aggregate}_{call.edge.operation}"
    if injected:
        id_ += f"_{target.service}"
    if id_ not in traffic.nodes:
        node = TrafficNode(
            id_, AGGREGATE, target.cluster, place, aggregate=f"{options.aggregate}={call.edge.operation}"
        )
        if injected:
            node.service, node.app = target.service, target.app if is_ok(target.app) else ""
        traffic.nodes[id_] = node
    return traffic.nodes[id_]


def _add(leg: TrafficEdge, edge: Edge, rates: dict[str, float], side: str) -> None:
    """Count on the operation and its edges: caller and callee have counted already."""
    signals = edge.signals
    leg.finest.append(edge)
    per_second = signals.rate / signals.requests if signals.requests else 0.0
    for outcome, requests in signals.outcomes.items():
        value = round(requests * per_second, 3)
        leg.add(value, Code(status(edge.protocol, outcome), outcome.flags, edge.host))
        rates[f"{edge.protocol}{side}"] += value
