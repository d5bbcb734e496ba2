"""A clock that tests turn, and a graph that only remembers."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from collectors.inventory import workload_ref, workloads_of
from graph.model import Inventory, Observation, Service, ServiceRef
from mesh_runtime.registry import Instance, RegistryState, Role


class Remembering:
    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.seen = asyncio.Event()

    def observe(self, batch: Iterable[Observation]) -> None:
        self.observations += batch
        self.seen.set()


class FixedRegistry:
    def __init__(self, *instances: Instance) -> None:
        self.current = RegistryState(revision=1, instances={one.id: one for one in instances})

    async def watch(self) -> AsyncIterator[RegistryState]:
        yield self.current


def instance(name: str = "web", *, version: str = "", number: int = 1, namespace: str = "shop", **fields) -> Instance:
    workload = f"{name}-{version}" if version else name
    address = fields.pop("address", f"127.64.1.{number}")
    return Instance(
        **{
            "id": f"{namespace}/{workload}~{number}",
            "role": Role.SIDECAR,
            "node_id": f"sidecar~{address}~{workload}~{number}.{namespace}",
            "namespace": namespace,
            "workload": workload,
            "service": name,
            "version": version,
            "service_account": name,
            "labels": {"app": name} | ({"version": version} if version else {}),
            "address": address,
        }
        | fields
    )


def inventory(state: RegistryState, services: Iterable[Service]) -> Inventory:
    """What runs, and services with the workloads that were started for them."""
    instances = state.instances.values()
    started = {
        one.ref: [workload_ref(of) for of in instances if ServiceRef("Kubernetes", of.namespace, of.service) == one.ref]
        for one in services
    }
    return Inventory(
        workloads={one.ref: one for one in workloads_of(state)},
        services={one.ref: replace(one, workloads=tuple(dict.fromkeys(started[one.ref]))) for one in services},
    )
