"""What config does to a node: circuit breakers, routing, gateways' hosts, entries, labels."""

from __future__ import annotations

from graph.kiali.existing import Existing
from graph.kiali.options import Options
from graph.kiali.traffic import Traffic, TrafficNode, is_version
from graph.model import NodeKind, Service, ServiceRef

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


def append_config(traffic: Traffic, existing: Existing) -> None:
    """Mark what DestinationRules, VirtualServices and Gateways do; not outside the wanted namespaces."""
    for node in traffic.nodes.values():
        if not node.data.get("isOutside"):
            if _breaks(node, existing):
                node.data["hasCB"] = True
            service = existing.service(node)
            if service:
                _route(node, service)
        _gateway(node, existing)


def append_workload_entries(traffic: Traffic, existing: Existing, options: Options) -> None:
    """Name the WorkloadEntries behind a node of the wanted namespaces."""
    for node in traffic.nodes.values():
        drawn = node.namespace in options.namespaces and node.type in {"workload", "app"}
        if drawn and (names := existing.entries(node)):
            node.data["hasWorkloadEntry"] = [{"name": name} for name in names]


def append_labels(traffic: Traffic, existing: Existing) -> None:
    """Add the labels that Kubernetes knows, without those that name app and version."""
    for node in traffic.nodes.values():
        if node.data.get("isOutside") or node.data.get("isInaccessible"):
            continue
        service = existing.service(node)
        found = (
            service.labels
            if service
            else {name: value for one in existing.behind(node)[:1] for name, value in one.labels.items()}
        )
        names = {_first(APP_LABELS, found), _first(VERSION_LABELS, found)}
        if labels := {name: value for name, value in found.items() if name not in names}:
            node.data["labels"] = labels


def _first(candidates: tuple[str, ...], labels: object) -> str:
    return next((name for name in candidates if name in labels), "")  # type: ignore[operator]


def _breaks(node: TrafficNode, existing: Existing) -> bool:
    """Whether limits or outlier detection apply: to a version, to the service, or to those that an app was called by."""
    if node.type == "workload" and not is_version(node.version):
        return False
    if is_version(node.version) and (versions := existing.behind(node)):
        return any("circuit-breaker" in one.badges for one in versions)
    service = existing.service(node)
    called = [service] if service else [existing.services.get(ServiceRef(*one)) for one in node.called]
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


def _gateway(node: TrafficNode, existing: Existing) -> None:
    if node.type not in {"workload", "app"}:
        return
    found = [one for one in existing.behind(node) if one.kind is NodeKind.GATEWAY and one.hosts]
    if not found:
        return
    by_api = "gateway.networking.k8s.io/gateway-name" in found[0].labels
    egress = found[0].labels.get("istio") == "egressgateway"
    name = "gatewayAPIInfo" if by_api else "egressInfo" if egress else "ingressInfo"
    empty: dict[str, object] = {"ingressInfo": {}, "egressInfo": {}, "gatewayAPIInfo": {}}
    node.data["isGateway"] = empty | {name: {"hostnames": sorted({host for one in found for host in one.hosts})}}
    if by_api:
        node.data["isK8sGatewayAPI"] = True
