"""Everything that translation looks at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Final, TypeVar
from zlib import crc32

from mesh_runtime.api.hosts import matches, resolve_host
from mesh_runtime.api.mesh_config import MeshConfig, mesh_config
from mesh_runtime.api.networking import DestinationRule, VirtualService, WorkloadEntry
from mesh_runtime.api.objects import ROOT_NAMESPACE, Config, ConfigObject, ObjectKey
from mesh_runtime.api.security import JWTRule
from mesh_runtime.api.security.request import Issuer
from mesh_runtime.registry import Instance, RegistryState, Role
from mesh_runtime.xds.incremental import Collection, Memo
from mesh_runtime.xds.translate.routing.delegation import with_delegates
from mesh_runtime.xds.translate.services import (
    MeshService,
    by_host,
    declared_services,
    member_services,
    service_entries,
)
from mesh_runtime.xds.translate.spec import spec_of

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
R = TypeVar("R")
Seen = TypeVar("Seen", VirtualService, DestinationRule)
RUN: Final = 32
"""How many items of a large collection are looked at together, on average."""
_Label = tuple[str, ...]
"""A label's name and value, after a namespace; ``()``, after it: all that is there."""


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
    port_listeners: bool = False
    """Sidecars take requests also at the number of each service port, for clients that leave it out of Host."""


class World:
    """Config, instances and settings, with what follows from them worked out once and shared by all proxies.

    A world lives on: :meth:`advance` gives it the next config and instances, and what does not follow from what
    changed stays the same object.
    """

    def __init__(self, config: Config, registry: RegistryState, settings: MeshSettings | None = None) -> None:
        self.settings = settings or MeshSettings()
        self._memo = Memo()
        self._objects = Collection[ObjectKey, ConfigObject]("objects", self._memo, _places, order=_age)
        self._instances = Collection[str, Instance]("instances", self._memo, _labels, _same)
        self._issuers = Collection[str, Issuer]("issuers", self._memo, _name)
        self.advance(config, registry)

    def advance(self, config: Config, registry: RegistryState) -> None:
        """Take in the next config and instances."""
        self.config = config
        self.registry = registry
        self._objects.become(config.kinds)
        self._instances.become({"": registry.instances})

    def hear(self, issuers: Mapping[str, Issuer]) -> None:
        """Take in what issuers of tokens said, by their names."""
        self._issuers.become({"": issuers})

    def forget(self) -> None:
        """Let go of what was not asked for since this was last called."""
        self._memo.sweep()

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what *make* makes for this key. It must be pure; what it reads and captures is watched."""
        return self._memo.once(key, make)

    def each(self, key: Hashable, items: Mapping[K, V], make: Callable[[K, V], T]) -> Mapping[K, T]:
        """Return what *make* makes of each name and item, run again only where the item or what it reads changed."""
        return self._memo.each(key, items, make)

    def in_runs(
        self,
        key: Hashable,
        items: Mapping[K, V],
        make: Callable[[K, V], T],
        join: Callable[[Iterable[T]], R],
    ) -> tuple[R, ...]:
        """Return what *join* makes of what *make* makes of each name and item, one run of neighbours at a time.

        A run in which nothing is different stays the same object, and costs next to nothing.
        """

        def of_run(after: K | None, run: Mapping[K, V]) -> R:
            return join(self.each((key, after), run, make).values())

        cut = self.once(("cut", key), lambda: _cut(items))
        return tuple(self.each(("runs", key), cut, of_run).values())

    def objects(self, kind: str, namespace: str | None = None) -> Sequence[ConfigObject]:
        """Return the objects of a kind, the oldest first: of several for the same thing it counts, as in Istio."""
        return self._objects.under((kind, namespace))

    @property
    def mesh_config(self) -> MeshConfig:
        """What holds for the whole mesh."""
        return self.once(("world", "mesh config"), self._mesh_config)

    def _mesh_config(self) -> MeshConfig:
        return mesh_config(Config(objects={item.key: item for item in self.objects("ConfigMap", ROOT_NAMESPACE)}))

    @property
    def services(self) -> Mapping[str, MeshService]:
        """Services by host. A Service comes before a ServiceEntry of the same host."""
        return self.once(("world", "services"), lambda: by_host(self.every_service))

    @property
    def every_service(self) -> tuple[MeshService, ...]:
        """Also those of a host that several namespaces define for themselves."""
        return self.once(("world", "every service"), self._all_services)

    def _all_services(self) -> tuple[MeshService, ...]:
        declared = (*declared_services(self), *service_entries(self))
        return (*declared, *member_services(self, declared))

    def issuer(self, name: str) -> Issuer:
        """Return what is known of an issuer of tokens that is asked itself where its keys are."""
        return next(iter(self._issuers.under(name)), Issuer(name))

    def keys_uri(self, rule: JWTRule) -> str:
        """Return where the keys of an issuer are fetched; ``""``: nowhere, or that is not known."""
        return self.issuer(rule.issuer).keys_uri if rule.is_discovered else rule.jwks_uri

    @property
    def instances(self) -> tuple[Instance, ...]:
        """All instances by id. An instance whose lease alone was renewed stays the same object."""
        return self._instances.under(None)

    @property
    def sidecars(self) -> tuple[Instance, ...]:
        """Workloads' instances by id, also those that drain."""
        return self._instances.under(Role.SIDECAR)

    def selected(
        self, namespace: str, selector: Mapping[str, str] | None, role: Role = Role.SIDECAR
    ) -> Iterator[Instance]:
        """Yield the namespace's workloads or gateways that carry all of a selector's labels; of ``None`` no one."""
        if selector is not None:
            for instance in self._instances.under((role, namespace, *_first(selector))):
                if selector.items() <= instance.labels.items():
                    yield instance

    def services_of(self, instance: Instance) -> Iterator[MeshService]:
        """Yield the services that select an instance."""
        for label in ((), *instance.labels.items()):
            for service in self._services_by_label(instance.namespace, *label):
                if service.selects(instance.labels):
                    yield service

    def _services_by_label(self, *label: str) -> tuple[MeshService, ...]:
        every = "world", "services by label"
        return self.once((*every, label), lambda: self.once(every, self._by_label).get(label, ()))

    def _by_label(self) -> dict[_Label, tuple[MeshService, ...]]:
        found = defaultdict[_Label, list[MeshService]](list)
        for service in self.every_service:
            if service.selector is not None and not service.parent:
                found[service.namespace, *_first(service.selector)].append(service)
        return {label: tuple(services) for label, services in found.items()}

    @property
    def destination_rules(self) -> Mapping[tuple[str, str], tuple[DestinationRule, ...]]:
        """Rules by their namespace and resolved host."""
        return self.once(("world", "destination rules"), self._destination_rules)

    def _destination_rules(self) -> dict[tuple[str, str], tuple[DestinationRule, ...]]:
        found: dict[tuple[str, str], tuple[DestinationRule, ...]] = {}
        audience = self.mesh_config.default_destination_rule_export_to
        for item in self.objects("DestinationRule"):
            rule = _seen_by(audience, spec_of(item, DestinationRule))
            key = item.key.namespace, resolve_host(rule.host, item.key.namespace)
            found[key] = (*found.get(key, ()), rule)
        return found

    @property
    def virtual_services(self) -> tuple[tuple[ConfigObject, VirtualService], ...]:
        """Those that have hosts, the oldest first, with the rules of their delegates put in."""
        return self.once(("world", "virtual services"), self._virtual_services)

    def _virtual_services(self) -> tuple[tuple[ConfigObject, VirtualService], ...]:
        return tuple(self._whole(item) for item in self.objects("VirtualService") if not _is_delegate(item))

    def _whole(self, item: ConfigObject) -> tuple[ConfigObject, VirtualService]:
        """Put the rules of a VirtualService's delegates in."""
        spec = _seen_by(self.mesh_config.default_virtual_service_export_to, spec_of(item, VirtualService))
        return item, with_delegates(item, spec, self._virtual_service)

    def _virtual_service(self, namespace: str, name: str) -> tuple[ConfigObject, VirtualService] | None:
        found = (item for item in self.objects("VirtualService", namespace) if item.key.name == name)
        audience = self.mesh_config.default_virtual_service_export_to
        return next(((item, _seen_by(audience, spec_of(item, VirtualService))) for item in found), None)

    def virtual_services_naming(self, host: str) -> tuple[tuple[ConfigObject, VirtualService], ...]:
        """Those that name exactly this full host, the oldest first. Others may change without notice here."""
        return tuple(self._whole(item) for item in self._objects.under(("VirtualService", "names", host)))

    @property
    def wide_virtual_services(self) -> tuple[tuple[ConfigObject, VirtualService], ...]:
        """Those that name hosts with a wildcard, the oldest first."""
        return tuple(self._whole(item) for item in self._objects.under(("VirtualService", "wide")))

    def workload_entries(self, namespace: str) -> Iterator[tuple[ConfigObject, WorkloadEntry]]:
        """Workloads of a namespace that are listed in config."""
        for item in self.objects("WorkloadEntry", namespace):
            yield item, spec_of(item, WorkloadEntry)

    def services_for(self, namespace: str) -> Mapping[str, MeshService]:
        """Return the services that callers in a namespace see, by host: of several for one, their own."""
        if self.once(("world", "all public"), lambda: not any(service.export_to for service in self.every_service)):
            return self.services
        return self.once(("world", "services for", namespace), lambda: self._services_for(namespace))

    def _services_for(self, namespace: str) -> dict[str, MeshService]:
        visible = [service for service in self.every_service if service.is_visible(namespace)]
        return by_host(sorted(visible, key=lambda service: service.namespace != namespace))

    def find_service(self, host: str, namespace: str) -> MeshService | None:
        """Return the service that callers in a namespace reach by this full name, also by a ServiceEntry's wildcard."""
        return self.once(("world", "find", host, namespace), lambda: found_in(self.services_for(namespace), host))


def found_in(services: Mapping[str, MeshService], host: str) -> MeshService | None:
    """Return the one of services, by host, that is reached by a full name, also by a ServiceEntry's wildcard."""
    exact = services.get(host)
    if exact is not None:
        return exact
    parent = services.get(host.partition(".")[2])
    if parent is not None and parent.headless:
        return parent
    wide = [service for name, service in services.items() if name.startswith("*") and matches(name, host)]
    return max(wide, key=lambda service: len(service.host), default=None)


def _seen_by(audience: tuple[str, ...], spec: Seen) -> Seen:
    """Return a rule that is seen by an audience where it names none itself."""
    return spec.model_copy(update={"export_to": audience}) if audience and not spec.export_to else spec


def _age(item: tuple[ObjectKey, ConfigObject]) -> tuple[int, ObjectKey]:
    return item[1].since, item[0]


def _cut(items: Mapping[K, V]) -> dict[K | None, dict[K, V]]:
    """Cut items into runs, by the name behind which each begins.

    A name ends a run if a hash of it says so: what comes or goes concerns the run where it is, not those behind it.
    """
    runs: dict[K | None, dict[K, V]] = {}
    run = runs[None] = {}
    for name, item in items.items():
        run[name] = item
        if crc32(str(name).encode()) % RUN == 0:
            run = runs[name] = {}
    return runs


def _places(item: ConfigObject) -> Iterator[Hashable]:
    """Yield the keys under which an object is looked for."""
    kind, namespace = item.key.kind, item.key.namespace
    yield kind, None
    yield kind, namespace
    if isinstance(item.spec, VirtualService):
        hosts = {resolve_host(host, namespace) for host in item.spec.hosts}
        yield from ((kind, "names", host) for host in hosts)
        if any(host.startswith("*") for host in hosts):
            yield kind, "wide"


def _name(issuer: Issuer) -> Iterator[Hashable]:
    yield issuer.name


def _labels(instance: Instance) -> Iterator[Hashable]:
    yield None
    if instance.role is Role.SIDECAR:
        yield Role.SIDECAR
    for label in ((), *instance.labels.items()):
        yield instance.role, instance.namespace, *label


_shown = attrgetter(*(field.name for field in fields(Instance) if field.name != "lease_until_ms"))


def _same(one: Instance, other: Instance) -> bool:
    """Compare all but the lease, which says nothing about where traffic goes. The order of ports counts."""
    return bool(_shown(one) == _shown(other)) and list(one.ports) == list(other.ports)


def _first(selector: Mapping[str, str]) -> _Label:
    """Return the one of a selector's labels by which it is looked up; ``()``: it has none."""
    return next(iter(selector.items()), ())


def _is_delegate(item: ConfigObject) -> bool:
    return spec_of(item, VirtualService).is_delegate


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether labels carry all of a selector. An empty selector selects nothing here."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())
