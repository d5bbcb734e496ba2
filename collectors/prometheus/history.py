"""The graph of the past, as a Prometheus remembers it. Implements :class:`graph.ports.GraphHistory`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import TypeVar

from collectors.errors import CollectorError
from collectors.layers import Layers
from collectors.prometheus import queries
from collectors.prometheus.answers import Answer
from collectors.prometheus.client import TooMuchError
from collectors.prometheus.increases import observed
from collectors.prometheus.samples import LOOKBACK_MS
from collectors.prometheus.source import PrometheusSource
from collectors.prometheus.track import GARBAGE, Track
from graph.health import DEFAULT, Tolerance
from graph.model import GraphType, Inventory, Observation, Snapshot
from graph.moment import snapshot_of
from graph.ports import Clock

log = logging.getLogger(__name__)

MOST_SAMPLES = 1_000_000
"""Windows that hold more are asked for as increases: less exact, and bounded in size."""

FEWEST_INTERVALS = 4
"""A window shorter than so many scrape intervals says more about the scrapes than about the traffic."""

LONGEST_S = 30 * 24 * 3600
REACH_STEPS = 120
REACH_KEPT_S = 600


class WindowError(CollectorError):
    """The window cannot be answered from these samples; the message says which one can."""


class PrometheusHistory:
    """Answers any window that one server holds samples of, in every dialect that its source reads."""

    def __init__(self, source: PrometheusSource, clock: Clock, inventory: Callable[[], Inventory]) -> None:
        self.name = source.name
        self._source = source
        self._clock = clock
        self._inventory = inventory
        self._reach: tuple[int, int] | None = None
        self._reached_ms = 0

    async def snapshot(self, kind: GraphType, window_s: int, at_ms: int) -> Snapshot | None:
        """Make the graph of the window that ends at the instant; ``None`` where there are no samples.

        Raises :class:`WindowError` for a window below four scrape intervals or above 30 days.
        """
        return await Histories([self], self._inventory).snapshot(kind, window_s, at_ms)

    async def observed(self, kind: GraphType, window_s: int, at_ms: int) -> Sequence[Observation]:
        """Count what happened in the window.

        Exact where it holds at most a million samples; else as the server's ``increase`` extrapolates.
        """
        await self._begin()
        self._check(window_s)
        from_ms = at_ms - 1000 * window_s
        done = await asyncio.gather(*(self._read(track, from_ms, at_ms) for track in self._source.tracks))
        return Layers(every=kind is GraphType.FINEST).one(list(chain.from_iterable(done)))

    async def reach(self) -> tuple[int, int] | None:
        """Find the oldest and the newest instant with samples, to a second or two."""
        now_ms = self._clock.now_ms()
        if not self._reached_ms or now_ms - self._reached_ms > 1000 * REACH_KEPT_S:
            await self._begin()
            oldest_ms = await self._oldest(now_ms - 1000 * LONGEST_S, now_ms)
            self._reach = None if oldest_ms is None else (oldest_ms, now_ms)
            self._reached_ms = now_ms
        return self._reach and (self._reach[0], now_ms)

    async def _begin(self) -> None:
        if not self._source.tracks:
            await self._source.look()

    def _check(self, window_s: int) -> None:
        interval_ms = max((track.interval_ms for track in self._source.tracks), default=0)
        shortest_s = FEWEST_INTERVALS * interval_ms / 1000
        if window_s < shortest_s:
            raise WindowError(
                f"{self.name} has a sample every {interval_ms / 1000:g} s only, too few for a window of {window_s} s;"
                f" take {shortest_s:.0f} s or more"
            )
        if window_s > LONGEST_S:
            raise WindowError(f"a window of {window_s} s is too long; take {LONGEST_S} s (30 days) or less")

    async def _read(self, track: Track, from_ms: int, at_ms: int) -> Sequence[Observation]:
        samples = track.size * (at_ms - from_ms) / track.interval_ms
        try:
            if samples <= MOST_SAMPLES:
                try:
                    return await self._exact(track, from_ms, at_ms)
                except TooMuchError:
                    pass
            return await self._increases(track, (*track.metrics, *track.natives), from_ms, at_ms)
        except GARBAGE as wrong:
            raise CollectorError(f"{track.origin}: the past is garbage ({type(wrong).__name__})") from wrong

    async def _exact(self, track: Track, from_ms: int, at_ms: int) -> Sequence[Observation]:
        """Count from sample to sample; the last one before the window is its zero."""
        skew_ms = self._source.skew_ms
        begin_ms, end_ms = from_ms + skew_ms, at_ms + skew_ms
        before_ms = min(LOOKBACK_MS, int(2 * track.interval_ms))
        answers: list[Answer] = [
            await self._source.client.samples(query, at_ms=end_ms)
            for query in queries.sample_queries(track.metrics, at_ms - from_ms + before_ms, *track.matchers)
        ]
        samples = track.followed()
        heard = samples.read(chain.from_iterable(answer.result for answer in answers), from_ms=begin_ms)
        heard |= samples.began(await track.starts(samples, from_ms=begin_ms, at_ms=end_ms), begin_ms)
        latencies = await self._increases(track, track.natives, from_ms, at_ms) if track.natives else ()
        return [*samples.observations(heard, skew_ms, epoch=from_ms), *latencies]

    async def _increases(
        self, track: Track, metrics: Collection[str], from_ms: int, at_ms: int
    ) -> Sequence[Observation]:
        sums = await track.increases(metrics, at_ms - from_ms, at_ms + self._source.skew_ms)
        origin = f"{track.origin}, extrapolated by increase()"
        return observed(sums, instance=f"{self.name}/{track.dialect.name}", epoch=from_ms, at_ms=at_ms, origin=origin)

    async def _oldest(self, from_ms: int, at_ms: int) -> int | None:
        """Look for the oldest samples, three times: in coarse steps, then in finer ones before the first that has any."""
        metrics = [(metric, track) for track in self._source.tracks for metric in tuple(track.metrics)[:1]]
        oldest = None
        for metric, track in metrics:
            first = await self._first(queries.count_query([metric], *track.matchers), from_ms, at_ms)
            if first is not None:
                oldest = first if oldest is None else min(oldest, first)
        return oldest

    async def _first(self, query: str, from_ms: int, at_ms: int) -> int | None:
        found = None
        step_ms = (at_ms - from_ms) // REACH_STEPS
        for _ in range(3):
            skew_ms = self._source.skew_ms
            answer = await self._source.client.query_range(
                query, from_ms=from_ms + skew_ms, at_ms=at_ms + skew_ms, step_s=step_ms / 1000
            )
            if not answer.result:
                return found
            found = round(1000 * answer.result[0]["values"][0][0]) - skew_ms
            from_ms, at_ms = found - step_ms, found
            step_ms = max(1000, step_ms // REACH_STEPS)
        return found


class Histories:
    """Several servers' memories as one, since each knows a part of the same graph."""

    def __init__(
        self,
        histories: Sequence[PrometheusHistory],
        inventory: Callable[[], Inventory],
        tolerances: Sequence[Tolerance] = DEFAULT,
    ) -> None:
        self._histories = histories
        self._inventory = inventory
        self._tolerances = tolerances

    async def snapshot(self, kind: GraphType, window_s: int, at_ms: int) -> Snapshot | None:
        """Make one graph of all that the servers hold of the window.

        A server that cannot answer is left out; raises what is wrong with the first one where none can.
        """
        done = await asyncio.gather(
            *(one.observed(kind, window_s, at_ms) for one in self._histories), return_exceptions=True
        )
        answered = _good(done)
        observations = list(chain.from_iterable(answered))
        if not observations:
            return None
        reach = await self.reach()
        return await asyncio.to_thread(
            snapshot_of,
            observations,
            self._inventory(),
            kind,
            at_ms - 1000 * window_s,
            at_ms,
            window_s=window_s,
            known_ms=reach[0] if reach else 0,
            tolerances=self._tolerances,
        )

    async def reach(self) -> tuple[int, int] | None:
        """Find the oldest and the newest instant that any of them can be asked for."""
        done = await asyncio.gather(*(one.reach() for one in self._histories), return_exceptions=True)
        known = [reach for reach in _good(done) if reach]
        return (min(old for old, _ in known), max(new for _, new in known)) if known else None


Got = TypeVar("Got")


def _good(done: Sequence[Got | BaseException]) -> list[Got]:
    """What came; what failed is raised where nothing came, or nobody expects it."""
    failures = [one for one in done if isinstance(one, BaseException)]
    unexpected = [one for one in failures if not isinstance(one, CollectorError)]
    if unexpected or (failures and len(failures) == len(done)):
        raise (unexpected or failures)[0]
    for failure in failures:
        log.warning("a history is left out", extra={"error": str(failure)})
    return [one for one in done if not isinstance(one, BaseException)]
