"""Keeps the config in step with who watches: each reader's workloads log, and nothing is left once the reader is gone."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from collectors.als.tap import TapQuery
from collectors.peers import Peers
from console.enumerated import enumerated
from console.tapping.wanted import MOST, Made, Teller, made, own, tellers
from graph.ports import Clock
from mesh_runtime.api.objects import ConfigError
from mesh_runtime.registry import RegistryReader
from mesh_runtime.store.port import Change, ConfigStore, StoreError

log = logging.getLogger(__name__)
AUTHOR = "tap"
LINGER_MS = 15_000
"""How long workloads go on logging when nobody watches any more: who looks at a trace and comes back needs no new config."""
NAMED = 2
"""Workloads that a revision's reason names; its objects name them all."""
LOOK_S = 2.0
"""Pause between two looks, so that workloads that start while somebody watches log, too."""


class TapSwitch:
    """A service. What it writes carries a label of its own; what a killed server left behind goes at the next start."""

    name = "tap switch"

    def __init__(
        self,
        store: ConfigStore,
        registry: RegistryReader,
        clock: Clock,
        *,
        peers: Callable[[], Peers],
        linger_ms: int = LINGER_MS,
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._peers = peers
        self._linger_ms = linger_ms
        self._readers: Counter[TapQuery] = Counter()
        self._left: dict[TapQuery, int] = {}
        self._woken = asyncio.Event()

    @contextmanager
    def watching(self, query: TapQuery) -> Iterator[None]:
        """Have what a reader asks for logged until the block ends."""
        self._readers[query] += 1
        self._woken.set()
        try:
            yield
        finally:
            self._readers[query] -= 1
            if not self._readers[query]:
                del self._readers[query]
                self._left[query] = self._clock.steady_ms()
            self._woken.set()

    def why_not(self, query: TapQuery) -> str:
        """Say why a reader will not see all he asks for; empty: he will."""
        wanted = self._tellers(query)
        if len(wanted) > MOST:
            return f"{len(wanted)} workloads are too many to have them all log; choose a caller or a callee"
        return "; ".join(self._made(wanted).refused)

    async def run(self, ready: Callable[[], None]) -> None:
        """Keep in step until cancelled; then take everything back."""
        ready()
        try:
            while True:
                self._woken.clear()
                await self.look()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._woken.wait()
                except TimeoutError:
                    continue
        finally:
            await self._step(frozenset())

    async def look(self) -> None:
        """Bring the config in step with who watches now."""
        await self._step(self._wanted())

    def _wanted(self) -> frozenset[Teller]:
        now_ms = self._clock.steady_ms()
        self._left = {query: at for query, at in self._left.items() if now_ms - at < self._linger_ms}
        asked = [self._tellers(query) for query in {*self._readers, *self._left}]
        return frozenset(teller for wanted in asked if len(wanted) <= MOST for teller in wanted)

    def _tellers(self, query: TapQuery) -> frozenset[Teller]:
        return tellers(query, self._registry.current.instances.values(), self._peers().service_of)

    def _made(self, wanted: frozenset[Teller]) -> Made:
        return made(wanted, [*self._registry.current.instances.values()], self._store.current)

    async def _step(self, wanted: frozenset[Teller]) -> None:
        config = self._store.current
        target = {one.key: one for one in self._made(wanted).objects}
        there = {item.key: item for item in own(config)}
        put = [one for key, one in target.items() if key in there or key not in config.objects]
        put = [one for one in put if one.key not in there or there[one.key].spec != one.spec]
        delete = [key for key in there if key not in target]
        if not put and not delete:
            return
        named = [f"{key.namespace}/{key.name}" for key in (*(one.key for one in put), *delete)]
        what = "requests are watched" if put else "nobody watches any more"
        reason = f"{what}: {enumerated(named, NAMED)}"
        try:
            await self._store.commit(Change(put=tuple(put), delete=tuple(delete), author=AUTHOR, reason=reason))
        except (ConfigError, StoreError) as trouble:
            log.warning("the tap's config is not taken", extra={"error": str(trouble)})
