"""What can be called by name: Services, and the hosts of ServiceEntries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mesh_runtime.api.core import Service
from mesh_runtime.api.hosts import service_host
from mesh_runtime.api.networking import ServiceEntry, WorkloadEntry
from mesh_runtime.xds.translate.spec import spec_of

if TYPE_CHECKING:
    from mesh_runtime.xds.translate.world import World

Protocol = Literal["http", "http2", "grpc", "tcp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshPort:
    """A port of a service."""

    number: int
    name: str
    protocol: Protocol
    target: int | str | None = None
    """Number or name at the workload; ``None``: as ``number``."""

    @property
    def is_http(self) -> bool:
        """Whether requests can be told apart in it."""
        return self.protocol != "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshService:
    """Something that can be called by name: a Service, or one host of a ServiceEntry."""

    host: str
    name: str
    namespace: str
    ports: tuple[MeshPort, ...]
    selector: Mapping[str, str]
    """Empty: no workload of the mesh."""
    listed: tuple[WorkloadEntry, ...] = ()
    """Endpoints by address, not by selector."""
    external: bool = False
    by_dns: bool = False

    def port(self, number: int) -> MeshPort | None:
        """Return the port with this number."""
        return next((port for port in self.ports if port.number == number), None)

    @property
    def default_http_port(self) -> MeshPort | None:
        """The port meant by a name without one."""
        http = [port for port in self.ports if port.is_http]
        return next((port for port in http if port.number == 80), http[0] if http else None)


def declared_services(world: World) -> Iterator[MeshService]:
    """Yield what Service objects declare."""
    for item in world.objects("Service"):
        spec = spec_of(item, Service)
        outside = spec.type == "ExternalName"
        yield MeshService(
            host=service_host(item.key.name, item.key.namespace),
            name=item.key.name,
            namespace=item.key.namespace,
            ports=tuple(
                MeshPort(
                    number=port.port,
                    name=port.name,
                    protocol=_protocol(port.mesh_protocol),
                    target=port.target_port,
                )
                for port in spec.ports
            ),
            selector={} if outside else spec.selector,
            listed=(WorkloadEntry(address=spec.external_name),) if outside else (),
            external=outside,
            by_dns=outside,
        )


def service_entries(world: World) -> Iterator[MeshService]:
    """Yield what ServiceEntry objects declare, host by host."""
    for item in world.objects("ServiceEntry"):
        spec = spec_of(item, ServiceEntry)
        for host in spec.hosts:
            by_dns = spec.resolution == "DNS"
            yield MeshService(
                host=host,
                name=host,
                namespace=item.key.namespace,
                ports=tuple(
                    MeshPort(
                        number=port.number,
                        name=port.name,
                        protocol=_protocol(port.protocol.lower()),
                        target=port.target_port,
                    )
                    for port in spec.ports
                ),
                selector={},
                listed=spec.endpoints or ((WorkloadEntry(address=host),) if by_dns else ()),
                external=spec.location == "MESH_EXTERNAL",
                by_dns=by_dns,
            )


def _protocol(name: str) -> Protocol:
    return name if name in {"http", "http2", "grpc"} else "tcp"  # type: ignore[return-value]
