"""ServiceEntry and WorkloadEntry: what the mesh calls without running it, and what runs outside of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mesh_runtime.api.core import tcp_only
from mesh_runtime.api.problems import quoted
from mesh_runtime.api.protocols import HTTP, by_word
from mesh_runtime.api.spec import Flaw, Many, Some, Spec, refused, repeated, text
from mesh_runtime.api.values import (
    AnyCase,
    DnsLabel,
    DnsName,
    Host,
    Labels,
    Port,
    Subnet,
    address,
    dns_label,
    dns_name,
    label_value,
)

UNIX = "unix://"
_LOCALITY_PARTS = 3
_LONGEST_PATH = 107
"""What the kernel takes for the path of a socket."""


def _endpoint(value: str) -> str | None:
    if value.startswith(UNIX):
        return socket_complaint(value.removeprefix(UNIX))
    if not value or address(value) is None or dns_name(value) is None:
        return None
    return f"{quoted(value)} is neither an IP address nor a DNS name"


def socket_complaint(path: str) -> str | None:
    """Complain about what cannot be the path of a socket, or ``@`` and an abstract name."""
    if len(path.encode()) > _LONGEST_PATH:
        return f"the path of the socket is longer than {_LONGEST_PATH} bytes"
    if (path.startswith("@") and len(path) > 1) or (path.startswith("/") and not path.endswith("/")):
        return None
    return f"{quoted(path)} is not the absolute path of a socket"


def _locality(value: str) -> str | None:
    parts = value.split("/")
    if len(parts) > _LOCALITY_PARTS or any(not part for part in parts[:-1]):
        return f"{quoted(value)} is not a locality"
    return next((complaint for part in parts if (complaint := label_value(part))), None)


def _export(value: str) -> str | None:
    if value in {".", "*", "~"} or dns_label(value) is None:
        return None
    return f"{quoted(value)} is not a namespace"


def _exports(values: tuple[str, ...]) -> tuple[str, ...]:
    alone = next((value for value in values if value in {"*", "~"}), None)
    if alone and len(values) > 1:
        raise refused(f"{alone} says all that there is to say", "keep only it, or only namespaces")
    return values


ExportTo = Annotated[
    Many[Annotated[str, AfterValidator(text(_export, "write a namespace, . for its own, or * for all"))]],
    AfterValidator(_exports),
]
"""Namespaces that see an object: ``.`` its own, ``*`` all, ``~`` none; nothing written: what the mesh's config says."""

Locality = Annotated[str, AfterValidator(text(_locality, "write it like region/zone/subzone"))]


class WorkloadTemplate(Spec):
    """What workloads of one kind have in common."""

    ports: dict[DnsLabel, Port] = Field(default_factory=dict)
    """Port name to the port it listens on."""
    labels: Labels = Field(default_factory=dict)
    network: str = Field(default="", max_length=255)
    locality: Locality = ""
    """``region/zone/subzone``."""
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """0: as 1, as in Istio."""
    service_account: DnsName = ""


class WorkloadEntry(WorkloadTemplate):
    """One instance of a workload, by address: an IP address, a DNS name, or ``unix://`` and a socket's path."""

    address: Annotated[str, AfterValidator(text(_endpoint))] = ""
    """Empty only where ``network`` says behind whose gateway it is."""

    @property
    def is_socket(self) -> bool:
        """Whether it listens on a Unix socket."""
        return self.address.startswith(UNIX)

    def flaws(self) -> Iterator[Flaw]:
        """An address is needed, and a socket has no ports."""
        if not self.address and not self.network:
            yield Flaw(("address",), "is required", "add it")
        if self.is_socket and self.ports:
            yield Flaw(("ports",), "a Unix socket has no ports", "remove them")


class ServicePort(Spec):
    """A port of a ServiceEntry."""

    number: Port
    protocol: Annotated[
        Literal[
            "", "HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY", "TLS", "TCP", "MONGO", "MYSQL", "REDIS"
        ],
        BeforeValidator(tcp_only),
        AnyCase,
    ] = ""
    """``HTTPS`` and ``TLS``: bytes that the application has encrypted, told apart by the server's name. Nothing:
    each connection shows what it speaks."""
    name: DnsLabel
    target_port: Port | None = None


class WorkloadSelector(Spec):
    """Which workloads of the namespace answer: those that carry these labels, all where there are none."""

    labels: Labels = Field(default_factory=dict)


class ServiceEntry(Spec):
    """A service the mesh does not run: its hosts, ports and where to find it."""

    hosts: Some[Host]
    addresses: Many[Subnet] = ()
    """Addresses, and networks of them, by which callers know it, beside its hosts."""
    ports: Many[ServicePort] = ()
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"] = "NONE"
    """``NONE``: where the caller says, by address or name; ``DYNAMIC_DNS``: by the name in each request."""
    endpoints: Many[WorkloadEntry] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: ExportTo = ()
    subject_alt_names: Many[str] = ()
    """Who may answer, by a name in its certificate."""

    def flaws(self) -> Iterator[Flaw]:
        """Endpoints fit the way they are found."""
        for index, name in enumerate(self.hosts):
            if name == "*":
                yield Flaw(("hosts", index), "* stands for every host", "name hosts, or use *. before a domain")
        if self.endpoints and self.workload_selector:
            yield Flaw(("endpoints",), "endpoints and workloadSelector exclude each other", "keep one of them")
        yield from self._port_flaws()
        yield from self._address_flaws()
        match self.resolution:
            case "STATIC":
                yield from self._static_flaws()
            case "DNS" | "DNS_ROUND_ROBIN":
                yield from self._dns_flaws()
            case "NONE" if self.endpoints:
                yield Flaw(("endpoints",), "resolution NONE has no endpoints", "use resolution: STATIC or DNS")
            case "DYNAMIC_DNS":
                yield from self._dynamic_flaws()

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
            if endpoint.is_socket and len(self.ports) != 1:
                message = "a Unix socket needs a ServiceEntry with exactly one port"
                yield Flaw(("endpoints", index, "address"), message, "declare the others in another one")
        for index, port in enumerate(self.ports):
            raw = by_word(port.protocol) not in {*HTTP, "tls"}
            if raw and len(self.hosts) > 1 and self.resolution != "NONE":
                message = f"the bytes of {port.protocol or 'an unknown protocol'} do not say which host they are for"
                yield Flaw(("ports", index, "protocol"), message, "write a ServiceEntry for each host")

    def _address_flaws(self) -> Iterator[Flaw]:
        for index, value in enumerate(self.addresses):
            if "/" in value and self.resolution not in {"NONE", "STATIC"}:
                message = f"a network is allowed with resolution NONE or STATIC, not {self.resolution}"
                yield Flaw(("addresses", index), message, "write single addresses")

    def _static_flaws(self) -> Iterator[Flaw]:
        for index, endpoint in enumerate(self.endpoints):
            if endpoint.address and not endpoint.is_socket and address(endpoint.address):
                yield Flaw(
                    ("endpoints", index, "address"),
                    f"{quoted(endpoint.address)} is not an IP address",
                    "write one, or use resolution: DNS",
                )

    def _dns_flaws(self) -> Iterator[Flaw]:
        if not self.endpoints and any(name.startswith("*") for name in self.hosts):
            yield Flaw(("endpoints",), "a host with * cannot be looked up in DNS", "add endpoints")
        if self.resolution == "DNS_ROUND_ROBIN" and len(self.endpoints) > 1:
            yield Flaw(("endpoints",), "DNS_ROUND_ROBIN has one endpoint at most", "use resolution: DNS")
        for index, endpoint in enumerate(self.endpoints):
            if endpoint.is_socket:
                yield Flaw(("endpoints", index, "address"), "a socket has no DNS name", "use resolution: STATIC")

    def _dynamic_flaws(self) -> Iterator[Flaw]:
        for name in self.has("addresses", "endpoints"):
            if getattr(self, name):
                yield Flaw(
                    (name,), "DYNAMIC_DNS finds hosts by their names alone", "remove them, or use another resolution"
                )
        for index, name in enumerate(self.hosts):
            if not name.startswith("*"):
                yield Flaw(("hosts", index), "DYNAMIC_DNS is for hosts with *", "use resolution: DNS")
        for index, port in enumerate(self.ports):
            if by_word(port.protocol) not in {*HTTP, "tls"}:
                message = "DYNAMIC_DNS needs requests or TLS, which say which host they are for"
                yield Flaw(("ports", index, "protocol"), message, "use HTTP or TLS, or name the host")
