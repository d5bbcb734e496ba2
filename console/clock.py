"""The machine's clock, and how its instants are written for programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime


class SystemClock:
    """Implements :class:`graph.ports.Clock`. Intervals are measured on the monotonic clock."""

    def now_ms(self) -> int:
        """Unix milliseconds UTC."""
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        """Milliseconds that the machine has been up and awake."""
        return time.monotonic_ns() // 1_000_000

    async def every(self, interval_s: float) -> AsyncIterator[int]:
        """Yield now and then once per interval; ticks missed while the reader was busy are skipped."""
        due = time.monotonic()
        while True:
            yield self.now_ms()
            now = time.monotonic()
            due += interval_s
            if due <= now:
                due = now + interval_s - (now - due) % interval_s
            await asyncio.sleep(due - now)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def rfc3339(at_ms: int) -> str:
    """Write an instant in UTC, with milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
