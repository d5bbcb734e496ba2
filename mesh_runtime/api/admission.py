"""Checks of the whole config: every name that an object uses exists, and nothing is there twice."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from itertools import chain
from operator import attrgetter

from mesh_runtime.api.core import ConfigMap, Service
from mesh_runtime.api.hosts import matches, resolve_host, service_host
from mesh_runtime.api.mesh_config import unsound
from mesh_runtime.api.networking import (
    MESH,
    Delegate,
    Destination,
    DestinationRule,
    Gateway,
    ServiceEntry,
    Sidecar,
    VirtualService,
)
from mesh_runtime.api.objects import Config, ConfigObject, ObjectKey, Problem
from mesh_runtime.api.observed import observed_problems
from mesh_runtime.api.problems import path
from mesh_runtime.api.secrets import Secret

_LISTED = 20


def admit(config: Config) -> Sequence[Problem]:
    """Name every reference that leads nowhere and everything defined twice; empty: the config can be committed.

    Istio leaves a reference that leads nowhere to the proxies, which answer 503; here it is refused.
    """
    names = _names(config)
    found = list(names.clashes)
    for key, item in _sorted(config, "VirtualService", "ConfigMap", "Secret", "DestinationRule", "Sidecar"):
        match item.spec:
            case VirtualService():
                found += _virtual_service(key, item.spec, names)
            case ConfigMap():
                found += unsound(item)
            case Secret():
                found += [Problem(str(key), path(flaw.path), flaw.message, flaw.fix) for flaw in item.spec.unsound]
            case DestinationRule():
                found += _destination_rule(key, item.spec, names)
            case Sidecar():
                found += _sidecar(key, item.spec, names)
    return [*found, *observed_problems(config, names.hosts)]


def _sorted(config: Config, *kinds: str) -> list[tuple[ObjectKey, ConfigObject]]:
    """Return the objects of some kinds, by key."""
    return sorted(chain.from_iterable(config.kinds.get(kind, {}).items() for kind in kinds))


class _Same:
    """The objects of some kinds, which equal others if they are the very same mappings."""

    def __init__(self, config: Config, *kinds: str) -> None:
        self.kinds = [config.kinds.get(kind) for kind in kinds]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and all(map(operator.is_, self.kinds, other.kinds))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.kinds)))

    def __iter__(self) -> Iterator[ConfigObject]:
        return chain.from_iterable(kind.values() for kind in self.kinds if kind)


@dataclass
class _Hosts:
    """What can be called."""

    ports: dict[str, set[int]] = field(default_factory=dict)
    """Full host to its ports; of ServiceEntries also with ``*``."""
    owners: dict[tuple[str, int, str], ObjectKey] = field(default_factory=dict)
    """By host, port, and the namespace that keeps them for itself and those it names; empty: nobody does."""
    clashes: list[Problem] = field(default_factory=list)

    def add(self, key: ObjectKey, host: str, ports: Sequence[int], private: str = "") -> None:
        self.ports.setdefault(host, set()).update(ports)
        for port in ports:
            owner = self.owners.setdefault((host, port, private), key)
            if owner != key:
                message = f"defines {host} port {port}, which {owner} defines already"
                self.clashes.append(Problem(str(key), "spec", message, "change or delete one of them"))


@lru_cache(maxsize=4)
def _hosts(objects: _Same) -> _Hosts:
    """Look through all services once for all changes of other objects. What is returned is never changed."""
    hosts = _Hosts()
    for item in sorted(objects, key=attrgetter("key")):
        key = item.key
        if isinstance(item.spec, Service):
            host, ports = service_host(key.name, key.namespace), [port.port for port in item.spec.ports]
            hosts.add(key, host, ports)
            if item.spec.headless:  # each of its workloads has a name below it
                hosts.ports.setdefault(f"*.{host}", set()).update(ports)
        elif isinstance(item.spec, ServiceEntry):
            shown = {{".": key.namespace}.get(to, to) for to in item.spec.export_to or ("*",)}
            numbers = [port.number for port in item.spec.ports]
            for host in item.spec.hosts:
                hosts.add(key, resolve_host(host, key.namespace), numbers, "" if "*" in shown else key.namespace)
    return hosts


@dataclass
class _Names:
    """What can be referred to."""

    hosts: Mapping[str, set[int]]
    """Full host to its ports; of ServiceEntries also with ``*``."""
    subsets: dict[str, dict[str, ObjectKey]] = field(default_factory=dict)
    subset_owners: dict[Hashable, ObjectKey] = field(default_factory=dict)
    """By who follows the rule, host and subset."""
    gateways: set[str] = field(default_factory=set)
    delegates: set[tuple[str, str]] = field(default_factory=set)
    clashes: list[Problem] = field(default_factory=list)

    def ports(self, host: str) -> set[int] | None:
        """Give a host's ports; ``None``: there is no such host."""
        if host in self.hosts:
            return self.hosts[host]
        return next((ports for pattern, ports in self.hosts.items() if matches(pattern, host)), None)

    def subsets_of(self, host: str) -> dict[str, ObjectKey]:
        """Give the subsets of a host, from the rule that names it, else from one whose ``*`` covers it."""
        if host in self.subsets:
            return self.subsets[host]
        return next((found for pattern, found in self.subsets.items() if matches(pattern, host)), {})


def _names(config: Config) -> _Names:
    hosts = _hosts(_Same(config, "Service", "ServiceEntry"))
    names = _Names(hosts=hosts.ports, clashes=list(hosts.clashes))
    for key, item in _sorted(config, "DestinationRule", "VirtualService", "Gateway"):
        match item.spec:
            case DestinationRule():
                _add_subsets(names, key, item.spec)
            case VirtualService() if item.spec.is_delegate:
                names.delegates.add((key.namespace, key.name))
            case Gateway():
                names.gateways.add(f"{key.namespace}/{key.name}")
    return names


def _add_subsets(names: _Names, key: ObjectKey, rule: DestinationRule) -> None:
    host = resolve_host(rule.host, key.namespace)
    chosen = rule.workload_selector.match_labels.items() if rule.workload_selector else ()
    audience = key.namespace, host, tuple(sorted(chosen)), tuple(sorted(rule.export_to))
    subsets = names.subsets.setdefault(host, {})
    for index, subset in enumerate(rule.subsets):
        subsets.setdefault(subset.name, key)
        # Rules for different callers may say different things by the same name.
        owner = names.subset_owners.setdefault((*audience, subset.name), key)
        if owner != key:
            message = f"the subset {subset.name} of {rule.host} is defined by {owner} already"
            names.clashes.append(Problem(str(key), path(("spec", "subsets", index)), message, "rename or remove one"))


def _virtual_service(key: ObjectKey, spec: VirtualService, names: _Names) -> Iterator[Problem]:
    for index, gateway in enumerate(spec.gateways):
        full = gateway if "/" in gateway else f"{key.namespace}/{gateway}"
        if gateway != MESH and full not in names.gateways:
            known = ", ".join(sorted(names.gateways)[:_LISTED])
            fix = f"the gateways are {known}" if known else "apply a Gateway first, or in the same change"
            yield Problem(str(key), f"spec.gateways[{index}]", f"there is no Gateway {full}", fix)
    for index, rule in enumerate(spec.http):
        if rule.delegate:
            yield from _delegate(key, index, rule.delegate, names)
    for steps, destination in spec.destinations():
        yield from _destination(key, ("spec", *steps), destination, names)


def _delegate(key: ObjectKey, index: int, delegate: Delegate, names: _Names) -> Iterator[Problem]:
    where = delegate.namespace or key.namespace
    if (where, delegate.name) not in names.delegates:
        known = ", ".join(f"{namespace}/{name}" for namespace, name in sorted(names.delegates)[:_LISTED])
        fix = f"those are {known}" if known else "apply it first, or in the same change"
        message = f"there is no VirtualService {where}/{delegate.name} without hosts"
        yield Problem(str(key), f"spec.http[{index}].delegate", message, fix)


def _destination(
    key: ObjectKey, steps: tuple[str | int, ...], destination: Destination, names: _Names
) -> Iterator[Problem]:
    host = resolve_host(destination.host, key.namespace)
    ports = names.ports(host)
    if ports is None:
        yield _no_host(key, (*steps, "host"), host, names)
        return
    port = destination.port
    if port and ports and port.number not in ports:
        fix = f"its ports are {', '.join(map(str, sorted(ports)))}"
        yield Problem(str(key), path((*steps, "port", "number")), f"{host} has no port {port.number}", fix)
    subsets = names.subsets_of(host)
    if destination.subset and destination.subset not in subsets:
        known = ", ".join(sorted(subsets))
        fix = f"its subsets are {known}" if known else f"add a DestinationRule for {host} that defines it"
        yield Problem(str(key), path((*steps, "subset")), f"{host} has no subset {destination.subset}", fix)


def _destination_rule(key: ObjectKey, spec: DestinationRule, names: _Names) -> Iterator[Problem]:
    host = resolve_host(spec.host, key.namespace)
    if not host.startswith("*") and names.ports(host) is None:
        yield _no_host(key, ("spec", "host"), host, names)


def _sidecar(key: ObjectKey, spec: Sidecar, names: _Names) -> Iterator[Problem]:
    proxy = spec.outbound_traffic_policy.egress_proxy if spec.outbound_traffic_policy else None
    if proxy:
        yield from _destination(key, ("spec", "outboundTrafficPolicy", "egressProxy"), proxy, names)


def _no_host(key: ObjectKey, steps: tuple[str | int, ...], host: str, names: _Names) -> Problem:
    known = {_short(name, key.namespace): name for name in names.hosts}
    meant = get_close_matches(_short(host, key.namespace), known, n=1, cutoff=0.75)
    others = ", ".join(sorted(known, key=lambda name: ("." in name, name))[:_LISTED])
    fix = f"did you mean {meant[0]}? " if meant else ""
    fix += f"the known services are {others}" if others else "apply a Service or ServiceEntry for it first"
    return Problem(str(key), path(steps), f"there is no service {host}", fix)


def _short(host: str, namespace: str) -> str:
    return host.removesuffix(service_host("", namespace))
