"""The graph as Kiali writes it: rates as text, boxes, order (``graph/config/common/common.go``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from graph.kiali.options import Options
from graph.kiali.traffic import AGGREGATE, SERVICE, Traffic, TrafficEdge, TrafficNode
from graph.model import UNKNOWN

Data = dict[str, Any]


class Rates(NamedTuple):
    """The names of a protocol's rates, in Kiali's order."""

    edge: tuple[str, ...]
    errors: frozenset[str]
    node: tuple[str, ...]


PROTOCOLS: Mapping[str, Rates] = {
    "grpc": Rates(
        ("grpc", "grpcNoResponse", "grpcErr"),
        frozenset({"grpcNoResponse", "grpcErr"}),
        ("grpcIn", "grpcInNoResponse", "grpcInErr", "grpcOut"),
    ),
    "http": Rates(
        ("http", "httpNoResponse", "http3xx", "http4xx", "http5xx"),
        frozenset({"httpNoResponse", "http4xx", "http5xx"}),
        ("httpIn", "httpInNoResponse", "httpIn3xx", "httpIn4xx", "httpIn5xx", "httpOut"),
    ),
    "tcp": Rates(("tcp",), frozenset(), ("tcpIn", "tcpOut")),
}
BOX_RANK = {"cluster": 0, "namespace": 1, "app": 2}
MOST_DIGITS = 5


def config(traffic: Traffic, options: Options) -> Data:
    """Write the graph."""
    nodes = [_node(node) for node in traffic.nodes.values()]
    edges = [_edge(edge) for edge in traffic.edges()]
    if "app" in options.box_by or options.graph_type in {"app", "versionedApp"}:
        nodes += _boxes(nodes, "app", _app_box, least=1)
    if "namespace" in options.box_by:
        nodes += _boxes(nodes, "namespace", _namespace_box, least=2)
    if "cluster" in options.box_by:
        nodes += _boxes(nodes, "cluster", _cluster_box, least=2)
    nodes.sort(key=_node_order)
    edges.sort(key=lambda edge: (edge["source"], edge["target"], edge["traffic"].get("protocol", "")))
    return {
        "timestamp": options.query_time,
        "duration": options.duration_s,
        "graphType": options.graph_type,
        "elements": {
            "nodes": [{"data": _without_notes(node)} for node in nodes],
            "edges": [{"data": edge} for edge in edges],
        },
    }


def text(rate: float, least: int = 2) -> str:
    """Write a rate: two decimals, or as many as it takes to show one digit that is not 0, at most five."""
    digits = 0
    while digits < MOST_DIGITS and 0 < rate * 10**digits < 1:
        digits += 1
    return f"{rate:.{max(least, digits)}f}"


def hashed(id_: str) -> str:
    """Turn a node's id into what it is called outside."""
    return sha256(id_.encode()).hexdigest()


def _node(node: TrafficNode) -> Data:
    data: Data = {
        "id": hashed(node.id),
        "nodeType": node.type,
        "cluster": node.cluster,
        "namespace": node.namespace,
        **{name: value for name in ("workload", "app", "version", "service") if (value := getattr(node, name))},
    }
    if node.type == AGGREGATE:
        data["aggregate"] = node.aggregate
    if node.called:
        data["destServices"] = [
            {"cluster": cluster, "namespace": namespace, "name": name}
            for cluster, namespace, name in sorted(node.called)
        ]
    rates = [
        {"protocol": protocol, "rates": shown}
        for protocol, names in PROTOCOLS.items()
        if (shown := {name: text(node.rates[name]) for name in names.node if node.rates.get(name, 0) > 0})
    ]
    if rates:
        data["traffic"] = rates
    data["healthData"] = None
    if node.injected and node.type == SERVICE:
        data["isInjected"] = True
    if node.waypoint:
        data["isWaypoint"] = True
    return data | node.data


def _edge(edge: TrafficEdge) -> Data:
    source, target = hashed(edge.source.id), hashed(edge.target.id)
    data: Data = {
        "id": hashed(f"{source}.{target}.{edge.protocol}"),
        "source": source,
        "target": target,
        **edge.data,
        "traffic": {"protocol": edge.protocol, **_edge_traffic(edge)},
    }
    if edge.waypoint:
        data["waypoint"] = {"direction": edge.waypoint.direction}
        if edge.waypoint.back:
            data["waypoint"]["fromEdge"] = _edge(edge.waypoint.back)
    return data


def _edge_traffic(edge: TrafficEdge) -> Data:
    names = PROTOCOLS[edge.protocol]
    total = edge.rates.get(edge.protocol, 0.0)
    if total <= 0:
        return {}
    shown = {name: text(edge.rates[name]) for name in names.edge if edge.rates.get(name, 0) > 0}
    failed = sum(edge.rates.get(name, 0.0) for name in names.errors)
    outgoing = edge.source.rates.get(f"{edge.protocol}Out", 0.0)
    if edge.protocol != "tcp":
        if failed > 0:
            shown[f"{edge.protocol}PercentErr"] = f"{100 * failed / total:.1f}"
        if outgoing > 0:
            shown[f"{edge.protocol}PercentReq"] = f"{100 * total / outgoing:.1f}"
    return {"rates": shown, "responses": _responses(edge, total)}


def _responses(edge: TrafficEdge, total: float) -> Data:
    codes: defaultdict[str, Data] = defaultdict(dict)
    for kind, shares in (("flags", edge.flags), ("hosts", edge.hosts)):
        for (code, name), value in sorted(shares.items()):
            codes[code].setdefault(kind, {})[name] = f"{100 * value / total:.1f}"
    return dict(sorted(codes.items()))


def _app_box(node: Data) -> str:
    app = node.get("app", "")
    return f"box_{node['cluster']}_{node['namespace']}_{app}" if app not in {"", UNKNOWN} else ""


def _namespace_box(node: Data) -> str:
    return f"box_{node['cluster']}_{node['namespace']}" if _free(node) and node["namespace"] != UNKNOWN else ""


def _cluster_box(node: Data) -> str:
    return f"box_{node['cluster']}" if _free(node) and node["cluster"] != UNKNOWN else ""


def _free(node: Data) -> bool:
    return not node.get("parent")


def _boxes(nodes: Iterable[Data], kind: str, key: Callable[[Data], str], *, least: int) -> list[Data]:
    """Box what belongs together, two or more at a time, where there would be ``least`` boxes."""
    members: defaultdict[str, list[Data]] = defaultdict(list)
    for node in nodes:
        if box := key(node):
            members[box].append(node)
    if len(members) < least:
        return []
    return [_box(id_, kind, inside) for id_, inside in members.items() if len(inside) > 1]


def _box(id_: str, kind: str, members: list[Data]) -> Data:
    first = members[0]
    box: Data = {"id": hashed(id_), "nodeType": "box", "cluster": first["cluster"], "namespace": ""}
    if kind != "cluster":
        box["namespace"] = first["namespace"]
    if kind == "app":
        box["app"] = first["app"]
    box |= {"healthData": None, "isBox": kind}
    for member in members:
        member["parent"] = box["id"]
    if kind == "app":
        box |= {
            flag: True
            for flag in ("isInaccessible", "isOutOfMesh", "isOutside")
            if any(member.get(flag) for member in members)
        }
        box["healthData"] = next(
            (
                member.get(APP_HEALTH) or member["healthData"]
                for member in members
                if member["nodeType"] == "app" and member["healthData"]
            ),
            None,
        )
    return box


APP_HEALTH = "_app_health"
"""A versioned app's note of its app's health, for the box around it; never sent."""


def _without_notes(node: Data) -> Data:
    return {name: value for name, value in node.items() if not name.startswith("_")}


def _node_order(node: Data) -> tuple[int | str, ...]:
    names = ("cluster", "namespace", "app", "version", "service", "workload")
    return (BOX_RANK.get(node.get("isBox", ""), 3), *(node.get(name, "") for name in names))
