"""The graph at any instant and over any window, from whoever remembers it best: memory, the disk, other sources."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from collectors.errors import CollectorError
from console.web.errors import NotFound
from graph.model import GraphType, Snapshot
from graph.windows import REACH_S

if TYPE_CHECKING:
    from console.context import Console

FAIR_MS = 2_000
FAIR_SHARE = 0.1
"""A window that lacks no more than this, or this share of it, is not looked for elsewhere."""


async def moment(console: Console, kind: GraphType, window_s: int, at_ms: int | None = None) -> Snapshot:
    """Find the window that ends at the instant (now, if none is given) where most of it is known.

    Memory is asked first, then the console's histories in their order. Raises
    :class:`~console.web.errors.NotFound`, saying what there is, where nobody knows anything of it.
    """
    troubles: list[str] = []
    wanted_ms = console.live.at_ms if at_ms is None else at_ms
    best: Snapshot | None = None
    async for found in _offers(console, kind, window_s, at_ms, troubles):
        if best is None or _lacking_ms(found, window_s, wanted_ms) < _lacking_ms(best, window_s, wanted_ms):
            best = found
        if _lacking_ms(best, window_s, wanted_ms) <= max(FAIR_MS, FAIR_SHARE * 1000 * window_s):
            break
    if best is None:
        raise NotFound("; ".join([f"nobody watched at {_instant(wanted_ms)}", await _reach(console), *troubles]))
    return best


async def oldest_ms(console: Console) -> int:
    """Say since when anybody remembers the graph: memory, or one of the histories that can be asked."""
    return min([memory_ms(console), *(reach[0] for reach in await _reaches(console))])


def memory_ms(console: Console) -> int:
    """Say since when memory knows the graph."""
    kept = console.live.snapshot(GraphType.WORKLOAD, REACH_S)
    return kept.at_ms - _covered_ms(kept)


async def _offers(
    console: Console, kind: GraphType, window_s: int, at_ms: int | None, troubles: list[str]
) -> AsyncIterator[Snapshot]:
    oldest_ms = wanted_ms = at_ms
    if at_ms is None or at_ms >= console.live.at_ms:
        snapshot = console.live.snapshot(kind, window_s)
        yield snapshot
        wanted_ms = at_ms or snapshot.at_ms
        oldest_ms = snapshot.at_ms - _covered_ms(snapshot)
    assert wanted_ms is not None
    for history in console.histories:
        try:
            reach = await history.reach()
            # Whoever began to watch later than memory, or than the instant asked for, has nothing to add.
            if reach is None or reach[0] >= (oldest_ms or 0):
                continue
            snapshot_then = await history.snapshot(kind, window_s, wanted_ms)
        except CollectorError as trouble:
            troubles.append(str(trouble))
            continue
        if snapshot_then is not None:
            yield snapshot_then


def _covered_ms(snapshot: Snapshot) -> int:
    return int(1000 * max((edge.signals.covered_s for edge in snapshot.edges.values()), default=0.0))


def _lacking_ms(snapshot: Snapshot, window_s: int, at_ms: int) -> int:
    """How much of what was asked for a snapshot does not tell, or tells beside it."""
    return abs(at_ms - snapshot.at_ms) + max(0, 1000 * window_s - _covered_ms(snapshot))


async def _reaches(console: Console) -> list[tuple[int, int]]:
    reaches = []
    for history in console.histories:
        with suppress(CollectorError):
            reaches.append(await history.reach())
    return [reach for reach in reaches if reach]


async def _reach(console: Console) -> str:
    known = await _reaches(console)
    if not known:
        return "there is no history yet"
    return "the history reaches from " + ", and from ".join(f"{_instant(old)} to {_instant(new)}" for old, new in known)


def _instant(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} (Unix ms)"
