"""Clocks that the tests turn: :class:`graph.ports.Clock` without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class FixedClock:
    """Stands still, unless a test sets it."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.now = now_ms

    def now_ms(self) -> int:
        return self.now

    steady_ms = now_ms

    async def every(self, interval_s: float) -> AsyncIterator[int]:
        yield self.now

    async def sleep(self, seconds: float) -> None:
        return


class FakeClock:
    """Moves by as much as somebody waits."""

    def __init__(self, now_ms: int = 1_000_000) -> None:
        self.now = now_ms
        self.slept: list[float] = []
        self.set_by_ms = 0
        """By how much somebody has set it."""

    def now_ms(self) -> int:
        return self.now + self.set_by_ms

    def steady_ms(self) -> int:
        return self.now

    async def every(self, interval_s: float) -> AsyncIterator[int]:
        while True:
            yield self.now_ms()
            self.now += int(interval_s * 1000)
            await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += int(seconds * 1000)
        await asyncio.sleep(0)
