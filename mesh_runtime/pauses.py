"""How long to wait before something is tried or started again."""

from __future__ import annotations

import time
from collections.abc import Iterator

FIRST_S = 0.1
MOST_S = 10.0
LIVED_WELL_S = 30.0
"""What ran this long before it ended is started again as if it had never ended before."""


class Pauses:
    """Grows from one end to the next, and forgets when something ran well for a while."""

    def __init__(self) -> None:
        self._pauses = growing(FIRST_S, MOST_S)
        self._started = time.monotonic()

    def next(self) -> float:
        """Return how many seconds to wait now."""
        if time.monotonic() - self._started > LIVED_WELL_S:
            self._pauses = growing(FIRST_S, MOST_S)
        pause = next(self._pauses)
        self._started = time.monotonic() + pause
        return pause


def growing(first_s: float, most_s: float) -> Iterator[float]:
    """Yield seconds without end, each time twice as many."""
    pause = first_s
    while True:
        yield pause
        pause = min(pause * 2, most_s)
