"""How late the loop is: what every request, stream and proxy waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from graph.ports import Clock

STEP_S = 0.25
KEPT = 120
"""Steps that are remembered: half a minute."""


class LoopLag:
    """Asks to be woken again and again, and measures how late it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._late_s: deque[float] = deque([0.0], maxlen=KEPT)

    @property
    def worst_s(self) -> float:
        """The largest of the last half minute."""
        return max(self._late_s)

    async def run(self, ready: Callable[[], None]) -> None:
        """Measure until cancelled."""
        ready()
        while True:
            before = self._clock.steady_ms()
            await self._clock.sleep(STEP_S)
            self._late_s.append(max(0.0, (self._clock.steady_ms() - before) / 1000 - STEP_S))
