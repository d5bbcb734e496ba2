"""Sidecar: what the proxies of some workloads know of the mesh, and how they take in what comes for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Final, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field

from mesh_runtime.api.networking.destination import Destination
from mesh_runtime.api.networking.destination_rule import ConnectionPool
from mesh_runtime.api.networking.server_tls import ServerTLS
from mesh_runtime.api.networking.service_entry import UNIX, WorkloadSelector, socket_complaint
from mesh_runtime.api.problems import quoted
from mesh_runtime.api.spec import Flaw, Many, Some, Spec, repeated, text
from mesh_runtime.api.values import AnyCase, Port, address, dns_label, host

ANY: Final = "*"
OWN: Final = "."
NONE: Final = "~"
_LOCAL: Final = re.compile(r"(127\.0\.0\.1|0\.0\.0\.0|\[::1\]|\[::\]):([0-9]{1,5})")
_ANYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - as which the workload's own address is written

CaptureMode = Literal["DEFAULT", "IPTABLES", "NONE"]


def _bind(value: str) -> str | None:
    if value.startswith("unix:"):
        return "workloads share their machine's files: proxies would take a socket from each other"
    return address(value) if value else None


def _endpoint(value: str) -> str | None:
    if value.startswith(UNIX):
        return socket_complaint(value.removeprefix(UNIX))
    found = _LOCAL.fullmatch(value)
    if found and 1 <= int(found[2]) <= 65535:
        return None
    return f"{quoted(value)} is not a place of the workload itself"


def _imported(value: str) -> str | None:
    namespace, slash, name = value.partition("/")
    if not slash:
        return f"{quoted(value)} does not say of which namespace"
    if namespace not in {ANY, OWN, NONE} and dns_label(namespace.removeprefix(NONE)):
        return f"{quoted(namespace)} is not a namespace"
    return host(name)


def _read(written: str) -> Import:
    where, _, name = written.partition("/")
    return Import(where.removeprefix(NONE) or ANY, name, where.startswith(NONE))


Bind = Annotated[str, AfterValidator(text(_bind, "leave it out: each workload has an address of its own"))]
"""An IP address, which stands for the workload's own: workloads share their machine."""


class ListenerPort(Spec):
    """A port to listen on."""

    ignored: ClassVar[frozenset[str]] = frozenset({"targetPort"})
    """It has no effect in Istio either."""

    number: Port
    protocol: Annotated[
        Literal["HTTP", "HTTP_PROXY", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "TLS", "TCP", "MONGO", "MYSQL", "REDIS"],
        AnyCase,
    ]
    name: str = Field(min_length=1, max_length=253)


class IngressListener(Spec):
    """One port of the workload as others call it, and where the application is."""

    port: ListenerPort
    bind: Bind = ""
    capture_mode: CaptureMode = "DEFAULT"
    """Nothing is captured here: what is sent to the workload comes to its proxy, in any mode."""
    default_endpoint: Annotated[
        str, AfterValidator(text(_endpoint, "write 127.0.0.1:PORT, 0.0.0.0:PORT or unix:///path"))
    ] = ""
    """Empty: the same port of the application."""
    connection_pool: ConnectionPool | None = None
    tls: ServerTLS | None = None
    """Holds where mutual TLS is switched off for the port, as in Istio."""

    def flaws(self) -> Iterator[Flaw]:
        """TLS of callers outside of the mesh ends here."""
        if self.tls and self.tls.mode not in {"SIMPLE", "MUTUAL"}:
            yield Flaw(("tls", "mode"), f"{self.tls.mode} is for gateways", "use SIMPLE or MUTUAL")

    def endpoint(self, own: str) -> tuple[str, int]:
        """Return where the application is, whose usual address is *own*: an address (or socket) and a port."""
        if self.default_endpoint.startswith(UNIX):
            return self.default_endpoint, 0
        where, _, port = self.default_endpoint.rpartition(":")
        written = where.strip("[]")
        return written if written and written not in _ANYWHERE else own, int(port or self.port.number)


class Import(NamedTuple):
    """Hosts of a namespace that are known, or those that are not, whatever else says they are."""

    namespace: str
    host: str
    excluded: bool


class EgressListener(Spec):
    """What can be called: of one port, or of all that no other listener has.

    A port for ``HTTP_PROXY`` takes requests to any port of its hosts, which are known there only.
    """

    port: ListenerPort | None = None
    bind: Bind = ""
    capture_mode: CaptureMode = "DEFAULT"
    """``NONE``: the application speaks to the listener by its number, at the workload's address."""
    hosts: Some[
        Annotated[str, AfterValidator(text(_imported, "write it like shop/*, ./*, */api.example.com or ~shop/*"))]
    ]
    """``namespace/host``: of whose services and routes which are known; ``~namespace/host``: which are not."""

    @property
    def imports(self) -> tuple[Import, ...]:
        """The hosts, read. ``~`` alone stands for all namespaces."""
        return tuple(map(_read, self.hosts))

    @property
    def is_spoken_to(self) -> bool:
        """Whether applications speak to its port."""
        return bool(self.bind) or self.capture_mode == "NONE" or self.is_proxy

    @property
    def is_proxy(self) -> bool:
        """Whether its port is none of its hosts' own."""
        return self.port is not None and self.port.protocol == "HTTP_PROXY"

    @property
    def at_all_ports(self) -> Self:
        """The same, for hosts at any port."""
        return self.model_copy(update={"port": None})

    def flaws(self) -> Iterator[Flaw]:
        """An address is one of a port."""
        if self.bind and self.port is None:
            yield Flaw(("bind",), "needs a port", "add the port, or remove it")


class SidecarTrafficPolicy(Spec):
    """What becomes of calls to hosts that are not known."""

    mode: Literal["REGISTRY_ONLY", "ALLOW_ANY"] = "REGISTRY_ONLY"
    egress_proxy: Destination | None = None
    """Whom they are sent to instead, as they are; ``None``: to where they are meant to go."""

    def flaws(self) -> Iterator[Flaw]:
        """There is something to send, and a port to send it to."""
        if self.egress_proxy and self.mode != "ALLOW_ANY":
            yield Flaw(("egressProxy",), f"gets nothing where the mode is {self.mode}", "use the mode ALLOW_ANY")
        elif self.egress_proxy and self.egress_proxy.port is None:
            yield Flaw(("egressProxy", "port"), "is needed", "add port.number")


class Sidecar(Spec):
    """For the workloads that it selects, else for its namespace; in the root one, for all without one of their own."""

    workload_selector: WorkloadSelector | None = None
    ingress: Many[IngressListener] = ()
    """Empty: every port of the workload is taken in as its services say."""
    inbound_connection_pool: ConnectionPool | None = None
    egress: Many[EgressListener] = ()
    """Empty: all that the namespace may see is known."""
    outbound_traffic_policy: SidecarTrafficPolicy | None = None
    """``None``: as the mesh."""

    @property
    def labels(self) -> dict[str, str]:
        """Which workloads are meant; empty: all."""
        return self.workload_selector.labels if self.workload_selector else {}

    def flaws(self) -> Iterator[Flaw]:
        """Something is said, each port once, and what is for all other ports comes last."""
        if not self.has("ingress", "egress", "outbound_traffic_policy", "inbound_connection_pool"):
            yield Flaw((), "says nothing", "add ingress, egress, outboundTrafficPolicy or inboundConnectionPool")
        yield from _port_flaws("ingress", [one.port for one in self.ingress])
        yield from _port_flaws("egress", [one.port for one in self.egress if one.port])
        for index, one in enumerate(self.egress[:-1]):
            if one.port is None:
                yield Flaw(("egress", index), "is for all other ports, but not the last one", "move it to the end")


def _port_flaws(name: str, ports: Sequence[ListenerPort]) -> Iterator[Flaw]:
    for index, number in repeated(port.number for port in ports):
        yield Flaw((name, index, "port", "number"), f"the port {number} is there twice", "remove one")
