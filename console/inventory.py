"""What exists, as config and registry say it, kept up to date in the graph."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import cast

from collectors.inventory import inventory, workload_ref
from graph.model import Inventory, NodeKind, Service, ServiceRef, WorkloadRef
from mesh_runtime.api import core, networking
from mesh_runtime.api.hosts import resolve_host, service_host
from mesh_runtime.api.objects import CLUSTER, Config, ConfigObject
from mesh_runtime.registry import RegistryReader, RegistryState
from mesh_runtime.store.port import ConfigStore

Badges = dict[WorkloadRef | ServiceRef, tuple[str, ...]]
Show = Callable[[Inventory, RegistryState], None]


def known(config: Config, state: RegistryState) -> Inventory:
    """Say what exists, traffic or not, with a badge for each thing that the config does to it. Pure."""
    services = [*_services(config, state), *_external(config)]
    by_host = _badges_by_host(config)
    badges: Badges = {}
    for service in services:
        found = tuple(dict.fromkeys(badge for host in service.hosts for badge in by_host.get(host, ())))
        refs: tuple[WorkloadRef | ServiceRef, ...] = (service.ref, *service.workloads)
        for ref in refs:
            badges[ref] = tuple(dict.fromkeys((*badges.get(ref, ()), *found)))
    return inventory(state, services, badges)


class InventoryWatch:
    """A service: shows what is known, now and after every change of config or registry."""

    name = "inventory"

    def __init__(self, store: ConfigStore, registry: RegistryReader, show: Show) -> None:
        self._store = store
        self._registry = registry
        self._show = show

    async def run(self, ready: Callable[[], None]) -> None:
        """Watch until cancelled."""
        self._update()
        ready()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(self._store.watch()))
            group.create_task(self._follow(self._registry.watch()))

    async def _follow(self, changes: AsyncIterator[object]) -> None:
        async for _ in changes:
            self._update()

    def _update(self) -> None:
        state = self._registry.current
        self._show(known(self._store.current, state), state)


def _services(config: Config, state: RegistryState) -> Iterator[Service]:
    for one in config.of("Service"):
        spec = cast("core.Service", one.spec)
        name, namespace = one.key.name, one.key.namespace
        yield Service(
            ref=ServiceRef(CLUSTER, namespace, name),
            kind=_kind(spec),
            hosts=(service_host(name, namespace),),
            workloads=tuple(_selected(spec.selector, namespace, state)),
            ports={port.port: port.mesh_protocol for port in spec.ports},
        )


def _kind(spec: core.Service) -> NodeKind:
    if spec.external_name:
        return NodeKind.EXTERNAL
    return NodeKind.DATABASE if any(port.is_database for port in spec.ports) else NodeKind.SERVICE


def _external(config: Config) -> Iterator[Service]:
    for one in config.of("ServiceEntry"):
        spec = cast("networking.ServiceEntry", one.spec)
        for host in spec.hosts:
            yield Service(
                ref=ServiceRef(CLUSTER, one.key.namespace, host),
                kind=NodeKind.EXTERNAL,
                hosts=(host,),
                workloads=(),
                ports={port.number: port.protocol.lower() for port in spec.ports},
            )


def _selected(selector: Mapping[str, str], namespace: str, state: RegistryState) -> Iterator[WorkloadRef]:
    if not selector:
        return
    wanted = selector.items()
    refs = (
        workload_ref(one)
        for one in state.instances.values()
        if one.namespace == namespace and wanted <= one.labels.items()
    )
    yield from dict.fromkeys(refs)


def _badges_by_host(config: Config) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for one in config.of("VirtualService"):
        for host, badge in _routing(one):
            found.setdefault(host, {})[badge] = None
    for one in config.of("DestinationRule"):
        rule = cast("networking.DestinationRule", one.spec)
        policies = [rule.traffic_policy, *(subset.traffic_policy for subset in rule.subsets)]
        if any(policy and (policy.connection_pool or policy.outlier_detection) for policy in policies):
            found.setdefault(resolve_host(rule.host, one.key.namespace), {})["circuit-breaker"] = None
    return {host: tuple(badges) for host, badges in found.items()}


def _routing(one: ConfigObject) -> Iterator[tuple[str, str]]:
    """Name the hosts that a VirtualService leads to, and what it does to their traffic."""
    for rule in cast("networking.VirtualService", one.spec).http:
        effects = {
            "virtual-service": True,
            "traffic-shifting": len(rule.route) > 1,
            "fault-injection": rule.fault is not None,
            "timeout": rule.timeout is not None,
            "mirroring": bool(rule.mirror or rule.mirrors),
        }
        for route in rule.route:
            host = resolve_host(route.destination.host, one.key.namespace)
            yield from ((host, badge) for badge, applies in effects.items() if applies)
