"""ServiceEntry and WorkloadEntry: what the mesh calls without running it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from mesh_runtime.api.problems import quoted
from mesh_runtime.api.spec import ISTIO, Flaw, Many, Some, Spec, not_yet, repeated, text, unsupported
from mesh_runtime.api.values import AnyCase, DnsLabel, DnsName, Host, Labels, Port, address, dns_name


def _endpoint(value: str) -> str | None:
    if value.startswith("unix://"):
        return unsupported(ISTIO, "an address with unix://")
    if address(value) is None or dns_name(value) is None:
        return None
    return f"{quoted(value)} is neither an IP address nor a DNS name"


class WorkloadEntry(Spec):
    """One instance of a workload, by address. As an object of its own it needs an IP address."""

    later: ClassVar[frozenset[str]] = frozenset({"network", "locality"})

    address: Annotated[str, AfterValidator(text(_endpoint))]
    ports: dict[DnsLabel, Port] = Field(default_factory=dict)
    """Port name to the port it listens on."""
    labels: Labels = Field(default_factory=dict)
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """0: as 1, as in Istio."""
    service_account: DnsName = ""


class ServicePort(Spec):
    """A port of a ServiceEntry."""

    number: Port
    protocol: Annotated[
        Literal["HTTP", "HTTP2", "GRPC", "TCP", "HTTPS", "TLS"],
        not_yet("HTTP_PROXY", "GRPC-WEB", "MONGO", "UDP"),
        AnyCase,
    ] = "TCP"
    """``HTTPS`` and ``TLS``: bytes that the application has encrypted, passed on as TCP."""
    name: DnsLabel
    target_port: Port | None = None


class ServiceEntry(Spec):
    """A service the mesh does not run: its hosts, ports and where to find it."""

    later: ClassVar[frozenset[str]] = frozenset({"addresses", "exportTo", "subjectAltNames", "workloadSelector"})

    hosts: Some[Host]
    ports: Some[ServicePort]
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Annotated[Literal["STATIC", "DNS"], not_yet("NONE", "DNS_ROUND_ROBIN", "DYNAMIC_DNS")]
    endpoints: Many[WorkloadEntry] = ()

    def flaws(self) -> Iterator[Flaw]:
        """Endpoints fit the way they are found."""
        for index, name in enumerate(self.hosts):
            if name == "*":
                yield Flaw(("hosts", index), "* stands for every host", "name hosts, or use *. before a domain")
        yield from self._port_flaws()
        if self.resolution == "STATIC":
            yield from self._static_flaws()
        elif not self.endpoints and any(name.startswith("*") for name in self.hosts):
            yield Flaw(("endpoints",), "a host with * cannot be looked up in DNS", "add endpoints")

    def _port_flaws(self) -> Iterator[Flaw]:
        for index, number in repeated([port.number for port in self.ports]):
            yield Flaw(("ports", index, "number"), f"the port {number} is there twice", "remove one")
        for index, name in repeated([port.name for port in self.ports]):
            yield Flaw(("ports", index, "name"), f"the port name {name} is there twice", "rename one")
        names = {port.name for port in self.ports}
        for index, endpoint in enumerate(self.endpoints):
            for name in endpoint.ports:
                if name not in names:
                    yield Flaw(
                        ("endpoints", index, "ports", name),
                        "is not a port of this ServiceEntry",
                        f"its ports are {', '.join(sorted(names))}",
                    )

    def _static_flaws(self) -> Iterator[Flaw]:
        if not self.endpoints:
            yield Flaw(("endpoints",), "resolution STATIC needs endpoints", "add endpoints with address")
        for index, endpoint in enumerate(self.endpoints):
            if address(endpoint.address):
                yield Flaw(
                    ("endpoints", index, "address"),
                    f"{quoted(endpoint.address)} is not an IP address",
                    "write one, or use resolution: DNS",
                )
