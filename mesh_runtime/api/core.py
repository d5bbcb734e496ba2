"""Specs of Kubernetes' core kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mesh_runtime.api.protocols import Protocol, by_port
from mesh_runtime.api.spec import KUBERNETES, Flaw, Many, Spec, refused, repeated, text
from mesh_runtime.api.values import DnsName, Labels, NumberOrName, Port, address, dns_label


def tcp_only(value: Any) -> Any:
    """Refuse protocols that are not carried on TCP: a proxy would leave them out without a word."""
    if isinstance(value, str) and value.upper() in {"UDP", "SCTP"}:
        raise refused(
            f"{value} does not go through the mesh: sidecars carry TCP only",
            "remove the port; the application can be reached at its own address",
        )
    return value


def _port_name(value: str) -> str | None:
    return None if not value or dns_label(value) is None else f'"{value}" is not a port name'


def _cluster_ip(value: str) -> str | None:
    return None if value in {"", "None"} else address(value)


class ServicePort(Spec):
    """A port of a Service."""

    owner = KUBERNETES
    ignored = frozenset({"nodePort"})

    name: Annotated[str, AfterValidator(text(_port_name, "use lower-case letters, digits and '-'"))] = ""
    port: Port
    target_port: NumberOrName = None
    """Number, or name among the workload's ports; ``None``: as ``port``."""
    protocol: Annotated[Literal["TCP"], BeforeValidator(tcp_only)] = "TCP"
    app_protocol: str = Field(default="", max_length=63)

    @property
    def mesh_protocol(self) -> Protocol:
        """What is spoken here, by Istio's rule: appProtocol, else the name before ``-``."""
        return by_port(self.port, self.name, self.app_protocol)

    @property
    def takes_requests(self) -> bool:
        """Whether requests can be told apart here, if only where a connection shows to be HTTP."""
        return self.mesh_protocol not in {"tcp", "tls"}


class Service(Spec):
    """A name for the workloads its selector finds in its namespace."""

    owner: ClassVar[str] = KUBERNETES
    later: ClassVar[frozenset[str]] = frozenset({"externalIPs"})
    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            "clusterIPs",
            "ipFamilies",
            "ipFamilyPolicy",
            "internalTrafficPolicy",
            "externalTrafficPolicy",
            "healthCheckNodePort",
            "allocateLoadBalancerNodePorts",
            "loadBalancerIP",
            "loadBalancerClass",
            "loadBalancerSourceRanges",
            # Istio's proxies choose an endpoint for each request, whoever the client is.
            "sessionAffinity",
            "sessionAffinityConfig",
        }
    )

    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    """``NodePort`` and ``LoadBalancer`` are reached inside the mesh as ``ClusterIP``; gateways let others in."""
    cluster_ip: Annotated[str, Field(alias="clusterIP"), AfterValidator(text(_cluster_ip, "remove it"))] = ""
    """``None``: headless, each of its workloads has a name of its own. An address is a cluster's, and left out."""
    selector: Labels = Field(default_factory=dict)
    """It may find no workload; an empty one finds none."""
    ports: Many[ServicePort] = ()
    external_name: DnsName = ""
    traffic_distribution: Literal["", "PreferClose", "PreferSameZone", "PreferSameNode"] = ""
    """Which instances are called first, by where they are; ``PreferClose`` is the old name of ``PreferSameZone``."""
    publish_not_ready_addresses: bool = False
    """Traffic is sent also to workloads that do not listen yet, or end."""

    @model_validator(mode="before")
    @classmethod
    def _drop_address(cls, data: Any) -> Any:
        given = data.get("clusterIP") if isinstance(data, dict) else None
        if not isinstance(given, str) or (given and address(given)):
            return data
        return {name: value for name, value in data.items() if name != "clusterIP"}

    @property
    def headless(self) -> bool:
        """Whether it has no address, only its workloads'."""
        return self.cluster_ip == "None" and self.type != "ExternalName"

    def flaws(self) -> Iterator[Flaw]:
        """Ports are told apart by number and, where there are several, by name."""
        if self.type == "ExternalName":
            if not self.external_name:
                yield Flaw(("externalName",), "type ExternalName needs it", "add the DNS name")
        elif not self.ports and not self.headless:
            yield Flaw(("ports",), "is empty", "add a port")
        for index, number in repeated([port.port for port in self.ports]):
            yield Flaw(("ports", index, "port"), f"the port {number} is there twice", "remove one")
        if len(self.ports) > 1:
            yield from self._name_flaws()

    def _name_flaws(self) -> Iterator[Flaw]:
        for index, port in enumerate(self.ports):
            if not port.name:
                yield Flaw(("ports", index, "name"), "is needed where there are several ports", "add it, such as http")
        for index, name in repeated([port.name for port in self.ports]):
            if name:
                yield Flaw(("ports", index, "name"), f"the port name {name} is there twice", "rename one")


class Namespace(Spec):
    """A namespace has labels only."""

    ignored: ClassVar[frozenset[str]] = frozenset({"finalizers"})


class ServiceAccount(Spec):
    """A service account has a name only."""


class ConfigMap(Spec):
    """Text by name. ``istio`` in the root namespace configures the mesh: :mod:`mesh_runtime.api.mesh_config`."""

    owner: ClassVar[str] = KUBERNETES
    ignored: ClassVar[frozenset[str]] = frozenset({"immutable"})
    later: ClassVar[frozenset[str]] = frozenset({"binaryData"})

    data: dict[str, str] = Field(default_factory=dict)
