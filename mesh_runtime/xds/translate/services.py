"""What can be called by name: Services with their workloads' own names, and the hosts of ServiceEntries."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from mesh_runtime.api.core import Service
from mesh_runtime.api.hosts import service_host
from mesh_runtime.api.networking import TOPOLOGY, ServiceEntry, WorkloadEntry
from mesh_runtime.api.objects import DOMAIN, ConfigObject
from mesh_runtime.api.protocols import HTTP, Protocol, by_word
from mesh_runtime.registry import Instance
from mesh_runtime.xds.translate.spec import spec_of

if TYPE_CHECKING:
    from mesh_runtime.xds.translate.world import World

__all__ = [
    "MeshPort",
    "MeshService",
    "Protocol",
    "by_host",
    "declared_services",
    "has_sidecar",
    "member_name",
    "member_services",
    "service_entries",
]

_EXPORT_TO: Final = "networking.istio.io/exportTo"
_DISTRIBUTION: Final = "networking.istio.io/traffic-distribution"
_SAME_ZONE: Final = TOPOLOGY[:2]
_SAME_NODE: Final = (*TOPOLOGY, "kubernetes.io/hostname")
_PREFERRED: Final = {"preferclose": _SAME_ZONE, "prefersamezone": _SAME_ZONE, "prefersamenode": _SAME_NODE}
"""What ``trafficDistribution`` and the annotation say, in any case, as the labels of nearness."""


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
        """Whether requests can be told apart in it, if only where a connection shows to be HTTP."""
        return self.protocol in HTTP or self.protocol == "auto"

    @property
    def is_raw(self) -> bool:
        """Whether bytes of any kind come here, so that callers need an address for it, not only a name."""
        return self.protocol not in HTTP


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshService:
    """Something that can be called by name: a Service, one workload of it, or one host of a ServiceEntry."""

    host: str
    name: str
    namespace: str
    ports: tuple[MeshPort, ...]
    selector: Mapping[str, str] | None
    """Which workloads of its namespace answer; empty: all, ``None``: none."""
    listed: tuple[WorkloadEntry, ...] = ()
    """Endpoints by address, not by selector."""
    external: bool = False
    by_dns: bool = False
    round_robin: bool = False
    """Its DNS name stands for one place with many addresses, any of which will do for the next connection."""
    by_request: bool = False
    """Each request, or server name of TLS, says by itself where to go: what DNS knows it as."""
    addresses: tuple[str, ...] = ()
    """IP addresses by which callers know it, beside its host."""
    networks: tuple[str, ...] = ()
    """Networks any address of which stands for it."""
    headless: bool = False
    """Its workloads have names of their own below its host."""
    member: str = ""
    """The one workload meant, of those that the selector finds: see :func:`member_name`."""
    parent: str = ""
    """The host of the headless Service that a member belongs to."""
    unready: bool = False
    """Also those that do not listen yet, or end, are sent traffic."""
    export_to: tuple[str, ...] = ()
    """Namespaces whose callers see it; ``()``: all."""
    subject_alt_names: tuple[str, ...] = ()
    """Who may answer, beside its workloads."""
    prefers: tuple[str, ...] = ()
    """The labels in which callers' first choice is like them, where no rule says what is near; ``()``: none."""
    needs_port: bool = False
    """The port that its name alone means is none of these."""

    def port(self, number: int) -> MeshPort | None:
        """Return the port with this number."""
        return next((port for port in self.ports if port.number == number), None)

    @property
    def default_http_port(self) -> MeshPort | None:
        """The port meant by a name without one."""
        http = [port for port in self.ports if port.is_http and not self.needs_port]
        return next((port for port in http if port.number == 80), http[0] if http else None)

    @property
    def known_as(self) -> str:
        """The host by which rules and telemetry know it: a headless Service's workload goes by the Service."""
        return self.parent or self.host

    @property
    def is_inside(self) -> bool:
        """Whether workloads of the mesh may answer, with mutual TLS."""
        return not self.external and (self.selector is not None or any(map(has_sidecar, self.listed)))

    def names(self, namespace: str) -> tuple[str, ...]:
        """Return every name under which callers in a namespace know it, the full one first; some begin with ``*.``."""
        domain = f".{self.namespace}.svc.{DOMAIN}"
        addresses = tuple(f"[{address}]" if ":" in address else address for address in self.addresses)
        if self.name == self.host or not self.host.endswith(domain):
            return tuple(dict.fromkeys((self.host, *addresses)))
        short = self.host.removesuffix(domain)
        local = (short,) if self.namespace == namespace else ()
        names = (self.host, f"{short}.{self.namespace}.svc", f"{short}.{self.namespace}", *local)
        # Whatever Kubernetes' DNS would know below a headless service is one of its workloads.
        below = tuple(f"*.{name}" for name in names) if self.headless else ()
        return tuple(dict.fromkeys((*names, *below, *addresses)))

    def narrowed(self, ports: tuple[MeshPort, ...]) -> MeshService:
        """Return this one with some of its ports."""
        return replace(self, ports=ports, needs_port=self.default_http_port not in ports)

    def joined(self, other: MeshService) -> MeshService:
        """Return this one with the ports of another of the same host, if nothing else tells them apart."""
        alike = replace(other, ports=self.ports, namespace=self.namespace, export_to=self.export_to) == self
        more = tuple(port for port in other.ports if self.port(port.number) is None) if alike else ()
        return replace(self, ports=(*self.ports, *more)) if more else self

    def is_visible(self, namespace: str) -> bool:
        """Tell whether callers in a namespace see it."""
        if not self.export_to:
            return True
        return any(to in {"*", namespace} or (to == "." and namespace == self.namespace) for to in self.export_to)

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Tell whether workloads of its namespace that carry these labels answer."""
        return self.selector is not None and self.selector.items() <= labels.items()

    def answers_as(self, name: str) -> bool:
        """Tell whether the selected workload of this name is one of those meant."""
        return not self.member or self.member == name


def has_sidecar(entry: WorkloadEntry) -> bool:
    """Tell whether a listed workload takes mutual TLS, by the label with which Istio says so."""
    return entry.labels.get("security.istio.io/tlsMode") == "istio"


def by_host(services: Iterable[MeshService]) -> dict[str, MeshService]:
    """Return services by host, of several for one the first; ServiceEntries that differ in ports only are one."""
    found: dict[str, MeshService] = {}
    for service in services:
        known = found.get(service.host)
        found[service.host] = known.joined(service) if known else service
    return found


def member_name(instance: Instance) -> str:
    """Return the name of an instance below headless services, as a StatefulSet would: ``db-0``."""
    return instance.id.rpartition("/")[2].replace("~", "-")


def declared_services(world: World) -> Iterator[MeshService]:
    """Yield what Service objects declare."""
    audience, spaces = world.mesh_config.default_service_export_to, _distributions(world)
    for item in world.objects("Service"):
        spec = spec_of(item, Service)
        prefers = _prefers(item, spaces, spec.traffic_distribution)
        yield _seen_by(audience, _declared(item, spec, prefers))


def service_entries(world: World) -> Iterator[MeshService]:
    """Yield what ServiceEntry objects declare, host by host."""
    audience, spaces = world.mesh_config.default_service_export_to, _distributions(world)
    for item in world.objects("ServiceEntry"):
        spec, prefers = spec_of(item, ServiceEntry), _prefers(item, spaces)
        for host in spec.hosts:
            yield _seen_by(audience, _entry(item, spec, host, prefers))


def member_services(world: World, services: Iterable[MeshService]) -> Iterator[MeshService]:
    """Yield a service for each workload of the headless ones among *services*."""
    for service in services:
        if service.headless:
            for name, address in sorted(_members(world, service)):
                yield replace(
                    service,
                    host=f"{name}.{service.host}",
                    addresses=(address,),
                    headless=False,
                    member=name,
                    parent=service.host,
                )


def _distributions(world: World) -> Mapping[str, str]:
    """Return what namespaces say for services that do not say themselves which instances are called first."""
    return {
        item.key.name: said for item in world.objects("Namespace") if (said := item.annotations.get(_DISTRIBUTION, ""))
    }


def _prefers(item: ConfigObject, spaces: Mapping[str, str], own: str = "") -> tuple[str, ...]:
    said = own or item.annotations.get(_DISTRIBUTION) or spaces.get(item.key.namespace, "")
    return _PREFERRED.get(said.lower(), ())


def _seen_by(audience: tuple[str, ...], service: MeshService) -> MeshService:
    """Return a service that is seen by an audience where it names none itself."""
    return replace(service, export_to=audience) if audience and not service.export_to else service


def _declared(item: ConfigObject, spec: Service, prefers: tuple[str, ...]) -> MeshService:
    outside = spec.type == "ExternalName"
    return MeshService(
        host=service_host(item.key.name, item.key.namespace),
        name=item.key.name,
        namespace=item.key.namespace,
        ports=tuple(
            MeshPort(number=port.port, name=port.name, protocol=port.mesh_protocol, target=port.target_port)
            for port in spec.ports
        ),
        selector=None if outside else spec.selector or None,
        listed=(WorkloadEntry(address=spec.external_name),) if outside else (),
        external=outside,
        by_dns=outside,
        headless=spec.headless,
        unready=spec.publish_not_ready_addresses,
        prefers=prefers,
        export_to=tuple(name for word in item.annotations.get(_EXPORT_TO, "").split(",") if (name := word.strip())),
    )


def _entry(item: ConfigObject, spec: ServiceEntry, host: str, prefers: tuple[str, ...]) -> MeshService:
    addresses = tuple(address for address in map(_single, spec.addresses) if address)
    selector = spec.workload_selector.labels if spec.workload_selector else None
    networks = tuple(network for network in spec.addresses if not _single(network))
    unsaid = spec.resolution == "NONE" and (networks or (host.startswith("*") and not addresses))
    dynamic = spec.resolution == "DYNAMIC_DNS" or bool(unsaid)
    listed: tuple[WorkloadEntry, ...] = ()
    if not dynamic and selector is None:
        listed = spec.endpoints or _places(spec.resolution, host, addresses)
    return MeshService(
        host=host,
        name=host,
        namespace=item.key.namespace,
        ports=tuple(
            MeshPort(number=port.number, name=port.name, protocol=by_word(port.protocol), target=port.target_port)
            for port in spec.ports
        ),
        selector=selector,
        listed=listed,
        external=spec.location == "MESH_EXTERNAL",
        by_dns=spec.resolution in {"DNS", "DNS_ROUND_ROBIN"} and selector is None,
        round_robin=spec.resolution == "DNS_ROUND_ROBIN",
        by_request=dynamic,
        addresses=addresses,
        networks=networks,
        export_to=spec.export_to,
        prefers=prefers,
        subject_alt_names=spec.subject_alt_names,
    )


def _places(resolution: str, host: str, addresses: tuple[str, ...]) -> tuple[WorkloadEntry, ...]:
    """Return where a host is that has no endpoints: where its callers would have looked for it themselves."""
    if resolution == "NONE" and addresses:
        return tuple(WorkloadEntry(address=address) for address in addresses)
    return () if resolution == "STATIC" else (WorkloadEntry(address=host),)


def _single(subnet: str) -> str:
    """Return the one address that a network is; empty: it is of many."""
    network = ipaddress.ip_network(subnet, strict=False)
    return str(network.network_address) if network.num_addresses == 1 else ""


def _members(world: World, service: MeshService) -> Iterator[tuple[str, str]]:
    for instance in world.selected(service.namespace, service.selector):
        yield member_name(instance), instance.address
    for item, entry in world.workload_entries(service.namespace):
        if entry.address and not entry.is_socket and service.selects(entry.labels):
            yield item.key.name, entry.address
