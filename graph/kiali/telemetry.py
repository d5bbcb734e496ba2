"""From finest edges to a graph: which of them are asked for, whom they name, what they add."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from graph.health import status
from graph.joins import is_unknown
from graph.kiali.options import Node, Options
from graph.kiali.traffic import EGRESS_CLUSTERS, Code, End, Traffic, TrafficNode, Waypoint, count, identify, is_ok
from graph.model import (
    PEER_PREFIX,
    UNKNOWN,
    Edge,
    EdgeKey,
    Inventory,
    Protocol,
    Reporter,
    ServiceRef,
    Snapshot,
    WorkloadRef,
)
from graph.strangers import is_stranger

EGRESS_HOST = "istio-egressgateway.istio-system.svc.cluster.local"
ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+(:\d+)?")
WAYPOINT_LABEL = ("gateway.istio.io/managed", "istio.io-mesh-controller")
UNKNOWN_SOURCE = End(UNKNOWN, UNKNOWN, "", UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)


def traffic_of(finest: Snapshot, inventory: Inventory, options: Options) -> Traffic:
    """Make the graph of what was asked for, without decorations."""
    traffic = Traffic(options.graph_type)
    waypoints = waypoints_of(inventory) if options.ambient != "none" else frozenset()
    for edge in finest.edges.values():
        key = edge.keys[0]
        if _wanted(key, edge, options) and _carried(key, edge, inventory, options):
            _add(traffic, edge, key, waypoints, options)
    return traffic


def waypoints_of(inventory: Inventory) -> frozenset[WorkloadRef]:
    """Find the workloads that are waypoints, by their badge or by the label that Istio puts on them."""
    name, value = WAYPOINT_LABEL
    return frozenset(
        ref for ref, one in inventory.workloads.items() if "waypoint" in one.badges or one.labels.get(name) == value
    )


def ends_of(key: EdgeKey) -> tuple[End, End] | None:
    """Name both ends in Istio's words; ``None`` for what Kiali takes for a fault of telemetry."""
    target = _target(key)
    return None if target is None else (_source(key.source), target)


def _wanted(key: EdgeKey, edge: Edge, options: Options) -> bool:
    if options.node:
        return _concerns(key, edge, options.namespaces[0], options.node, options.cluster)
    names = options.namespaces
    if key.source.namespace in names:
        return True
    return (key.target.namespace if key.target else key.service.namespace if key.service else "") in names


def _concerns(key: EdgeKey, edge: Edge, namespace: str, node: Node, cluster: str) -> bool:
    """Whether an edge leads to or from the node of a node graph."""
    service = key.service or ServiceRef("", "", "")
    incoming = cluster in {UNKNOWN, key.target.cluster if key.target else service.cluster}
    if node.aggregate_value:
        named = not node.service or service.name == node.service
        return incoming and named and service.namespace == namespace and edge.operation == node.aggregate_value
    if node.service:
        return incoming and (service.namespace, service.name) == (namespace, node.service)
    called = incoming and key.target is not None and _is_node(key.target, service.namespace, namespace, node)
    calls = cluster in {UNKNOWN, key.source.cluster}
    return called or (calls and _is_node(key.source, key.source.namespace, namespace, node))


def _is_node(ref: WorkloadRef, of_app: str, namespace: str, node: Node) -> bool:
    if node.workload:
        return (ref.namespace, ref.workload) == (namespace, node.workload)
    versioned = not is_ok(node.version) or ref.version == node.version
    return versioned and (of_app, ref.app) == (namespace, node.app)


def _carried(key: EdgeKey, edge: Edge, inventory: Inventory, options: Options) -> bool:
    """Whether the part of ambient traffic that carried it is asked for."""
    if options.ambient in {"none", "ztunnel"} and edge.evidence and edge.evidence[0].reporter is Reporter.WAYPOINT:
        return False
    if options.ambient in {"none", "waypoint"} and key.protocol is Protocol.TCP:
        ends = (inventory.workloads.get(end) for end in (key.source, key.target) if end)
        return not any(end and "ambient" in end.badges for end in ends)
    return True


def _add(traffic: Traffic, edge: Edge, key: EdgeKey, waypoints: frozenset[WorkloadRef], options: Options) -> None:
    ends = ends_of(key)
    samples = tuple(_samples(edge, key, options))
    active = any(value for value, _ in samples)
    if ends is None or not samples or not (active or options.include_idle_edges):
        return
    ends, passes = _waypoints(ends, key, waypoints)
    inject = _injects(ends[1], options) and not any(passes)
    nodes = _path(traffic, *ends, inject=inject)
    if nodes is None:
        return
    for node, passing in ((nodes[0], passes[0]), (nodes[-1], passes[1])):
        node.waypoint = node.waypoint or passing
    _flow(nodes, edge, key.protocol, samples, ends[1])


def _waypoints(
    ends: tuple[End, End], key: EdgeKey, waypoints: frozenset[WorkloadRef]
) -> tuple[tuple[End, End], tuple[bool, bool]]:
    """Waypoints are no apps: they are workloads in every type of graph."""
    passes = (key.source in waypoints, key.target in waypoints)
    source, target = (end._replace(app="") if passing else end for end, passing in zip(ends, passes, strict=True))
    return (source, target), passes


def _injects(target: End, options: Options) -> bool:
    if not options.inject_service_nodes or not is_ok(target.service) or target.service == "PassthroughCluster":
        return False
    found = identify(target, options.graph_type)
    return found is not None and found[1] != "service"


def _path(traffic: Traffic, source: End, target: End, *, inject: bool) -> list[TrafficNode] | None:
    ends = [source, target]
    if inject:
        ends.insert(1, End(target.cluster, target.service_namespace, target.service, "", "", "", ""))
    nodes = [traffic.node(end) for end in ends]
    if None in nodes:
        return None
    if inject:
        nodes[1].injected = True  # type: ignore[union-attr]
    return nodes  # type: ignore[return-value]


def _flow(
    nodes: list[TrafficNode], edge: Edge, protocol: Protocol, samples: tuple[tuple[float, Code], ...], target: End
) -> None:
    for source, to in pairwise(nodes):
        leg = source.edge_to(to, protocol)
        leg.finest.append(edge)
        for value, code in samples:
            count(leg, value, code)
        if is_ok(target.service):
            to.called.add((target.cluster, target.service_namespace, target.service))


def _samples(edge: Edge, key: EdgeKey, options: Options) -> Iterator[tuple[float, Code]]:
    """The rates that Prometheus would answer with, rounded as Kiali asks it to."""
    host = edge.host or (_host(key.service) if key.service or key.target is None else "")
    signals = edge.signals
    if key.protocol is Protocol.TCP:
        amounts = {"sent": (signals.sent_bps,), "received": (signals.received_bps,), "none": ()}
        for value in amounts.get(options.rate_tcp, (signals.sent_bps, signals.received_bps)):
            yield round(value, 3), Code("-", "-", host)
        return
    asked = options.rate_grpc if key.protocol is Protocol.GRPC else options.rate_http
    if asked == "requests":
        per_second = signals.rate / signals.requests if signals.requests else 0.0
        for outcome, requests in signals.outcomes.items() or [(None, 0.0)]:
            code = status(key.protocol, outcome) if outcome else "-"
            yield round(requests * per_second, 3), Code(code, outcome.flags if outcome else "-", host)
        return
    sent, received = signals.request_messages, signals.response_messages
    for value in {"sent": (sent,), "received": (received,), "total": (sent, received)}.get(asked, ()):
        yield round(value, 3), Code("", "", host)


def _host(service: ServiceRef | None) -> str:
    if service is None:
        return UNKNOWN
    named = "." in service.name or not is_ok(service.namespace) or service.name in EGRESS_CLUSTERS
    return service.name if named else f"{service.name}.{service.namespace}.svc.cluster.local"


def _source(ref: WorkloadRef) -> End:
    if is_unknown(ref) or is_stranger(ref):
        return UNKNOWN_SOURCE
    return End(ref.cluster, ref.namespace, "", *_workload(ref))


def _workload(ref: WorkloadRef) -> tuple[str, str, str, str]:
    """Namespace, workload, app and version; Istio writes ``latest`` where an app has no version."""
    _, colon, peer = ref.app.partition(":")
    workload = ref.workload or (peer if colon else ref.app)
    return ref.namespace, workload, ref.app, ref.version or ("latest" if ref.app else "")


def _target(key: EdgeKey) -> End | None:
    service = key.service or ServiceRef("", "", "")
    if service.name == EGRESS_HOST:
        gateway = "istio-egressgateway"
        return End(key.source.cluster, "istio-system", gateway, "istio-system", gateway, gateway, "latest")
    if key.target is None and ADDRESS.fullmatch(service.name):
        return None
    if key.target is None:
        namespace = service.namespace or UNKNOWN
        cluster = service.cluster if is_ok(namespace) else UNKNOWN
        return End(cluster, namespace, service.name or UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
    prefix, colon, peer = key.target.app.partition(":")
    if colon and prefix in PEER_PREFIX:
        name = peer.partition("@")[0] or peer
        return End(key.target.cluster, key.target.namespace, name, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
    namespace = service.namespace or key.target.namespace
    return End(key.target.cluster, namespace, service.name, *_workload(key.target))


def fold_waypoints(traffic: Traffic, *, shown: bool) -> None:
    """Take waypoints out, or make the ways to and back from one a single edge."""
    waypoints = {id_: node for id_, node in traffic.nodes.items() if node.waypoint}
    if not waypoints:
        return
    for node in traffic.nodes.values():
        if "isGateway" in node.data and any(edge.target.id in waypoints for edge in node.edges.values()):
            node.data["hasIngressWaypoint"] = True
    if shown:
        _fold(traffic, waypoints)
    else:
        _without(traffic, waypoints)


def _fold(traffic: Traffic, waypoints: Mapping[str, TrafficNode]) -> None:
    for waypoint in waypoints.values():
        waypoint.data.pop("isOutOfMesh", None)
        for edge in waypoint.edges.values():
            edge.waypoint = Waypoint("from")
    for node in traffic.nodes.values():
        for (target, protocol), edge in node.edges.items():
            if target in waypoints:
                back = waypoints[target].edges.get((node.id, protocol))
                edge.waypoint = Waypoint("to", back if edge.target is not node else None)
    for waypoint in waypoints.values():
        folded = {
            id(edge.waypoint.back) for edge in traffic.edges() if edge.waypoint and edge.waypoint.back is not None
        }
        waypoint.edges = {key: edge for key, edge in waypoint.edges.items() if id(edge) not in folded}


def _without(traffic: Traffic, waypoints: Mapping[str, TrafficNode]) -> None:
    """Take the waypoints out, and what only they were connected to."""
    beside = {edge.target.id for waypoint in waypoints.values() for edge in waypoint.edges.values()}
    beside |= {
        node.id for node in traffic.nodes.values() for edge in node.edges.values() if edge.target.id in waypoints
    }
    traffic.remove(waypoints.keys())
    called = {edge.target.id for edge in traffic.edges()}
    traffic.remove(
        {id_ for id_ in beside if id_ in traffic.nodes and id_ not in called and not traffic.nodes[id_].edges}
    )
