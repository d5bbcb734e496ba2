"""Asking a source of metrics again and again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from collectors.errors import CollectorError
from collectors.layers import Layers
from graph.hearing import Doubts
from graph.model import Observation
from graph.ports import Clock, MetricsSource

log = logging.getLogger(__name__)
LONGEST_PAUSE_S = 30.0


class Live(Protocol):
    """Where observations go: :class:`graph.live.LiveGraph`."""

    def observe(self, batch: Iterable[Observation]) -> object:
        """Take them in."""
        ...


@runtime_checkable
class Judging(Protocol):
    """A graph that shows doubts: :class:`graph.live.LiveGraph`."""

    def doubt(self, source: str, doubts: Doubts) -> object:
        """Take a source's word on why its numbers may not be believed."""
        ...


@runtime_checkable
class Doubting(Protocol):
    """A source that can say why its numbers may not be believed now."""

    name: str

    @property
    def doubts(self) -> Doubts:
        """By process, and by what one process counts on one edge."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PollState:
    """How a source does, for the page that shows signals."""

    source: str
    interval_s: float
    last_success_ms: int = 0
    """0: never."""
    observations: int = 0
    error: str = ""
    failures: int = 0
    """In a row; 0 while it works."""


class MetricsPoll:
    """Hands everything that a source observes to the graph, once per interval.

    While the source fails it is asked less and less often, at least every half minute, and ``state`` says why.
    """

    def __init__(self, source: MetricsSource, live: Live, clock: Clock, interval_s: float = 1.0) -> None:
        self.name = f"metrics of {source.name}"
        self.state = PollState(source=source.name, interval_s=interval_s)
        self.source = source
        """What is asked; it may know more of its parts than ``state`` says."""
        self._live = live
        self._layers = Layers()
        self._clock = clock
        self._interval_s = interval_s

    async def run(self, ready: Callable[[], None]) -> None:
        """Poll until cancelled."""
        ready()
        async for _ in self._clock.every(self._interval_s):
            await self.once()
            if self.state.failures:
                await self._clock.sleep(min(self._interval_s * 2 ** min(self.state.failures, 10), LONGEST_PAUSE_S))

    async def once(self) -> bool:
        """Ask now, outside the rhythm too: the last counts before a shutdown, say. False when it failed."""
        try:
            batch = await self.source.observe()
        except (CollectorError, OSError, TimeoutError) as trouble:
            self._pass_on_doubts()
            why = str(trouble) or type(trouble).__name__
            log.warning("metrics source failed", extra={"source": self.source.name, "error": why})
            self.state = replace(self.state, error=why, failures=self.state.failures + 1)
            return False
        self._live.observe(self._layers.one(batch))
        self._pass_on_doubts()
        self.state = replace(
            self.state, error="", failures=0, last_success_ms=self._clock.now_ms(), observations=len(batch)
        )
        return True

    def _pass_on_doubts(self) -> None:
        if isinstance(self.source, Doubting) and isinstance(self._live, Judging):
            self._live.doubt(self.source.name, self.source.doubts)
