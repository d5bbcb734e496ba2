"""Which frames of the history stay: the older, the fewer."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from graph.ports import Kept

HOUR_MS = 3_600_000
TIERS_MS = (
    (HOUR_MS, 0),
    (6 * HOUR_MS, 60_000),
    (48 * HOUR_MS, 300_000),
    (168 * HOUR_MS, 900_000),
    (720 * HOUR_MS, 3_600_000),
)
"""(age, step): of the frames up to an age, one per step stays; 0: all of them. Months keep the last step."""

COARSEST = 64
"""How much longer than the tiers' the steps of old frames may become before the oldest frames go."""


def surplus(kept: Sequence[Kept], now_ms: int, retention_ms: int, capacity: int) -> set[int]:
    """Choose the frames to let go, by their instants; ``kept`` is in order of time, ``capacity`` in bytes.

    Where they are too large together, the steps of everything older than an hour grow until they fit; then the oldest
    go. A frame that another one is the difference to stays as long as that one.
    """
    oldest_ms = now_ms - retention_ms
    factor = 1
    staying = _thinned(kept, oldest_ms, now_ms, factor)
    while _size(staying) > capacity and factor < COARSEST:
        factor *= 2
        staying = _thinned(kept, oldest_ms, now_ms, factor)
    staying = _newest(staying, capacity)
    return {frame.at_ms for frame in kept} - {frame.at_ms for frame in staying}


def _thinned(kept: Sequence[Kept], oldest_ms: int, now_ms: int, factor: int) -> list[Kept]:
    chosen: dict[tuple[int, int], Kept] = {}
    for frame in kept[bisect_left(kept, oldest_ms, key=lambda frame: frame.at_ms) :]:
        step = factor * _step(now_ms - frame.at_ms)
        slot = (step, frame.at_ms // step if step else frame.at_ms)
        known = chosen.get(slot)
        # Complete frames stand for themselves, differences keep another frame alive.
        if known is None or (known.key_ms != known.at_ms and frame.key_ms == frame.at_ms):
            chosen[slot] = frame
    return _with_keys(chosen.values(), kept)


def _with_keys(chosen: Iterable[Kept], kept: Sequence[Kept]) -> list[Kept]:
    needed = {instant for frame in chosen for instant in (frame.at_ms, frame.key_ms)}
    return [frame for frame in kept if frame.at_ms in needed]


def _step(age_ms: int) -> int:
    return next((step for age, step in TIERS_MS if age_ms <= age), TIERS_MS[-1][1])


def _newest(kept: Sequence[Kept], capacity: int) -> list[Kept]:
    """As many of the newest as fit, and always the last."""
    chosen: list[Kept] = []
    counted: set[int] = set()
    sizes = {frame.at_ms: frame.size for frame in kept}
    total = 0
    for frame in reversed(kept):
        instants = {frame.at_ms, frame.key_ms} - counted
        total += sum(sizes.get(instant, 0) for instant in instants)
        if chosen and total > capacity:
            break
        counted |= instants
        chosen.append(frame)
    return _with_keys(chosen, kept)


def _size(kept: Iterable[Kept]) -> int:
    return sum(frame.size for frame in kept)
