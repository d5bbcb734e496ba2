"""What config does to a node: circuit breakers, routing, gateways' hosts, entries, labels."""

from __future__ import annotations

from graph.kiali.existing import workloads_of
from graph.kiali.options import Options
from graph.kiali.traffic import Traffic, TrafficNode, is_version
from graph.model import Inventory, NodeKind, Service, ServiceRef

FEATURES = {
    "request-routing": "hasRequestRouting",
    "timeout": "hasRequestTimeout",
    "fault-injection": "hasFaultInjection",
    "traffic-shifting": "hasTrafficShifting",
    "tcp-traffic-shifting": "hasTCPTrafficShifting",
    "mirroring": "hasMirroring",
    "gateway-api": "isK8sGatewayAPI",
}
"""Badges of services to Kiali's flags."""
APP_LABELS = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
VERSION_LABELS = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")


def append_config(traffic: Traffic, inventory: Inventory) -> None:
    """Mark what DestinationRules, VirtualServices and Gateways do; not outside the wanted namespaces."""
    for node in traffic.nodes.values():
        if not node.data.get("isOutside"):
            if _breaks(node, inventory):
                node.data["hasCB"] = True
            service = _service(node, inventory)
            if service:
                _route(node, service)
        _gateway(node, inventory)


def append_workload_entries(traffic: Traffic, inventory: Inventory, options: Options) -> None:
    """Name the WorkloadEntries behind a node of the wanted namespaces."""
    for node in traffic.nodes.values():
        if node.namespace in options.namespaces and node.type in {"workload", "app"}:
            names = sorted({name for one in workloads_of(node, inventory) for name in one.entries})
            if names:
                node.data["hasWorkloadEntry"] = [{"name": name} for name in names]


def append_labels(traffic: Traffic, inventory: Inventory) -> None:
    """Add the labels that Kubernetes knows, without those that name app and version."""
    for node in traffic.nodes.values():
        if node.data.get("isOutside") or node.data.get("isInaccessible"):
            continue
        service = _service(node, inventory)
        found = (
            service.labels
            if service
            else {name: value for one in workloads_of(node, inventory)[:1] for name, value in one.labels.items()}
        )
        names = {_first(APP_LABELS, found), _first(VERSION_LABELS, found)}
        if labels := {name: value for name, value in found.items() if name not in names}:
            node.data["labels"] = labels


def _first(candidates: tuple[str, ...], labels: object) -> str:
    return next((name for name in candidates if name in labels), "")  # type: ignore[operator]


def _service(node: TrafficNode, inventory: Inventory) -> Service | None:
    if node.type != "service":
        return None
    return inventory.services.get(ServiceRef(node.cluster, node.namespace, node.service))


def _breaks(node: TrafficNode, inventory: Inventory) -> bool:
    """Whether limits or outlier detection apply: to the service, or to the services that an app was called by."""
    if node.type == "workload" and not is_version(node.version):
        return False
    service = _service(node, inventory)
    called = [service] if service else [inventory.services.get(ServiceRef(*one)) for one in node.called]
    return any(one and "circuit-breaker" in one.badges for one in called)


def _route(node: TrafficNode, service: Service) -> None:
    if "virtual-service" in service.badges:
        node.data["hasVS"] = {"hostnames": sorted(service.routes)} if service.routes else {}
    for badge, flag in FEATURES.items():
        if badge in service.badges:
            node.data[flag] = True
    app = next((service.labels[name] for name in APP_LABELS if name in service.labels), "")
    if app and not node.app:
        node.app = app


def _gateway(node: TrafficNode, inventory: Inventory) -> None:
    if node.type not in {"workload", "app"}:
        return
    found = [one for one in workloads_of(node, inventory) if one.kind is NodeKind.GATEWAY and one.hosts]
    if not found:
        return
    by_api = "gateway.networking.k8s.io/gateway-name" in found[0].labels
    egress = found[0].labels.get("istio") == "egressgateway"
    name = "gatewayAPIInfo" if by_api else "egressInfo" if egress else "ingressInfo"
    empty: dict[str, object] = {"ingressInfo": {}, "egressInfo": {}, "gatewayAPIInfo": {}}
    node.data["isGateway"] = empty | {name: {"hostnames": sorted({host for one in found for host in one.hosts})}}
    if by_api:
        node.data["isK8sGatewayAPI"] = True
