"""Everything that translation looks at, frozen at one moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

from mesh_runtime.api.hosts import matches, resolve_host
from mesh_runtime.api.mesh_config import MeshConfig, mesh_config
from mesh_runtime.api.networking import MESH, DestinationRule, VirtualService, WorkloadEntry
from mesh_runtime.api.objects import Config, ConfigObject
from mesh_runtime.registry import Instance, RegistryState, Role
from mesh_runtime.xds.translate.services import MeshService, declared_services, service_entries
from mesh_runtime.xds.translate.spec import spec_of

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
    def mesh_config(self) -> MeshConfig:
        """What holds for the whole mesh."""
        return mesh_config(self.config)

    @cached_property
    def services(self) -> Mapping[str, MeshService]:
        """Services by host. A Service comes before a ServiceEntry of the same host."""
        found = {service.host: service for service in declared_services(self)}
        for service in service_entries(self):
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
            rule = spec_of(item, DestinationRule)
            key = item.key.namespace, resolve_host(rule.host, item.key.namespace)
            found[key] = (*found.get(key, ()), rule)
        return found

    @cached_property
    def virtual_services(self) -> tuple[tuple[ConfigObject, VirtualService], ...]:
        """All of them, by namespace and name."""
        return tuple((item, spec_of(item, VirtualService)) for item in self.objects("VirtualService"))

    def workload_entries(self, namespace: str) -> Iterator[tuple[ConfigObject, WorkloadEntry]]:
        """Workloads of a namespace that are listed in config."""
        for item in self.objects("WorkloadEntry", namespace):
            yield item, spec_of(item, WorkloadEntry)

    def services_for(self, namespace: str) -> Mapping[str, MeshService]:  # noqa: ARG002  every service is public yet
        """Return the services that callers in a namespace see, by host."""
        return self.services

    def find_service(self, host: str, namespace: str) -> MeshService | None:
        """Return the service that callers in a namespace reach by this full name, also by a ServiceEntry's wildcard."""
        visible = self.services_for(namespace)
        exact = visible.get(host)
        if exact is not None:
            return exact
        wide = [service for name, service in visible.items() if name.startswith("*") and matches(name, host)]
        return max(wide, key=lambda service: len(service.host), default=None)


def is_for_sidecars(spec: VirtualService) -> bool:
    """Tell whether sidecars follow a VirtualService; one that names no gateway is for them."""
    return not spec.gateways or MESH in spec.gateways


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether labels carry all of a selector. An empty selector selects nothing here."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())
