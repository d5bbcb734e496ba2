"""Gateway: which ports and hosts a gateway's Envoy opens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mesh_runtime.api.spec import Flaw, Some, Spec, not_yet, repeated
from mesh_runtime.api.values import AnyCase, GatewayHost, Labels, Port


class GatewayPort(Spec):
    """A port to listen on."""

    later = frozenset({"targetPort"})

    number: Port
    protocol: Annotated[Literal["HTTP", "HTTP2", "GRPC"], not_yet("HTTPS", "TLS", "TCP", "MONGO"), AnyCase]
    name: str = Field(min_length=1, max_length=253)


class Server(Spec):
    """One port and the hosts served there; a host may carry the namespace of the VirtualServices it is for."""

    later = frozenset({"bind", "defaultEndpoint", "tls"})

    port: GatewayPort
    hosts: Some[GatewayHost]
    name: str = ""

    def flaws(self) -> Iterator[Flaw]:
        """Each host once."""
        for index, name in repeated(self.hosts):
            yield Flaw(("hosts", index), f"{name} is there twice", "remove one")


class Gateway(Spec):
    """Ports of the gateways whose labels the selector finds."""

    later: ClassVar[frozenset[str]] = frozenset()

    selector: Labels
    servers: Some[Server]

    def flaws(self) -> Iterator[Flaw]:
        """Servers do not get into each other's way."""
        if not self.selector:
            yield Flaw(("selector",), "selects nothing", "add the labels of a gateway, such as istio: ingressgateway")
        for index, name in repeated([server.port.name for server in self.servers]):
            yield Flaw(("servers", index, "port", "name"), f"the port name {name} is there twice", "rename one")
        taken: dict[tuple[int, str], int] = {}
        for index, server in enumerate(self.servers):
            for at, host in enumerate(server.hosts):
                first = taken.setdefault((server.port.number, host), index)
                if first != index:
                    yield Flaw(
                        ("servers", index, "hosts", at),
                        f"{host} on port {server.port.number} is served by servers[{first}] already",
                        "remove one",
                    )
