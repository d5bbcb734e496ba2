"""The page that other Prometheus servers scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from collectors.poll import PollState
from console.federation.counts import Cumulative
from console.federation.lag import LoopLag
from console.federation.own import own_families
from console.federation.text import render
from console.signals.signal import Signal
from graph.live import LiveGraph
from graph.model import GraphType
from graph.ports import Clock

HEALTH_WINDOW_S = 60


class Federation:
    """A service: measures the loop, and writes the page when it is asked for."""

    name = "federation"

    def __init__(self, live: LiveGraph, clock: Clock) -> None:
        self._live = live
        self._clock = clock
        self._lag = LoopLag(clock)
        self._counts = Cumulative()
        self._one_by_one = asyncio.Lock()

    async def run(self, ready: Callable[[], None]) -> None:
        """Measure until cancelled."""
        await self._lag.run(ready)

    async def page(self, signals: Sequence[Signal], sources: Iterable[PollState], *, openmetrics: bool) -> str:
        """Write everything that was counted until the graph's last tick, and how we do."""
        frame = self._live.frame()
        own = own_families(
            signals,
            sources,
            self._live.snapshot(GraphType.WORKLOAD, HEALTH_WINDOW_S),
            now_ms=self._clock.now_ms(),
            lag_s=self._lag.worst_s,
        )

        def write() -> str:
            return render([*self._counts.families(frame), *own], openmetrics=openmetrics)

        async with self._one_by_one:
            return await asyncio.to_thread(write)
