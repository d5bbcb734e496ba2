"""How what changes comes to the proxies: taken in at once, served bit by bit, and followed until it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final

from mesh_runtime.registry import Registry
from mesh_runtime.store.port import ConfigStore
from mesh_runtime.xds.publisher import Publisher
from mesh_runtime.xds.server import AdsServer
from mesh_runtime.xds.snapshot import Kind

WRITING_S: Final = 0.1
"""How long the next changes wait while the last ones are still written to slow proxies."""
TURN_S: Final = 0.001
"""How long proxies are served before these are written to: they are at work while the next ones are served."""
STRETCH_S: Final = 0.08
"""How long all are served at a stretch: a thousand new ones take seconds, in which probes and leases must not wait."""
PAUSE_S: Final = 0.01
"""What all others get of the loop, at least, between two such stretches."""


class Delivery:
    """Keeps every proxy at the newest consistent config. All methods are for one loop."""

    def __init__(self, store: ConfigStore, registry: Registry, publisher: Publisher, server: AdsServer) -> None:
        self._store = store
        self._registry = registry
        self._publisher = publisher
        self._server = server
        self._taken = (-1, -1)
        """Revisions of config and registry of which proxies are given all, in their turn."""
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follow config and registry until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(self._store.watch()), name="config watch")
            group.create_task(self._watch(self._registry.watch()), name="registry watch")
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self.serve()
                # What changes meanwhile goes out together, so that many changes do not pile up before the proxies.
                await self._server.written(WRITING_S)

    async def serve(self) -> None:
        """Bring all proxies to what there is now; where that takes long, all else has its turn between."""
        self._take_changes()
        while self._publisher.behind:
            await self._serve_for_a_stretch()
            if self._publisher.behind:
                await asyncio.sleep(PAUSE_S)
                self._take_changes()

    def serve_anew(self) -> None:
        """Count all proxies as behind from now on: what they are to have is made of more than config and registry."""
        self._take()
        self._changed.set()

    async def answered(self, revision: int, timeout_s: float) -> None:
        """Wait until every connected proxy has answered all that it was given of a revision, but not longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while waiting := self.unanswered(revision):
                    for node_id in waiting:
                        while self._waits(node_id, revision):
                            await self._server.progress()

    def unanswered(self, revision: int) -> list[str]:
        """Name the connected proxies that have not yet answered all of a revision, or of a newer one."""
        return [node_id for node_id in self._server.streams if self._waits(node_id, revision)]

    def is_served(self, config: int, registry: int) -> bool:
        """Whether every proxy was served what there was at these revisions, or newer ones."""
        return not self._publisher.behind and self._taken[0] >= config and self._taken[1] >= registry

    def has_secrets(self, node_id: str) -> bool:
        """Whether a proxy has acknowledged its present secrets. One without a snapshot has nothing to lose."""
        stream, snapshot = self._server.stream(node_id), self._server.snapshots.get(node_id)
        if snapshot is None:
            return True
        if node_id in self._publisher.behind or stream is None:
            return False
        if stream.answered is None or Kind.SDS in stream.rejections:
            return False
        wanted, has = snapshot.resources[Kind.SDS], stream.answered.resources[Kind.SDS]
        return all(name in has and has[name].version == packed.version for name, packed in wanted.items())

    async def _watch(self, states: AsyncIterator[object]) -> None:
        async for _ in states:
            self._changed.set()

    async def _serve_for_a_stretch(self) -> None:
        until = time.perf_counter() + STRETCH_S
        while self._publisher.behind and time.perf_counter() < until:
            self._server.publish(self._publisher.serve(TURN_S))
            await asyncio.sleep(0)

    def _take_changes(self) -> None:
        if self._taken != self._revisions():
            self._take()

    def _take(self) -> None:
        self._taken = self._revisions()
        self._server.keep_only(self._publisher.take(self._store.current, self._registry.current))

    def _revisions(self) -> tuple[int, int]:
        return self._store.current.revision, self._registry.current.revision

    def _waits(self, node_id: str, revision: int) -> bool:
        stream, snapshot = self._server.stream(node_id), self._server.snapshots.get(node_id)
        if stream is None or self._taken[0] < revision:
            return stream is not None
        if snapshot is None:
            return False
        if node_id in self._publisher.behind or stream.answered is None:
            return True
        return stream.answered is not snapshot and stream.answered.revision <= revision
