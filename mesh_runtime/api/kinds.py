"""The kinds that can be configured."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from mesh_runtime.api.core import ConfigMap, Namespace, Service, ServiceAccount
from mesh_runtime.api.networking import (
    DestinationRule,
    Gateway,
    ServiceEntry,
    Sidecar,
    VirtualService,
    WorkloadEntry,
    WorkloadGroup,
)
from mesh_runtime.api.networking.envoy_filter import EnvoyFilter
from mesh_runtime.api.networking.proxy_config import ProxyConfig
from mesh_runtime.api.secrets import Secret
from mesh_runtime.api.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from mesh_runtime.api.spec import ISTIO, KUBERNETES, Spec, unsupported
from mesh_runtime.api.telemetry import Telemetry


class Kind(NamedTuple):
    """A kind, its names, and what its spec is."""

    group: str
    versions: tuple[str, ...]
    """Accepted; the first is the canonical one."""
    kind: str
    plural: str
    short_names: tuple[str, ...]
    namespaced: bool
    spec_model: type[Spec]
    flat: bool = False
    """Its fields stand beside ``metadata``, not under ``spec``."""

    @property
    def api_version(self) -> str:
        """The canonical ``apiVersion``."""
        return self.api_versions[0]

    @property
    def api_versions(self) -> tuple[str, ...]:
        """All that are accepted."""
        return tuple(f"{self.group}/{version}" if self.group else version for version in self.versions)


def _networking(kind: str, plural: str, model: type[Spec], *short: str) -> Kind:
    versions = ("v1", "v1beta1", "v1alpha3")
    return Kind("networking.istio.io", versions, kind, plural, short, namespaced=True, spec_model=model)


def _security(kind: str, plural: str, short: str, model: type[Spec]) -> Kind:
    versions = ("v1", "v1beta1")
    return Kind("security.istio.io", versions, kind, plural, (short,), namespaced=True, spec_model=model)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.kind: kind
        for kind in (
            Kind("", ("v1",), "Namespace", "namespaces", ("ns",), namespaced=False, spec_model=Namespace),
            Kind("", ("v1",), "ServiceAccount", "serviceaccounts", ("sa",), namespaced=True, spec_model=ServiceAccount),
            Kind("", ("v1",), "Service", "services", ("svc",), namespaced=True, spec_model=Service),
            Kind("", ("v1",), "Secret", "secrets", (), namespaced=True, spec_model=Secret, flat=True),
            Kind("", ("v1",), "ConfigMap", "configmaps", ("cm",), namespaced=True, spec_model=ConfigMap, flat=True),
            _networking("WorkloadEntry", "workloadentries", WorkloadEntry, "we"),
            _networking("WorkloadGroup", "workloadgroups", WorkloadGroup, "wg"),
            _networking("ServiceEntry", "serviceentries", ServiceEntry, "se"),
            _networking("DestinationRule", "destinationrules", DestinationRule, "dr"),
            _networking("Gateway", "gateways", Gateway, "gw"),
            _networking("VirtualService", "virtualservices", VirtualService, "vs"),
            _networking("Sidecar", "sidecars", Sidecar),
            Kind(
                "networking.istio.io",
                ("v1beta1",),
                "ProxyConfig",
                "proxyconfigs",
                (),
                namespaced=True,
                spec_model=ProxyConfig,
            ),
            Kind(
                "networking.istio.io",
                ("v1alpha3",),
                "EnvoyFilter",
                "envoyfilters",
                ("ef",),
                namespaced=True,
                spec_model=EnvoyFilter,
            ),
            _security("PeerAuthentication", "peerauthentications", "pa", PeerAuthentication),
            _security("RequestAuthentication", "requestauthentications", "ra", RequestAuthentication),
            _security("AuthorizationPolicy", "authorizationpolicies", "ap", AuthorizationPolicy),
            Kind(
                "telemetry.istio.io",
                ("v1", "v1alpha1"),
                "Telemetry",
                "telemetries",
                ("telemetry",),
                namespaced=True,
                spec_model=Telemetry,
            ),
        )
    }
)
"""By kind, in the order in which ``get`` lists them."""

_ISTIO = frozenset(
    {
        "TrafficExtension",
        "WasmPlugin",
    }
)
_KUBERNETES = frozenset({"Endpoints", "EndpointSlice", "Ingress"})
_WORKLOADS = frozenset({"CronJob", "DaemonSet", "Deployment", "Job", "Pod", "ReplicaSet", "StatefulSet"})
_OTHER_APIS = {
    "gateway.networking.k8s.io": "the Gateway API",
    "split.smi-spec.io": "SMI",
    "specs.smi-spec.io": "SMI",
    "access.smi-spec.io": "SMI",
}


def why_not(group: str, kind: str) -> tuple[str, str] | None:
    """Say what a kind is that exists elsewhere, and what to do instead; ``None``: it is nobody's, or ours."""
    if group in _OTHER_APIS:
        return unsupported(_OTHER_APIS[group], kind), "use Istio's kinds"
    if kind in _ISTIO:
        return unsupported(ISTIO, kind), "use an EnvoyFilter with one of Envoy's own filters, such as Lua"
    if kind in _WORKLOADS:
        return (
            f"{kind} is Kubernetes'; this runtime does not support workloads as config",
            "start them with meshscope run",
        )
    if kind in _KUBERNETES:
        return unsupported(KUBERNETES, kind), "remove it"
    return None


_BY_NAME = {name.lower(): kind for kind in KINDS.values() for name in (kind.kind, kind.plural, *kind.short_names)}


def find_kind(name: str) -> Kind | None:
    """Find a kind by its name, plural or short name, in any case, with or without ``.group``."""
    plain, _, group = name.lower().partition(".")
    kind = _BY_NAME.get(plain)
    return kind if kind and (not group or group == kind.group) else None
