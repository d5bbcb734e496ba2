"""Metrics from the admin sockets of our own proxies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import aiohttp

from collectors.dialects import istio
from collectors.errors import CollectorError
from collectors.exposition import Exposition
from collectors.http_pages import read_text
from collectors.inventory import DEFAULT_CLUSTER
from graph.model import Observation
from graph.ports import Clock
from mesh_runtime.registry import Instance, RegistryReader

AT_ONCE = 16
MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyScrape:
    """How reading one proxy goes."""

    node_id: str
    origin: str
    last_success_ms: int = 0
    """0: never."""
    epoch: int = 0
    """When the run began that its last page is of, as it was told then."""
    error: str = ""
    """Why the last attempt failed; empty when it did not."""
    failures: int = 0
    bytes: int = 0
    identities: int = 0
    """How many edges (told apart by reporter and security) its last page held."""


class AdminScrape:
    """Reads ``/stats/prometheus`` of every proxy in the registry. Implements :class:`graph.ports.MetricsSource`."""

    name = "sidecars"

    def __init__(
        self,
        registry: RegistryReader,
        clock: Clock,
        interval_s: float = 1.0,
        *,
        timeout_s: float = 2.0,
    ) -> None:
        self.interval_s = interval_s
        self._registry = registry
        self._clock = clock
        self._stats_filter = istio.DIALECT.stats_filter
        self._exposition = Exposition(istio.DIALECT, cluster=DEFAULT_CLUSTER)
        self._timeout_s = timeout_s
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._states: dict[str, ProxyScrape] = {}

    @property
    def states(self) -> Mapping[str, ProxyScrape]:
        """By node id, of the proxies in the registry now."""
        return dict(self._states)

    async def observe(self) -> Sequence[Observation]:
        """Read every proxy once. One that does not answer is left out, and its state says why."""
        instances = {one.node_id: one for one in self._registry.current.instances.values() if one.admin}
        self._states = {
            node_id: self._states.get(node_id) or ProxyScrape(node_id=node_id, origin=one.admin)
            for node_id, one in instances.items()
        }
        self._exposition.retain(instances)
        batches = await asyncio.gather(*(self._scrape(one) for one in instances.values()))
        return [observation for batch in batches for observation in batch]

    async def _scrape(self, instance: Instance) -> list[Observation]:
        state = self._states[instance.node_id]
        try:
            async with self._at_once:
                at_ms = self._clock.now_ms()
                page = await admin_page(instance.admin, self._timeout_s, {"filter": self._stats_filter})
            # A run whose pages were read before it was told of is no further run: its counts would count twice.
            epoch = instance.epoch if instance.epoch > state.last_success_ms else state.epoch or instance.epoch
            observations = self._exposition.read(
                page, instance=instance.node_id, epoch=epoch, at_ms=at_ms, origin=instance.admin
            )
        except (CollectorError, aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as trouble:
            slow = f"no answer within {self._timeout_s:g} s" if isinstance(trouble, TimeoutError) else ""
            why = slow or str(trouble) or type(trouble).__name__
            self._states[instance.node_id] = replace(state, error=why, failures=state.failures + 1)
            return []
        self._states[instance.node_id] = replace(
            state, error="", last_success_ms=at_ms, epoch=epoch, bytes=len(page), identities=len(observations)
        )
        return observations


async def admin_page(admin: str, timeout_s: float, params: Mapping[str, str]) -> str:
    """Fetch a proxy's statistics through its admin socket, within bounds."""
    connector = aiohttp.UnixConnector(path=admin, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=timeout_s)) as session,
        session.get("http://proxy/stats/prometheus", params=params) as answer,
    ):
        if answer.status != 200:
            raise CollectorError(f"{admin} answered {answer.status}, expected its statistics")
        return await read_text(answer, admin, MOST_BYTES)
