"""A clock that tests turn, and a graph that only remembers."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from graph.model import Observation
from mesh_runtime.registry import Instance, RegistryState, Role


class FakeClock:
    def __init__(self, now_ms: int = 1_000_000) -> None:
        self.now = now_ms
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return self.now

    async def every(self, interval_s: float) -> AsyncIterator[int]:
        while True:
            yield self.now
            self.now += int(interval_s * 1000)
            await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += int(seconds * 1000)
        await asyncio.sleep(0)


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
