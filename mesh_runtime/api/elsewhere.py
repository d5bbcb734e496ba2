"""Fields of Istio's mesh config whose work is done elsewhere here: accepted, so that a config stays whole, and told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_INGRESS: Final = "there are no Ingress objects here; use a Gateway and a VirtualService"
_ENVOY: Final = "Envoy and its bootstrap come with the runtime"
_SERVER: Final = "agents connect their proxies to the server that they belong to"
_DRAINED: Final = "how long proxies drain says `meshscope run --drain`"
_ADMIN: Final = "proxies listen to nobody but their agent; ask for what they have by `meshscope proxy-config`"

OF_THE_MESH: Final[Mapping[str, str]] = {
    "disableEnvoyListenerLog": "listeners log connections only where access logs are wanted",
    "enablePrometheusMerge": 'proxies show their own metrics only; add a [[sources]] of type "scrape" for applications\'',
    "ingressClass": _INGRESS,
    "ingressControllerMode": _INGRESS,
    "ingressSelector": _INGRESS,
    "ingressService": _INGRESS,
    "meshMTLS": "members of the mesh speak TLS 1.3 with each other, and nothing older",
}
"""Fields of MeshConfig, and what there is instead of them."""

OF_PROXIES: Final[Mapping[str, str]] = {
    "availabilityZone": "where a workload is says `meshscope run --locality`, or its WorkloadGroup",
    "binaryPath": _ENVOY,
    "configPath": _ENVOY,
    "controlPlaneAuthPolicy": _SERVER,
    "controlPlanePort": _SERVER,
    "discoveryAddress": _SERVER,
    "drainDuration": _DRAINED,
    "holdApplicationUntilProxyStarts": "commands are never started before their proxy is ready",
    "image": "there are no images here",
    "interceptionMode": "nothing is captured here: programs speak to their proxy",
    "meshId": "metrics tell meshes apart by their cluster",
    "proxyAdminPort": _ADMIN,
    "readinessProbe": "whether a workload is ready says `meshscope run --health`, or the probe of its WorkloadGroup",
    "serviceCluster": "proxies have the names of their workloads",
    "statNameLength": "names in metrics are never cut",
    "statusPort": _ADMIN,
    "terminationDrainDuration": _DRAINED,
}
"""Fields of MeshConfig's ``defaultConfig``, and what there is instead of them."""
