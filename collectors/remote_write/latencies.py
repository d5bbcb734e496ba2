"""Latencies of native histograms that are pushed: each is followed as a whole, since its layout changes as it grows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from collectors.dialects import COLLECTED_BY, Dialect, Identity, LatencyBucket, Measure
from collectors.prometheus.increases import observed
from collectors.prometheus.native import Latencies, latencies
from collectors.prometheus.samples import LOOKBACK_MS, Samples
from collectors.remote_write.histogram import GAUGE, Native, grown
from collectors.remote_write.refused import AHEAD_MS, SETTLED_MS, Refused
from graph.arrays import Floats
from graph.model import Observation

FOLLOW_MS = 150_000
"""A replica silent for so long is no longer followed: a scrape interval is seldom longer than a minute."""
FORGET_MS = 3_900_000

Labels = Mapping[str, str]
Whose = tuple[str, Identity]
"""A process by its name, and for whom it counts."""


@dataclass(slots=True, eq=False)
class _Followed:
    """One histogram of one process, however many replicas send it."""

    whose: Whose
    latencies: Latencies
    totals: Floats
    """Of each measure, since it is followed."""
    scrape: tuple[str, ...] = ()
    """Through which it comes at present."""
    last: Native | None = None

    @property
    def at_ms(self) -> int:
        """The instant of its newest sample."""
        return self.last.at_ms if self.last else 0


class NativeLatencies:
    """Follows the native histograms of one dialect."""

    def __init__(
        self, samples: Samples, dialect: Dialect, *, cluster: str, cluster_label: str, origin: str, since_ms: int
    ) -> None:
        self._samples = samples
        self._dialect = dialect
        self._cluster = cluster
        self._cluster_label = cluster_label
        self._origin = origin
        self._since_ms = since_ms
        self._series: dict[bytes, tuple[_Followed, tuple[str, ...]] | None] = {}
        self._known: dict[tuple[str, frozenset[tuple[str, str]]], _Followed] = {}
        self._of: defaultdict[Whose, list[_Followed]] = defaultdict(list)
        self._touched: set[Whose] = set()

    def __len__(self) -> int:
        """How many series are followed."""
        return len(self._series)

    def __contains__(self, key: bytes) -> bool:
        """Whether a series is followed."""
        return self._series.get(key) is not None

    def take(
        self, key: bytes, labels: Callable[[], Labels], histograms: Iterable[Native], now_ms: int
    ) -> Counter[Refused]:
        """Take the histograms of a series; return those that cannot be."""
        if key not in self._series:
            self._series[key] = self._learn(labels())
        refused: Counter[Refused] = Counter()
        if (known := self._series[key]) is None:
            return refused
        followed, scrape = known
        for one in histograms:
            if one.at_ms > now_ms + AHEAD_MS:
                refused[Refused.AHEAD] += 1
            elif scrape == followed.scrape and one.at_ms < followed.at_ms:
                refused[Refused.OUT_OF_ORDER] += 1
            elif _goes_on(followed, scrape, one):
                followed.scrape = scrape
                self._count(followed, one, now_ms)
        return refused

    def observe(self) -> list[Observation]:
        """Say what has been counted by those who were heard of since the last time; where classic buckets tell, they do."""
        touched, self._touched = self._touched & self._of.keys(), set()
        return [seen for whose in touched if not self._is_classic(whose) for seen in self._observed(whose)]

    def forget(self, now_ms: int) -> None:
        """Let go of what has been silent for longer than the longest window."""
        self._known = {place: one for place, one in self._known.items() if now_ms - one.at_ms <= FORGET_MS}
        alive = set(self._known.values())
        self._series = {key: known for key, known in self._series.items() if known and known[0] in alive}
        self._of.clear()
        for one in self._known.values():
            self._of[one.whose].append(one)

    def _learn(self, labels: Labels) -> tuple[_Followed, tuple[str, ...]] | None:
        cluster = labels.get(self._cluster_label) or self._cluster
        found = latencies(self._dialect, labels["__name__"], labels, cluster)
        if found is None or COLLECTED_BY.items() <= labels.items():
            return None
        scrape, rest = self._samples.apart(labels)
        place = self._samples.name(labels), rest
        if place not in self._known:
            one = _Followed((place[0], found.identity), found, np.zeros(len(found.measures)))
            self._known[place] = one
            self._of[one.whose].append(one)
        return self._known[place], scrape

    def _count(self, one: _Followed, now: Native, now_ms: int) -> None:
        """Add what is new; of the first histogram nothing, unless the process began under our eyes."""
        before, one.last = one.last, now
        late = now.at_ms < now_ms - LOOKBACK_MS
        if not late and (before or self._is_whole(one, now)):
            more = grown(before, now)
            one.totals += one.latencies.counts(more.buckets, more.samples, more.total)
        self._touched.add(one.whose)

    def _is_whole(self, one: _Followed, now: Native) -> bool:
        """Whether all of a first histogram was counted since we listen: it says so, or its process is known longer."""
        if now.start_ms:
            return now.start_ms >= self._since_ms
        unit = self._samples.units.get(one.whose[0])
        return unit is not None and 0 < unit.first_ms < now.at_ms - SETTLED_MS

    def _is_classic(self, whose: Whose) -> bool:
        name, identity = whose
        unit = self._samples.units.get(name)
        known = unit.whose.get(identity) if unit else None
        return known is not None and any(isinstance(measure, LatencyBucket) for measure in known.measures)

    def _observed(self, whose: Whose) -> Iterator[Observation]:
        name, identity = whose
        found: Sequence[_Followed] = self._of[whose]
        sums: defaultdict[Measure, float] = defaultdict(float)
        for one in found:
            for measure, total in zip(one.latencies.measures, one.totals.tolist(), strict=True):
                sums[measure] += total
        yield from observed(
            {identity: sums},
            instance=f"{self._samples.instance(name)} latencies",
            epoch=self._since_ms,
            at_ms=max(one.at_ms for one in found),
            origin=self._origin,
        )


def _goes_on(followed: _Followed, scrape: tuple[str, ...], now: Native) -> bool:
    """Whether this is the next one: of the replica that is followed, or of another one once that is silent.

    Gauges count nothing; a sum that is no number says that the series has ended.
    """
    if now.at_ms <= followed.at_ms or now.hint == GAUGE or math.isnan(now.total):
        return False
    return followed.last is None or scrape == followed.scrape or now.at_ms - followed.at_ms > FOLLOW_MS
