"""Pushed samples to observations, by the dialects that read them."""

from __future__ import annotations

import asyncio
import math
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

from collectors.dialects import COLLECTED_BY, Dialect, known
from collectors.errors import CollectorError
from collectors.otlp.limits import MalformedError
from collectors.prometheus.processes import Series, Whose
from collectors.prometheus.queries import present
from collectors.prometheus.samples import LOOKBACK_MS, Doubts, Samples
from collectors.remote_write.config import RemoteWriteConfig
from collectors.remote_write.histogram import read_native
from collectors.remote_write.latencies import NativeLatencies
from collectors.remote_write.refused import AHEAD_MS, SETTLED_MS, Refused
from collectors.remote_write.wire import Pushed
from graph.model import Observation
from graph.ports import Clock

STALE = struct.pack("<Q", 0x7FF0000000000002)
"""The NaN by which Prometheus says that a series has ended."""
MOST_NAMES = 100_000
STARTS = {b"process_start_time_seconds": False, b"envoy_server_uptime": True}
"""What tells when a process began; whether as its age."""
ORIGIN = "Prometheus remote-write"


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a request. Samples that no mesh writes are written, too: they are not wanted again."""

    samples: int
    histograms: int
    exemplars: int
    refused: Mapping[Refused, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeState:
    """How it goes."""

    requests: int = 0
    samples: int = 0
    """Native histograms among them."""
    last_ms: int = 0
    """When the last request came; 0: none yet."""
    series: int = 0
    """Of meshes, that are followed."""
    dialects: tuple[str, ...] = ()
    refused: Mapping[Refused, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Batch:
    """What one request brings to one dialect."""

    fresh: list[tuple[Series, Sequence[tuple[int, float]]]] = field(default_factory=list)
    zeros: dict[Series, tuple[int, float]] = field(default_factory=dict)

    def zero(self, series: Series, _samples: object, _first_ms: int) -> tuple[int, float]:
        """From when and what on a series counts that is new."""
        return self.zeros[series]


class Intake:
    """Takes requests, from any thread; implements :class:`graph.ports.MetricsSource` with what they brought."""

    name = "remote-write"

    def __init__(
        self, config: RemoteWriteConfig, clock: Clock, dialects: Callable[[], Mapping[str, Dialect]] = known
    ) -> None:
        self.config = config
        self._clock = clock
        self._dialects = dict(dialects())
        if unknown := [name for name in config.dialects if name not in self._dialects]:
            raise CollectorError(
                f"remote_write: there is no dialect {', '.join(unknown)}; there are {', '.join(self._dialects)}"
            )
        self._since_ms = self._forgotten_ms = clock.now_ms()
        self._present: set[str] = set(config.dialects)
        self._active: set[str] = set(config.dialects)
        self._readers: dict[bytes, tuple[str, ...]] = {}
        self._series: dict[bytes, tuple[tuple[str, Series], ...]] = {}
        self._followed: dict[str, Samples] = {}
        self._natives: dict[str, NativeLatencies] = {}
        self._firsts: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._touched: dict[str, set[Whose]] = {}
        self._requests = self._samples = self._last_ms = 0
        self._refused: Counter[Refused] = Counter()
        self._doubts: Doubts = {}
        self._lock = threading.Lock()

    @property
    def state(self) -> IntakeState:
        """How it goes."""
        return IntakeState(
            requests=self._requests,
            samples=self._samples,
            last_ms=self._last_ms,
            series=self._known,
            dialects=tuple(sorted(self._active)),
            refused=dict(self._refused),
        )

    @property
    def doubts(self) -> Doubts:
        """Why what was observed last may not be believed: see :meth:`graph.live.LiveGraph.doubt`."""
        return self._doubts

    async def observe(self) -> Sequence[Observation]:
        """Say what has been counted by everybody who was heard of since the last time."""
        return await asyncio.to_thread(self._observe)

    def take(self, request: Iterable[Pushed]) -> Written:
        """Take the series of one request, those that can be; raises a ``RefusedError`` where it cannot be read."""
        with self._lock:
            return self._take(request)

    @property
    def _known(self) -> int:
        return len(self._series) + sum(map(len, self._natives.values()))

    def _observe(self) -> list[Observation]:
        with self._lock:
            now_ms = self._clock.now_ms()
            self._forget(now_ms)
            touched, self._touched = self._touched, {}
            followed = {name: samples for name, samples in self._followed.items() if name in self._active}
            self._doubts = {key: why for samples in followed.values() for key, why in _doubts(samples, now_ms).items()}
            natives = [seen for name in followed if name in self._natives for seen in self._natives[name].observe()]
            return natives + [
                seen
                for name, samples in followed.items()
                for seen in samples.observations(touched.get(name, ()), 0, self._since_ms)
            ]

    def _take(self, request: Iterable[Pushed]) -> Written:
        now_ms = self._clock.now_ms()
        batches: dict[str, _Batch] = {}
        refused, refused_natives = Counter[Refused](), Counter[Refused]()
        samples = histograms = exemplars = 0
        for one in request:
            samples, histograms = samples + len(one.samples), histograms + len(one.histograms)
            exemplars += one.exemplars
            if one.histograms:
                refused_natives += self._take_natives(one, now_ms)
            if self._readers_of(one.name):
                self._sort(one, batches, refused, now_ms)
            elif one.name in STARTS:
                self._began(one)
        for name, batch in batches.items():
            heard = self._followed[name].take(batch.fresh, batch.zero)
            self._touched.setdefault(name, set()).update(heard)
        self._requests, self._samples, self._last_ms = self._requests + 1, self._samples + samples + histograms, now_ms
        both = refused + refused_natives
        self._refused += both
        return Written(samples - refused.total(), histograms - refused_natives.total(), exemplars, both)

    def _take_natives(self, one: Pushed, now_ms: int) -> Counter[Refused]:
        """Take native histograms, which are called like the classic ones without ``_bucket``."""
        refused: Counter[Refused] = Counter()
        for name in self._readers_of(one.name + b"_bucket"):
            natives = self._natives_of(name)
            if one.key not in natives and self._known >= self.config.most_series:
                refused[Refused.FULL] += len(one.histograms)
            else:
                read = [read_native(body) for body in one.histograms]
                refused += natives.take(one.key, partial(_labels_of, one), read, now_ms)
                self._appear([name] if one.key in natives else ())
        return refused

    def _sort(self, one: Pushed, batches: dict[str, _Batch], refused: Counter[Refused], now_ms: int) -> None:
        """Lay a series' samples by the dialects that read it."""
        if one.key not in self._series and self._known >= self.config.most_series:
            refused[Refused.FULL] += len(one.samples)
            return
        followed = self._series.get(one.key)
        if followed is None:
            followed = self._series[one.key] = self._learn(one)
        problems: Counter[Refused] = Counter()
        for name, series in followed:
            if name in self._active and (samples := _later(series, one, now_ms, problems := Counter())):
                batch = batches.setdefault(name, _Batch())
                batch.fresh.append((series, samples))
                if series.seen_ms < 0 and series not in batch.zeros:
                    batch.zeros[series] = self._zero(series, samples[0], one.start_ms, now_ms)
        refused += problems

    def _learn(self, one: Pushed) -> tuple[tuple[str, Series], ...]:
        """Follow a series in each dialect that reads it. Which of them count is known once all have been seen."""
        labels = _labels_of(one)
        if COLLECTED_BY.items() <= labels.items():
            return ()
        try:
            found = [(name, self._samples_of(name).learn(labels)) for name in self._readers_of(one.name)]
        except ValueError as wrong:
            raise MalformedError(f"a series of {labels['__name__'][:100]} cannot be read: {wrong}") from wrong
        followed = tuple((name, series) for name, series in found if series is not None)
        self._appear(name for name, _ in followed)
        return followed

    def _appear(self, dialects: Iterable[str]) -> None:
        """Have dialects count that were met, unless others that were met, too, cover them."""
        if not self.config.dialects:
            self._present.update(dialects)
            self._active = {one for one in self._present if self._present.isdisjoint(self._dialects[one].covered_by)}

    def _zero(self, series: Series, first: tuple[int, float], start_ms: int, now_ms: int) -> tuple[int, float]:
        """From when and what on a series counts that is new; one whose beginning was seen counts from nothing."""
        at_ms, _ = first
        if at_ms < now_ms - LOOKBACK_MS:
            return first
        known_ms = self._firsts[series.target] = min(at_ms, self._firsts.get(series.target, at_ms))
        if start_ms:
            return (at_ms - 1, 0.0) if start_ms >= self._since_ms else first
        return (at_ms - 1, 0.0) if at_ms - known_ms > SETTLED_MS else first

    def _began(self, one: Pushed) -> None:
        """Count processes that are new from their beginning, once it is told."""
        if not one.samples:
            return
        at_ms, value = one.samples[-1]
        if not 0 < value < math.inf:
            return
        start_ms = at_ms - round(1000 * value) if STARTS[one.name] else round(1000 * value)
        if start_ms < self._since_ms:
            return
        labels = _labels_of(one)
        for name in self._active & self._followed.keys():
            samples = self._followed[name]
            heard = samples.began({samples.name(labels): start_ms}, self._since_ms, complete=False)
            self._touched.setdefault(name, set()).update(heard)

    def _forget(self, now_ms: int) -> None:
        """Let go of processes that are gone for good, and of their series."""
        if now_ms - self._forgotten_ms < LOOKBACK_MS:
            return
        self._forgotten_ms = now_ms
        for samples in self._followed.values():
            samples.forget(now_ms)
        for natives in self._natives.values():
            natives.forget(now_ms)
        self._series = {
            key: followed
            for key, followed in self._series.items()
            if any(series.target.unit.name in self._followed[name].units for name, series in followed)
        }

    def _readers_of(self, metric: bytes) -> tuple[str, ...]:
        """Which dialects know a metric."""
        readers = self._readers.get(metric)
        if readers is None:
            if len(self._readers) >= MOST_NAMES:
                self._readers.clear()
            name = metric.decode(errors="replace")
            wanted = self.config.dialects or self._dialects
            readers = self._readers[metric] = tuple(one for one in wanted if present(self._dialects[one], [name]))
        return readers

    def _samples_of(self, dialect: str) -> Samples:
        if dialect not in self._followed:
            config = self.config
            self._followed[dialect] = Samples(
                self._dialects[dialect],
                source=self.name,
                origin=f"{dialect} by {ORIGIN}",
                cluster=config.cluster,
                cluster_label=config.cluster_label,
                replica_labels=config.replica_labels,
            )
        return self._followed[dialect]

    def _natives_of(self, dialect: str) -> NativeLatencies:
        if dialect not in self._natives:
            self._natives[dialect] = NativeLatencies(
                self._samples_of(dialect),
                self._dialects[dialect],
                cluster=self.config.cluster,
                cluster_label=self.config.cluster_label,
                origin=f"{dialect} by {ORIGIN}",
                since_ms=self._since_ms,
            )
        return self._natives[dialect]


def _labels_of(one: Pushed) -> dict[str, str]:
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in one.labels()}


def _later(series: Series, one: Pushed, now_ms: int, refused: Counter[Refused]) -> list[tuple[int, float]]:
    """The samples that are new, and counts; what was long ago is only what later ones are compared with."""
    count, newest = series.count, series.seen_ms
    later: list[tuple[int, float]] = []
    for at_ms, value in one.samples:
        if at_ms > now_ms + AHEAD_MS:
            refused[Refused.AHEAD] += 1
        elif at_ms < newest:
            refused[Refused.OUT_OF_ORDER] += 1
        elif math.isnan(value):
            count.ended = count.followed is series and struct.pack("<d", value) == STALE
        elif at_ms > newest and 0.0 <= value < math.inf:
            newest = at_ms
            later = [(at_ms, value)] if at_ms < now_ms - LOOKBACK_MS else [*later, (at_ms, value)]
    if later and series.seen_ms >= 0:
        _go_on(series, later[0], one.start_ms, now_ms)
    return later


def _go_on(series: Series, first: tuple[int, float], start_ms: int, now_ms: int) -> None:
    """Measure the interval; begin anew where the counter did, or where its past is too long ago to be shown as now."""
    count, (at_ms, value) = series.count, first
    if at_ms > series.target.seen_ms > 0:
        series.target.measure(at_ms / 1000, (at_ms - series.target.seen_ms) / 1000)
    if count.followed is not series:
        return
    if at_ms < now_ms - LOOKBACK_MS:
        count.value = value
    elif start_ms > count.at_ms:
        count.value = 0.0


def _doubts(samples: Samples, now_ms: int) -> Doubts:
    doubts = samples.missing()
    for silent in samples.silent(now_ms):
        doubts[samples.instance(silent), None] = (
            f"no more samples of {silent or 'it'} are sent by remote-write; is it scraped?"
        )
    for name, unit in samples.units.items():
        for whose in unit.whose.values():
            if all(count.ended for count in whose.counts):
                doubts[samples.instance(name), whose.identity.edge] = (
                    f"the Prometheus that sends it says that {name or 'its target'} is gone"
                )
    return doubts
