"""What is added to a graph after its traffic, in Kiali's order (``graph/telemetry/istio/appender``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graph.health import Tolerance
from graph.kiali.aggregates import append_aggregates
from graph.kiali.existing import Existing, append_idle, mark_existence, remove_dead
from graph.kiali.figures import append_response_times, append_security, append_throughput
from graph.kiali.healths import append_health
from graph.kiali.options import Options
from graph.kiali.service_entries import merge_service_entries
from graph.kiali.telemetry import fold_waypoints
from graph.kiali.traffic import Places, Traffic
from graph.kiali.workings import append_config, append_labels, append_workload_entries
from graph.model import UNKNOWN, Inventory, Snapshot


def append(
    traffic: Traffic,
    operations: Snapshot | None,
    inventory: Inventory,
    options: Options,
    *,
    tolerances: Sequence[Tolerance],
    places: Places,
) -> None:
    """Run the appenders that are asked for, and those that always run."""
    existing = Existing(inventory)
    seen = visible(traffic, inventory, places)
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("serviceEntry", lambda: merge_service_entries(traffic, inventory)),
        ("deadNode", lambda: remove_dead(traffic, existing)),
        ("workloadEntry", lambda: append_workload_entries(traffic, existing, options)),
        ("responseTime", lambda: append_response_times(traffic, options)),
        ("securityPolicy", lambda: append_security(traffic)),
        ("throughput", lambda: append_throughput(traffic, options)),
        ("aggregateNode", lambda: append_aggregates(traffic, operations, options)),
        ("idleNode", lambda: append_idle(traffic, existing, options)),
        ("meshCheck", lambda: mark_existence(traffic, existing)),
        ("", lambda: mark_outsiders(traffic, options, seen)),
        ("istio", lambda: append_config(traffic, existing)),
        ("ambient", lambda: fold_waypoints(traffic, shown=options.waypoints)),
        ("health", lambda: append_health(traffic, existing, tolerances)),
        ("labeler", lambda: append_labels(traffic, existing)),
        ("", lambda: mark_roots(traffic)),
    )
    for name, step in steps:
        if (traffic.nodes or name == "idleNode") and (not name or name in options.appenders):
            step()
    if options.graph_type == "service" and options.node is None:
        reduce_to_services(traffic)


def visible(traffic: Traffic, inventory: Inventory, places: Places) -> frozenset[tuple[str, str]]:
    """Say which places can be seen: those that are told, else what the inventory knows, or all of a foreign cluster."""
    if places is not None:
        return frozenset(places)
    known = {(ref.cluster, ref.namespace) for ref in inventory.workloads}
    known |= {(ref.cluster, ref.namespace) for ref in inventory.services}
    clusters = {cluster for cluster, _ in known}
    foreign = {
        (node.cluster, node.namespace)
        for node in traffic.nodes.values()
        if node.cluster not in {UNKNOWN, *clusters} and node.namespace != UNKNOWN
    }
    return frozenset(known | foreign)


def mark_outsiders(traffic: Traffic, options: Options, seen: frozenset[tuple[str, str]]) -> None:
    """Mark what is outside the wanted namespaces, and what cannot be looked into."""
    for node in traffic.nodes.values():
        nowhere = node.type == "unknown" or (node.type == "service" and (node.namespace == UNKNOWN or node.escapes))
        if not nowhere and node.namespace not in {UNKNOWN, *options.namespaces}:
            node.data["isOutside"] = True
        if nowhere or (node.cluster, node.namespace) not in seen:
            node.data["isInaccessible"] = True


def mark_roots(traffic: Traffic) -> None:
    """Mark the sources of traffic: nodes that call and are not called."""
    called = {edge.target.id for edge in traffic.edges()}
    for node in traffic.nodes.values():
        if node.edges and node.id not in called:
            node.data["isRoot"] = True


def reduce_to_services(traffic: Traffic) -> None:
    """Leave services, and the roots that call them: what a service's workloads call, the service calls."""
    kept = {}
    for node in traffic.nodes.values():
        if node.type != "service":
            if node.data.get("isRoot") and (
                calls := {key: edge for key, edge in node.edges.items() if edge.target.type == "service"}
            ):
                node.edges = calls
                kept[node.id] = node
            continue
        kept[node.id] = node
        behind = [edge.target for edge in node.edges.values()]
        node.edges = {}
        for workload in behind:
            for call in workload.edges.values():
                if call.target.type == "service":
                    node.edge_to(call.target, call.protocol).take(call)
    traffic.nodes = kept
    for node in kept.values():
        for protocol in ("grpc", "http", "tcp"):
            node.rates[f"{protocol}Out"] = sum(
                edge.rates[protocol] for edge in node.edges.values() if edge.protocol == protocol
            )
