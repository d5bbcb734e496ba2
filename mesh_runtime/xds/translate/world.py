"""Everything that translation looks at, frozen at one moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

from mesh_runtime.api.core import Service
from mesh_runtime.api.hosts import matches, resolve_host, service_host
from mesh_runtime.api.networking import MESH, DestinationRule, ServiceEntry, VirtualService, WorkloadEntry
from mesh_runtime.api.objects import Config, ConfigObject
from mesh_runtime.registry import Instance, RegistryState, Role

T = TypeVar("T")
Protocol = Literal["http", "http2", "grpc", "tcp"]
_Label = tuple[str, str, str]
"""Namespace, name and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """Where proxies send spans of their own, and of which share of requests (0-100)."""

    address: str
    port: int
    sampling: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshSettings:
    """What holds for the whole mesh."""

    unprivileged_from: int = 1024
    """The first port that proxies may bind."""
    max_connection_s: int = 3600
    """Inbound connections are closed gracefully after this time, so that none outlives its certificate for long."""
    tracing: Tracing | None = None


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


class World:
    """Config, instances and settings, with what follows from them worked out once and shared by all proxies."""

    def __init__(self, config: Config, registry: RegistryState, settings: MeshSettings | None = None) -> None:
        self.config = config
        self.registry = registry
        self.settings = settings or MeshSettings()
        self._made: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what *make* made for this key in this world. It must be pure."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made

    def objects(self, kind: str, namespace: str | None = None) -> Sequence[ConfigObject]:
        """Return the objects of a kind, by namespace and name."""
        return self._objects.get((kind, namespace), ())

    @cached_property
    def _objects(self) -> Mapping[tuple[str, str | None], list[ConfigObject]]:
        found = defaultdict[tuple[str, str | None], list[ConfigObject]](list)
        for kind in {key.kind for key in self.config.objects}:
            for item in self.config.of(kind):
                found[kind, None].append(item)
                found[kind, item.key.namespace].append(item)
        return found

    @cached_property
    def services(self) -> Mapping[str, MeshService]:
        """Services by host. A Service comes before a ServiceEntry of the same host."""
        found = {service.host: service for service in self._declared_services()}
        for service in self._service_entries():
            found.setdefault(service.host, service)
        return found

    @cached_property
    def sidecars(self) -> tuple[Instance, ...]:
        """Workloads' instances by id, also those that drain."""
        instances = self.registry.instances
        return tuple(instances[key] for key in sorted(instances) if instances[key].role is Role.SIDECAR)

    def selected(self, namespace: str, selector: Mapping[str, str]) -> Iterator[Instance]:
        """Yield the namespace's workload instances that carry all of a selector's labels."""
        for pair in list(selector.items())[:1]:
            for instance in self._sidecars_by_label.get((namespace, *pair), ()):
                if selects(selector, instance.labels):
                    yield instance

    def services_of(self, instance: Instance) -> Iterator[MeshService]:
        """Yield the services that select an instance."""
        for pair in instance.labels.items():
            for service in self._services_by_label.get((instance.namespace, *pair), ()):
                if selects(service.selector, instance.labels):
                    yield service

    @cached_property
    def _sidecars_by_label(self) -> Mapping[_Label, list[Instance]]:
        found = defaultdict[_Label, list[Instance]](list)
        for instance in self.sidecars:
            for name, value in instance.labels.items():
                found[instance.namespace, name, value].append(instance)
        return found

    @cached_property
    def _services_by_label(self) -> Mapping[_Label, list[MeshService]]:
        found = defaultdict[_Label, list[MeshService]](list)
        for service in self.services.values():
            for name, value in list(service.selector.items())[:1]:
                found[service.namespace, name, value].append(service)
        return found

    @cached_property
    def destination_rules(self) -> Mapping[tuple[str, str], tuple[DestinationRule, ...]]:
        """Rules by their namespace and resolved host."""
        found: dict[tuple[str, str], tuple[DestinationRule, ...]] = {}
        for item in self.objects("DestinationRule"):
            rule = _spec(item, DestinationRule)
            key = item.key.namespace, resolve_host(rule.host, item.key.namespace)
            found[key] = (*found.get(key, ()), rule)
        return found

    @cached_property
    def virtual_services(self) -> tuple[tuple[ConfigObject, VirtualService], ...]:
        """All of them, by namespace and name."""
        return tuple((item, _spec(item, VirtualService)) for item in self.objects("VirtualService"))

    def workload_entries(self, namespace: str) -> Iterator[tuple[ConfigObject, WorkloadEntry]]:
        """Workloads of a namespace that are listed in config."""
        for item in self.objects("WorkloadEntry", namespace):
            yield item, _spec(item, WorkloadEntry)

    def find_service(self, host: str) -> MeshService | None:
        """Return the service called by this full name, also through a ServiceEntry's wildcard."""
        exact = self.services.get(host)
        if exact is not None:
            return exact
        wide = [service for name, service in self.services.items() if name.startswith("*") and matches(name, host)]
        return max(wide, key=lambda service: len(service.host), default=None)

    def _declared_services(self) -> Iterator[MeshService]:
        for item in self.objects("Service"):
            spec = _spec(item, Service)
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

    def _service_entries(self) -> Iterator[MeshService]:
        for item in self.objects("ServiceEntry"):
            spec = _spec(item, ServiceEntry)
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


def is_for_sidecars(spec: VirtualService) -> bool:
    """Tell whether sidecars follow a VirtualService; one that names no gateway is for them."""
    return not spec.gateways or MESH in spec.gateways


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether labels carry all of a selector. An empty selector selects nothing here."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def _protocol(name: str) -> Protocol:
    return name if name in {"http", "http2", "grpc"} else "tcp"  # type: ignore[return-value]


def _spec(item: ConfigObject, kind: type[T]) -> T:
    assert isinstance(item.spec, kind)
    return item.spec
