"""What has just come, handed to whoever reads along: bounded for each reader, and what it missed is counted."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
WAITING = 2000
"""Items that wait for one reader; then the oldest go."""
READERS = 64
IDLE_S = 10.0
"""After so long without news a reader is given an empty batch, so that it can see whether anybody still listens."""


class Batch(NamedTuple, Generic[T]):
    """What came since the reader last asked."""

    items: Sequence[T]
    missed: int
    """Older ones that the reader was too slow for."""


class TooManyReadersError(Exception):
    """All places are taken; one that leaves makes room."""


class Feed(Generic[T]):
    """Hands items on. ``publish`` may be called from any thread, ``read`` belongs to one loop."""

    def __init__(self) -> None:
        self.missed = 0
        """By all readers together, so far."""
        self._lock = threading.Lock()
        self._readers: list[_Reader[T]] = []

    @property
    def readers(self) -> int:
        """How many read along."""
        return len(self._readers)

    def publish(self, items: Iterable[T]) -> None:
        """Hand items to those who want them; never waits for a reader."""
        if not self._readers:
            return
        several = list(items)
        with self._lock:
            for reader in self._readers:
                self.missed += reader.take(several)

    async def read(self, wants: Callable[[T], bool]) -> AsyncGenerator[Batch[T], None]:
        """Yield what comes from now on; raises :class:`TooManyReadersError`.

        The first batch is empty and comes at once: whoever then looks up what was before misses nothing in between.
        Others are empty when nothing came for a while.
        """
        reader = _Reader(wants, WAITING, asyncio.get_running_loop())
        with self._lock:
            if len(self._readers) >= READERS:
                raise TooManyReadersError(f"{READERS} readers are here already; close one of them")
            self._readers.append(reader)
        try:
            while True:
                with self._lock:
                    batch = reader.drain()
                yield batch
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_S):
                        await reader.news.wait()
                reader.news.clear()
        finally:
            with self._lock:
                self._readers.remove(reader)


class _Reader(Generic[T]):
    def __init__(self, wants: Callable[[T], bool], most: int, loop: asyncio.AbstractEventLoop) -> None:
        self.news = asyncio.Event()
        self._wants = wants
        self._items: deque[T] = deque(maxlen=most)
        self._missed = 0
        self._loop = loop

    def take(self, items: Iterable[T]) -> int:
        """Keep what is wanted; returns how many older ones had to go for it."""
        before, missed = len(self._items), 0
        for item in items:
            if self._wants(item):
                missed += len(self._items) == self._items.maxlen
                self._items.append(item)
        self._missed += missed
        if (missed or len(self._items) > before) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.news.set)
        return missed

    def drain(self) -> Batch[T]:
        batch = Batch(tuple(self._items), self._missed)
        self._items.clear()
        self._missed = 0
        return batch
