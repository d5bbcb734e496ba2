"""Who keeps the traces, where it is not the server itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from collectors.errors import CollectorError
from collectors.traces.jaeger import JaegerTraces
from collectors.traces.remote import Remote
from collectors.traces.tempo import TempoTraces
from console.settings import Traces
from graph.ports import Clock, TraceStore

ASK_EVERY_S = 30.0


def remote_store(settings: Traces) -> JaegerTraces | TempoTraces:
    """Make the client of a Jaeger or a Tempo, to be used as an async context manager."""
    remote = Remote(
        url=settings.url,
        headers=settings.headers,
        token=settings.token,
        ca_file=settings.ca_file,
        timeout_s=settings.timeout_s,
    )
    return JaegerTraces(remote) if settings.backend == "jaeger" else TempoTraces(remote)


class StoreWatch:
    """Asks a store now and then, so that its state says how it is doing, also while nobody looks at traces."""

    name = "trace store"

    def __init__(self, store: TraceStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self, ready: Callable[[], None]) -> None:
        """Ask until cancelled."""
        ready()
        async for _ in self._clock.every(ASK_EVERY_S):
            with suppress(CollectorError):  # which its state tells
                await self._store.apps()
