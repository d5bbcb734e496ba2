"""Which workloads are gateways, and which hosts config has them serve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from collectors.inventory.objects import GATEWAY_API, ISTIO, Object, Objects, parts, selects, texts
from graph.model import NodeKind, Workload

BY_API = "gateway.networking.k8s.io/gateway-name"
"""The label of the workload that was made for a Gateway of the Gateway API."""
MANAGED, WAYPOINT = "gateway.istio.io/managed", "istio.io-mesh-controller"
KINDS = frozenset({"ingressgateway", "egressgateway", "eastwestgateway"})
"""Values by which the label ``istio`` says that a workload is a gateway."""


def as_gateway(workload: Workload, objects: Objects) -> Workload:
    """Complete a workload by what Gateways say of it.

    By the field's convention a gateway carries the label ``istio`` that Gateways select; a sidecar that is selected
    by anything else is none.
    """
    if is_waypoint(workload):
        return workload
    selecting = [
        one for one in objects.of(ISTIO, "Gateway") if selects(one.spec.get("selector") or {}, workload.labels)
    ]
    is_gateway = (
        workload.kind is NodeKind.GATEWAY
        or BY_API in workload.labels
        or workload.labels.get("istio") in KINDS
        or any("istio" in one.spec["selector"] for one in selecting)
    )
    if not is_gateway:
        return workload
    found = {host: None for one in selecting for host in _hosts(one)} | dict.fromkeys(_by_api(workload, objects))
    return replace(workload, kind=NodeKind.GATEWAY, hosts=tuple(found))


def is_waypoint(workload: Workload) -> bool:
    """Tell whether it is a waypoint, by the label that Istio puts on them."""
    return workload.labels.get(MANAGED) == WAYPOINT


def _hosts(gateway: Object) -> Iterator[str]:
    """Yield the hosts of a Gateway, without the namespaces whose VirtualServices may use them."""
    for server in parts(gateway.spec, "servers"):
        yield from (host.rpartition("/")[2] for host in texts(server, "hosts"))


def _by_api(workload: Workload, objects: Objects) -> Iterator[str]:
    for one in objects.of(GATEWAY_API, "Gateway"):
        if (one.namespace, one.name) == (workload.ref.namespace, workload.labels.get(BY_API)):
            yield from (str(listener.get("hostname") or "*") for listener in parts(one.spec, "listeners"))
