"""What exists, as config and registry say it, kept up to date in the graph."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from collectors.inventory import inventory_of, workloads_of
from graph.model import Inventory
from mesh_runtime.api.objects import Config
from mesh_runtime.registry import RegistryReader, RegistryState
from mesh_runtime.store.port import ConfigStore

Show = Callable[[Inventory, RegistryState], None]


def known(config: Config, state: RegistryState) -> Inventory:
    """Say what exists in the bundled mesh. Pure."""
    return inventory_of((one.manifest for one in config.objects.values()), workloads_of(state))


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
