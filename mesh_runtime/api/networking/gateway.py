"""Gateway: which ports and hosts a gateway's Envoy opens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mesh_runtime.api.networking.server_tls import ServerTLS
from mesh_runtime.api.spec import Flaw, Some, Spec, refused, repeated, text
from mesh_runtime.api.values import AnyCase, GatewayHost, Labels, Port, address, sni_host

GatewayProtocol = Literal["HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "TLS", "TCP", "MONGO", "MYSQL", "REDIS"]
PLAIN_HTTP: Final = frozenset({"HTTP", "HTTP2", "GRPC", "GRPC-WEB"})
OVER_TLS: Final = frozenset({"HTTPS", "TLS"})


def _no_target(value: Any) -> Any:
    if value:
        raise refused("means nothing at a Gateway", "remove it; number is what is opened")
    return value


def _bind(value: str) -> str | None:
    if value.startswith("unix:"):
        return "a gateway's replicas share their machine's files: they would take a socket from each other"
    return address(value) if value else None


class GatewayPort(Spec):
    """A port to listen on."""

    number: Port
    protocol: Annotated[GatewayProtocol, AnyCase]
    name: str = Field(min_length=1, max_length=253)
    target_port: Annotated[int, BeforeValidator(_no_target)] = 0


class Server(Spec):
    """One port and the hosts served there; a host may carry the namespace of the VirtualServices it is for."""

    ignored = frozenset({"defaultEndpoint"})
    """Istio has never implemented it."""

    port: GatewayPort
    hosts: Some[GatewayHost]
    tls: ServerTLS | None = None
    bind: Annotated[str, AfterValidator(text(_bind, "write an IP address of the gateway's machine"))] = ""
    """The address to listen on; empty: the gateway's."""
    name: str = Field(default="", max_length=253)

    @property
    def is_http(self) -> bool:
        """Whether requests can be told apart here."""
        return self.port.protocol in PLAIN_HTTP or (self.port.protocol == "HTTPS" and self.decrypts)

    @property
    def over_tls(self) -> bool:
        """Whether connections begin with TLS here, whoever ends it."""
        return self.tls is not None and self.port.protocol not in PLAIN_HTTP

    @property
    def decrypts(self) -> bool:
        """Whether TLS ends here."""
        return self.over_tls and self.tls is not None and self.tls.terminates

    @property
    def redirects(self) -> bool:
        """Whether requests are told to come back over TLS."""
        return self.tls is not None and self.tls.https_redirect

    def flaws(self) -> Iterator[Flaw]:
        """Each host once, and TLS where the protocol has it."""
        for index, name in repeated(self.hosts):
            yield Flaw(("hosts", index), f"{name} is there twice", "remove one")
        for index, name in enumerate(self.hosts):
            if self.over_tls and (complaint := sni_host(name.rpartition("/")[2])):
                yield Flaw(("hosts", index), complaint, "write *. before a domain")
        protocol, tls = self.port.protocol, self.tls
        if protocol in OVER_TLS:
            if tls is None:
                yield Flaw(("tls",), f"is needed for protocol {protocol}", "add it, with mode and credentialName")
        elif tls is not None and protocol not in PLAIN_HTTP:
            yield Flaw(("tls",), f"does not go with protocol {protocol}", "use protocol TLS, or remove it")
        elif tls is not None and (tls.terminates or tls.files or tls.ca_certificates):
            message = f"does not go with protocol {protocol}, but for httpsRedirect"
            yield Flaw(("tls",), message, "use protocol HTTPS, or keep httpsRedirect only")


class Gateway(Spec):
    """Ports of the gateways whose labels the selector finds; without a selector, of every gateway."""

    later: ClassVar[frozenset[str]] = frozenset()

    selector: Labels = Field(default_factory=dict)
    servers: Some[Server]

    def flaws(self) -> Iterator[Flaw]:
        """Servers do not get into each other's way."""
        for index, name in repeated([server.port.name for server in self.servers]):
            yield Flaw(("servers", index, "port", "name"), f"the port name {name} is there twice", "rename one")
        taken: dict[tuple[str, int, str], int] = {}
        for index, server in enumerate(self.servers):
            for at, host in enumerate(server.hosts):
                first = taken.setdefault((server.bind, server.port.number, host), index)
                if first != index:
                    yield Flaw(
                        ("servers", index, "hosts", at),
                        f"{host} on port {server.port.number} is served by servers[{first}] already",
                        "remove one",
                    )
