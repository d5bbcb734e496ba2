"""Raw samples of scraped counters to exact counts. Pure.

Each series is followed by itself, as PromQL's ``increase`` does, but without extrapolation: what is counted is the
difference of real samples, a counter that falls has started again, and a series that is missing for a while is
missing, not zero. What is handed on never falls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from collectors.counting import observation
from collectors.dialects import Dialect, Labels, Measure
from collectors.prometheus.lines import Lines, Told
from collectors.prometheus.processes import MISSED_INTERVALS, Count, Series, Target, Unit, Whose
from collectors.prometheus.restarts import Written, count_restarts
from collectors.prometheus.steady import Newest, go_on
from graph.model import EdgeKey, Observation

SCRAPE_LABELS = ("job", "instance", "endpoint", "container", "prometheus", "replica")
"""Labels that tell through which scrape a count came, rather than what is counted."""

LOOKBACK_MS = 300_000
"""Prometheus' own: a series absent for longer has ended."""

FORGET_MS = 3_900_000

Doubts = dict[tuple[str, EdgeKey | None], str]
"""As in :meth:`graph.live.LiveGraph.doubt`."""


class Samples:
    """Follows all series of one dialect in one source."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        source: str,
        origin: str,
        cluster: str,
        cluster_label: str = "",
        replica_labels: Sequence[str] = (),
    ) -> None:
        self.units: dict[str, Unit] = {}
        """The processes that count, by name."""
        self._dialect = dialect
        self._source = source
        self._origin = origin
        self._cluster = cluster
        self._cluster_label = cluster_label
        kept = set(dialect.labels) | {cluster_label}
        self._scrape_labels = {*SCRAPE_LABELS, *dialect.replica_labels, *replica_labels} - kept
        self._lines = Lines(self.learn)
        self._forgotten_ms = 0

    @property
    def series(self) -> int:
        """How many series are followed."""
        return len(self._lines)

    @property
    def interval_ms(self) -> float:
        """The longest scrape interval that was measured; 0 before any was."""
        return max((target.interval_ms for unit in self.units.values() for target in unit.targets.values()), default=0)

    def read(self, answers: Iterable[bytes], *, from_ms: int | None = None) -> set[Whose]:
        """Take the samples in, as :func:`answers.read_samples` gives them; return whose counts are heard of."""
        return self.count([self.told(answer) for answer in answers], from_ms=from_ms)

    def told(self, answer: bytes) -> Told:
        """Take an answer apart, and count nothing yet; ``ValueError`` where it is none."""
        return self._lines.read(answer)

    def count(self, told: Iterable[Told], *, from_ms: int | None = None) -> set[Whose]:
        """Take in samples of series, whose instants are the server's; return whose counts are heard of.

        What a process counted before its first sample is unknown, and not counted. ``from_ms`` makes the last sample
        not later than it the zero of a process that is new; else it is the first one.
        """
        answers = [Newest(one) for one in told if one.series]
        touched = go_on(answers)
        fresh = [
            (series, samples) for one in answers for series, values in one.rest() if (samples := series.later(values))
        ]
        return touched | self.take(
            fresh, lambda series, samples, first_ms: _zero(series.target, samples, first_ms, from_ms)
        )

    def take(self, fresh: Sequence[Fresh], zero: Zero) -> set[Whose]:
        """Take in samples that are later than those before, and counts; return whose they are.

        Of a series that was never heard ``zero`` says from which instant and value on it counts; it is told the series,
        its samples, and the first instant at which its target brings such series now.
        """
        firsts: dict[Target, int] = {}
        for series, samples in fresh:
            if series.seen_ms < 0:
                firsts[series.target] = min(firsts.get(series.target, samples[0][0]), samples[0][0])
        for target, at_ms in firsts.items():
            target.unit.first_ms = target.unit.first_ms or at_ms
        lasts: dict[Target, int] = {}
        touched: set[Whose] = set()
        steps: list[Written] = []
        fell = False
        for series, samples in fresh:
            count, target = series.count, series.target
            if series.seen_ms < 0:
                count.begin(series, *zero(series, samples, firsts[target]))
            newest = series.seen_ms = samples[-1][0]
            if count.followed is series or count.follow(series):
                fell |= count.add(samples, target, steps)
                touched.add(count.whose)
            if newest > lasts.get(target, 0):
                lasts[target] = newest
        if fell:
            count_restarts(steps)
        for target, at_ms in lasts.items():
            target.hear(at_ms)
        return touched

    def observations(self, whose: Iterable[Whose], offset_ms: int, epoch: int | None = None) -> list[Observation]:
        """What has been counted, at the instants of the newest samples by our own clock."""
        return [
            observation(
                one.identity,
                one.counters(),
                instance=self.instance(one.unit.name),
                epoch=one.unit.epoch if epoch is None else epoch,
                at_ms=one.seen_ms - offset_ms,
                origin=self._origin,
            )
            for one in whose
        ]

    def name(self, labels: Labels) -> str:
        """Name the process that a series' labels speak of, apart from its namesakes in other clusters."""
        cluster = labels.get(self._cluster_label) or self._cluster
        name = self._dialect.instance(labels)
        return name if cluster == self._cluster else f"{cluster}/{name}"

    def instance(self, unit: str) -> str:
        """Name a process as observations do."""
        return f"{self._source}/{unit}" if unit else self._source

    def began(
        self, starts: Mapping[str, int], since_ms: int, *, offset_ms: int = 0, complete: bool = True
    ) -> set[Whose]:
        """Count new processes from their beginning, where that is known to be after ``since_ms``.

        ``offset_ms``: how far the server's clock is ahead.
        ``complete``: of those that are not named the beginning will never be known.
        """
        known = {name: unit for name, unit in self.units.items() if unit.new and (complete or name in starts)}
        for unit in known.values():
            unit.new = False
        young = [unit for name, unit in known.items() if 0 < since_ms <= starts.get(name, 0) <= unit.first_ms]
        for unit in young:
            unit.epoch = starts[unit.name] - offset_ms
            for count in unit.counts():
                count.total += count.unknown
                count.unknown = 0.0
        return {count.whose for unit in young for count in unit.counts()}

    def young(self, since_ms: int) -> list[str]:
        """The scraped addresses of processes that may have begun later, and whose beginning has not been asked for."""
        units = (unit for unit in self.units.values() if unit.new and unit.first_ms > since_ms)
        return sorted({target.address for unit in units for target in unit.targets.values() if target.address})

    def missing(self) -> Doubts:
        """Say on which edges of which process series are missing, while its others arrive."""
        doubts: Doubts = {}
        for unit in self.units.values():
            missed_ms = MISSED_INTERVALS * unit.interval_ms
            for whose in unit.whose.values():
                late = [
                    count
                    for count in whose.counts
                    if missed_ms < unit.seen_ms - count.at_ms <= LOOKBACK_MS and not count.ended
                ]
                if late:
                    doubts[self.instance(unit.name), whose.identity.edge] = (
                        f"{self._source} has no new samples of {len(late)} of {len(whose.counts)} series of"
                        f" {unit.name or 'this edge'}, while others arrive: are all of its stores and shards up?"
                    )
        return doubts

    def silent(self, now_ms: int) -> Iterator[str]:
        """The processes without samples for longer than usual; ``now_ms`` by the server's clock."""
        for unit in self.units.values():
            if now_ms - unit.seen_ms > 2 * unit.interval_ms:
                yield unit.name

    def forget(self, now_ms: int) -> None:
        """Let go of processes that have been silent for longer than the longest window."""
        if now_ms - self._forgotten_ms < LOOKBACK_MS:
            return
        self._forgotten_ms = now_ms
        gone = {name for name, unit in self.units.items() if now_ms - unit.seen_ms > FORGET_MS}
        if gone:
            self.units = {name: unit for name, unit in self.units.items() if name not in gone}
        self._lines.keep(lambda series: series.target.unit.name not in gone)

    def learn(self, metric: Labels) -> Series | None:
        """Follow a series from now on, by all its labels; ``None`` where it is not about edges."""
        cluster = metric.get(self._cluster_label) or self._cluster
        meaning = self._dialect.read(metric["__name__"], metric, cluster)
        if meaning is None:
            return None
        identity, measure = meaning
        name = self.name(metric)
        unit = self.units.get(name) or self.units.setdefault(name, Unit(name))
        scrape, rest = self.apart(metric)
        target = unit.targets.get(scrape)
        if target is None:
            target = unit.targets[scrape] = Target(unit, metric.get("instance", ""))
        whose = unit.whose.get(identity) or unit.whose.setdefault(identity, Whose(identity, unit))
        return Series(self._count(whose, measure, rest, target), target)

    def apart(self, labels: Labels) -> tuple[tuple[str, ...], frozenset[tuple[str, str]]]:
        """Tell through which scrape a series came apart from what it counts."""
        scrape = tuple(labels.get(label, "") for label in self._scrape_labels)
        return scrape, frozenset(one for one in labels.items() if one[0] not in self._scrape_labels)

    def _count(self, whose: Whose, measure: Measure, labels: frozenset[tuple[str, str]], target: Target) -> Count:
        """The count that a series is of: a new one, or one that another target brings, too.

        Targets differ in labels of their own, which nobody can tell from those of the count. But what one identity
        counts of one measure each target brings as often as there are counts of it; the most alike are the same.
        """
        same = whose.measures.setdefault(measure, [])
        alike = [one for one in same if target not in one.targets]
        count = max(alike, key=lambda one: len(one.labels & labels), default=None)
        if count is None:
            count = Count(whose, labels)
            whose.counts.append(count)
            same.append(count)
        count.targets.add(target)
        return count


Fresh = tuple[Series, Sequence[tuple[int, float]]]
"""A series and its new samples: instants and values."""
Zero = Callable[[Series, Sequence[tuple[int, float]], int], tuple[int, float]]


def _zero(
    target: Target, samples: Sequence[tuple[int, float]], first_ms: int, from_ms: int | None
) -> tuple[int, float]:
    """From which instant and value on a series counts that is met for the first time.

    A target that is known would have brought it before: where the server has such a sample, it was missing from the
    last answer; where it has none, the series has just begun. Of a new target what was there first is its zero, and
    whatever came later began from nothing.
    """
    known_ms = target.seen_ms or from_ms or 0
    before = [sample for sample in samples if sample[0] <= known_ms]
    if before:
        return before[-1]
    if target.seen_ms:
        return target.seen_ms, 0.0
    return samples[0] if samples[0][0] == first_ms else (first_ms, 0.0)
