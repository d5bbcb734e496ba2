"""Starting and watching long-running services. The only place where tasks are born.

A service has a ``name`` and ``run(ready)``: it calls ``ready`` once it is usable, runs until it is
cancelled, and cleans up in its own ``finally``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Protocol

from graph.ports import Clock
from mesh_runtime.pauses import growing

log = logging.getLogger(__name__)


class Service(Protocol):
    """Something that runs for as long as the process does."""

    @property
    def name(self) -> str:
        """What a user reads in the list of signals."""
        ...

    async def run(self, ready: Callable[[], None]) -> None:
        """Call *ready* once usable; return only when there is nothing more to do."""
        ...


@contextlib.asynccontextmanager
async def serving(services: Sequence[Service]) -> AsyncIterator[None]:
    """Run services around a block: started in list order, each ready before the next one starts.

    A start that fails cancels those already running and surfaces as one ``ExceptionGroup``. Leaving the
    block cancels them all.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [await _started(group, service) for service in services]
        try:
            yield
        finally:
            for task in reversed(tasks):
                task.cancel()


async def serve(services: Sequence[Service]) -> None:
    """Run services until cancelled, or until one of them fails."""
    async with serving(services):
        await asyncio.Event().wait()


async def _started(group: asyncio.TaskGroup, service: Service) -> asyncio.Task[None]:
    ready = asyncio.Event()
    task = group.create_task(service.run(ready.set), name=service.name)
    task.add_done_callback(lambda _: ready.set())
    await ready.wait()
    return task


class Restarting:
    """A service that the product can live without for a while: started again with backoff when it fails.

    Once it was usable, its failures never end the process; they are logged, counted and shown (``failure``,
    ``restarts``).
    """

    def __init__(self, service: Service, clock: Clock, *, first_s: float = 0.5, most_s: float = 30.0) -> None:
        self.name = service.name
        self.restarts = 0
        self.failure = ""
        """Why it last failed; empty while it runs well."""
        self._service = service
        self._clock = clock
        self._first_s = first_s
        self._most_s = most_s

    async def run(self, ready: Callable[[], None]) -> None:
        """Run the service for ever. A failure before it was ever usable is the start's failure and raised."""
        pauses = self._pauses()
        started = False

        def well() -> None:
            nonlocal pauses, started
            started = True
            pauses = self._pauses()
            self.failure = ""
            ready()

        while True:
            try:
                await self._service.run(well)
                self.failure = "ended"
            except Exception as trouble:  # the supervisor is where a service's failure stops
                if not started:
                    raise
                self.failure = _sentence(trouble)
                log.exception("service failed", extra={"service": self.name, "restarts": self.restarts})
            await self._clock.sleep(next(pauses))
            self.restarts += 1

    def _pauses(self) -> Iterator[float]:
        return growing(self._first_s, self._most_s)


def restarting(clock: Clock, *services: Service) -> tuple[Restarting, ...]:
    """Wrap services in :class:`Restarting`."""
    return tuple(Restarting(service, clock) for service in services)


def _sentence(trouble: BaseException) -> str:
    while isinstance(trouble, BaseExceptionGroup):
        trouble = trouble.exceptions[0]
    return str(trouble) or type(trouble).__name__
