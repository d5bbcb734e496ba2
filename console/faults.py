"""The demo's faults: switched by config, so they have a revision and an author like everything else."""

from __future__ import annotations

from dataclasses import dataclass

from console.demo.manifests import fault_change, fault_of
from mesh_runtime.store.port import ConfigStore


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSet:
    """Which fault is on, and since which revision of the config."""

    mode: str
    revision: int


class DemoControl:
    """Switches faults of the catalog's v2. Exists only where the demo runs."""

    def __init__(self, store: ConfigStore) -> None:
        self._store = store

    @property
    def mode(self) -> str:
        """``off``, ``slow`` or ``failing``."""
        return fault_of(self._store.current)

    async def fault(self, mode: str, *, author: str = "demo") -> FaultSet:
        """Switch a fault on, or all off. Raises ``ConfigError`` where the shop is not there to have one."""
        revision = await self._store.commit(fault_change(self._store.current, mode, author=author))
        return FaultSet(mode=mode, revision=revision.number)
