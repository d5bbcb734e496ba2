"""Reading one dialect in one Prometheus, by samples or by increases."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from statistics import median

from collectors.dialects import Dialect, Gap, Need
from collectors.errors import CollectorError
from collectors.prometheus import queries
from collectors.prometheus.answers import Answer
from collectors.prometheus.client import PrometheusClient, TooMuchError
from collectors.prometheus.config import PrometheusConfig
from collectors.prometheus.increases import Accumulation, Sums, read_increases
from collectors.prometheus.processes import DEFAULT_INTERVAL_MS
from collectors.prometheus.relabelling import Loss
from collectors.prometheus.samples import LOOKBACK_MS, Doubts, Samples
from graph.model import Observation

log = logging.getLogger(__name__)

MOST_STARTS = 200
"""So many new processes are asked for their beginning at once."""

GARBAGE = (KeyError, TypeError, ValueError, IndexError, AttributeError)
"""What reading runs into where the JSON is not of the API's form."""


class Mode(StrEnum):
    """How the numbers of a dialect come."""

    SAMPLES = "samples"
    """Exact, per process."""
    INCREASES = "increases"
    """Added up by the server and averaged over a range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialectState:
    """How one dialect in one source does."""

    name: str
    mode: Mode
    series: int = 0
    instances: int = 0
    interval_s: float = 0.0
    """How often its processes are scraped; 0: not known yet."""
    newest_ms: int = 0
    """The newest sample, by our clock."""
    error: str = ""
    warnings: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    needs: tuple[Need, ...] = ()
    """What is not there and must be."""
    losses: tuple[Loss, ...] = ()
    """What the server's own rules take away."""


class Track:
    """Reads one dialect in one source."""

    def __init__(self, dialect: Dialect, config: PrometheusConfig, client: PrometheusClient) -> None:
        self.dialect = dialect
        self.metrics: Collection[str] = dialect.metrics
        self.natives: Collection[str] = ()
        """Histograms that are there as native ones only; they are asked for as increases, whatever the mode."""
        self.matchers = (dialect.selector, config.selector)
        self.partial: tuple[str, ...] = ()
        self.mode = Mode.SAMPLES
        self.origin = f"{dialect.name} in {config.name} ({config.url})"
        self.replicas = tuple(dict.fromkeys((*dialect.replica_labels, *config.replica_labels)))
        self._config = config
        self._client = client
        self._series = 0
        self._error = ""
        self._warnings: tuple[str, ...] = ()
        self._since_ms = 0
        self._newest_ms = 0
        self._read_ms = 0
        self._measured_ms = 0.0
        self._samples = self.followed()
        self._sums = Accumulation(f"{config.name}/{dialect.name}", self.origin)
        self._latencies = Accumulation(f"{config.name}/{dialect.name} latencies", self.origin)

    @property
    def interval_ms(self) -> float:
        """How often processes are scraped, as set or measured."""
        return (
            1000 * self._config.scrape_interval_s
            or self._samples.interval_ms
            or self._measured_ms
            or DEFAULT_INTERVAL_MS
        )

    @property
    def size(self) -> int:
        """How many series there were when they were last counted."""
        return self._series

    def followed(self) -> Samples:
        """Make a reader of samples that knows nothing yet."""
        return Samples(
            self.dialect,
            source=self._config.name,
            origin=self.origin,
            cluster=self._config.cluster,
            cluster_label=self._config.cluster_label,
            replica_labels=self._config.replica_labels,
        )

    async def measure(self, at_ms: int) -> None:
        """Find out by one series how often processes are scraped, where no samples have been read."""
        if self._samples.interval_ms:
            return
        selector = queries.select([next(iter(self.metrics))], *self.matchers)
        some = await self._client.series(selector, from_ms=at_ms - LOOKBACK_MS, at_ms=at_ms, limit=1)
        if some:
            answer = await self._client.query(f"{queries.exactly(some[0])}[{LOOKBACK_MS}ms]", at_ms=at_ms)
            times = [1000 * sample[0] for one in answer.result for sample in one.get("values", ())]
            gaps = [later - earlier for earlier, later in pairwise(times)]
            self._measured_ms = median(gaps) if gaps else 0.0

    async def jobs(self, at_ms: int) -> frozenset[str]:
        """Name the scrape jobs whose series it reads."""
        if not self.metrics:
            return frozenset()
        answer = await self._client.query(queries.jobs_query(self.metrics, *self.matchers), at_ms=at_ms)
        return frozenset(str(one["metric"].get("job", "")) for one in answer.result)

    def resize(self, series: int) -> None:
        """Choose the way of reading by the number of series; back to samples only when they are clearly fewer."""
        self._series = series
        most = self._config.most_series
        mode = Mode.INCREASES if series > (most if self.mode is Mode.SAMPLES else 0.8 * most) else Mode.SAMPLES
        self._switch(mode)

    def state(self, skew_ms: int) -> DialectState:
        """How it is doing."""
        exact = self.mode is Mode.SAMPLES
        return DialectState(
            name=self.dialect.name,
            mode=self.mode,
            series=self._samples.series if exact else self._series,
            instances=len(self._samples.units) if exact else 0,
            interval_s=round(self._samples.interval_ms / 1000, 1),
            newest_ms=max(0, self._newest_ms - skew_ms),
            error=self._error,
            warnings=self._warnings,
        )

    def doubts(self, failure: str, server_ms: int) -> Doubts:
        """Why its numbers may not be believed, the more general reason where there are two."""
        name = self._config.name
        if self.mode is Mode.INCREASES:
            reason = failure or self._error or "; ".join(self.partial)
            doubts: Doubts = self._sums.missing()
            if reason:
                doubts[f"{name}/{self.dialect.name}", None] = reason
            return doubts
        doubts = self._samples.missing()
        reason = failure or self._error
        for unit in self._samples.units if reason else self._samples.silent(server_ms):
            doubts[self._samples.instance(unit), None] = reason or self._why_silent(unit)
        return doubts

    async def read(self, at_ms: int, skew_ms: int) -> list[Observation]:
        """Read what is new at this instant of the server's clock."""
        if not self.metrics:
            return []
        try:
            try:
                observations = await self._read(at_ms, skew_ms)
            except TooMuchError as trouble:
                if self.mode is Mode.INCREASES:
                    raise
                log.warning("samples are too many", extra={"source": self._config.name, "error": str(trouble)})
                self._switch(Mode.INCREASES)
                observations = await self._read(at_ms, skew_ms)
        except CollectorError as trouble:
            self._error = str(trouble)
            raise
        self._error = ""
        return observations

    async def _read(self, at_ms: int, skew_ms: int) -> list[Observation]:
        try:
            if self.mode is Mode.SAMPLES:
                return await self._read_samples(at_ms, skew_ms)
            return await self._read_increases(at_ms, skew_ms)
        except GARBAGE as wrong:
            raise CollectorError(
                self._client.told(f"answers a query of {self.dialect.name} with garbage ({type(wrong).__name__})")
            ) from wrong

    async def _read_samples(self, at_ms: int, skew_ms: int) -> list[Observation]:
        asked = queries.sample_queries(self.metrics, self._range_ms(at_ms), *self.matchers)
        answers = await self._ask([self._told(one, at_ms) for one in asked])
        samples = self._samples
        first = not self._read_ms
        heard = samples.count((one for answer in answers for one in answer.result), from_ms=at_ms if first else None)
        self._read_ms = at_ms
        since_ms = max(self._since_ms, at_ms - LOOKBACK_MS)
        starts = {} if first else await self.starts(samples, from_ms=since_ms, at_ms=at_ms)
        heard |= samples.began(starts, self._since_ms, offset_ms=skew_ms)
        self._since_ms = self._since_ms or at_ms
        self._newest_ms = max((unit.seen_ms for unit in samples.units.values()), default=0)
        samples.forget(at_ms)
        return [*samples.observations(heard, skew_ms), *await self._read_latencies(at_ms, skew_ms)]

    async def _told(self, query: str, at_ms: int) -> Answer:
        """Select samples, and take them apart while the server still works at the others."""
        answer = await self._client.samples(query, at_ms=at_ms)
        return replace(answer, result=[self._samples.told(one) for one in answer.result])

    async def _read_latencies(self, at_ms: int, skew_ms: int) -> list[Observation]:
        """Count on what only native histograms tell."""
        return await self._accumulate(self._latencies, self.natives, at_ms, skew_ms) if self.natives else []

    async def _read_increases(self, at_ms: int, skew_ms: int) -> list[Observation]:
        self._newest_ms = at_ms
        return await self._accumulate(self._sums, (*self.metrics, *self.natives), at_ms, skew_ms)

    async def _accumulate(
        self, sums: Accumulation, metrics: Collection[str], at_ms: int, skew_ms: int
    ) -> list[Observation]:
        elapsed_ms = at_ms - sums.at_ms if sums.at_ms else 0
        range_ms = int(min(max(4 * self.interval_ms, elapsed_ms), LOOKBACK_MS))
        observations = sums.add(await self.increases(metrics, range_ms, at_ms), range_ms=range_ms, at_ms=at_ms)
        return [replace(one, at_ms=at_ms - skew_ms) for one in observations]

    async def increases(self, metrics: Collection[str], range_ms: int, at_ms: int) -> Sums:
        """What these metrics counted in a range, added up by the server: one query for each."""
        labels = dict.fromkeys((*self.dialect.labels, *filter(None, [self._config.cluster_label])))
        asked = {
            # Replicas of native histograms cannot be told apart: they have no largest one.
            metric: queries.increase_query(
                metric, labels, () if metric in self.natives else self.replicas, range_ms, *self.matchers
            )
            for metric in metrics
        }
        queried = [self._client.query(query, at_ms=at_ms) for query in asked.values()]
        sums: Sums = {}
        for metric, answer in zip(asked, await self._ask(queried), strict=True):
            read_increases(
                self.dialect,
                metric,
                answer.result,
                cluster=self._config.cluster,
                cluster_label=self._config.cluster_label,
                into=sums,
            )
        return sums

    async def _ask(self, asked: Sequence[Coroutine[None, None, Answer]]) -> list[Answer]:
        """Evaluate all, side by side; all or nothing, since halves of a count are no count."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one) for one in asked]
        except BaseExceptionGroup as troubles:
            raise _first(troubles) from None
        answers = [task.result() for task in tasks]
        self._warnings = tuple(dict.fromkeys(one for answer in answers for one in answer.warnings))
        self.partial = self._warnings if any(answer.partial for answer in answers) else ()
        return answers

    async def starts(self, samples: Samples, *, from_ms: int, at_ms: int) -> Mapping[str, int]:
        """When processes that are new since an instant began, by their names; what is not told is not guessed."""
        addresses = samples.young(from_ms)
        starts: dict[str, int] = {}
        for first in range(0, len(addresses), MOST_STARTS):
            asked = addresses[first : first + MOST_STARTS]
            query = queries.starts_query(asked, at_ms - from_ms, self._config.selector)
            try:
                answer = await self._client.query(query, at_ms=at_ms)
            except CollectorError:
                return starts
            for one in answer.result:
                name = samples.name(one["metric"])
                start_ms = round(1000 * float(one["value"][1]))
                starts[name] = min(start_ms, starts.get(name, start_ms))
        return starts

    def _range_ms(self, at_ms: int) -> int:
        """Far enough back for the last sample of every process that is scraped."""
        if not self._read_ms:
            return LOOKBACK_MS
        newest_ms = min(self._newest_ms or 0, at_ms)
        return int(min(at_ms - newest_ms + 1.5 * self.interval_ms, LOOKBACK_MS))

    def _switch(self, mode: Mode) -> None:
        if mode is self.mode:
            return
        self.mode = mode
        self._read_ms = self._since_ms = 0
        self._samples = self.followed()
        self._sums = Accumulation(f"{self._config.name}/{self.dialect.name}", self.origin)

    def _why_silent(self, unit: str) -> str:
        if self.partial:
            return f"{self._config.name} answers only in part: {'; '.join(self.partial)}"
        return f"{self._config.name} has no new samples of {unit or 'it'}; is it still scraped (up)?"


def _first(troubles: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of the failures of one query set the most telling: that it is too much, else the first one."""
    leaves: list[BaseException] = []
    for one in troubles.exceptions:
        leaves += [_first(one)] if isinstance(one, BaseExceptionGroup) else [one]
    return next((one for one in leaves if isinstance(one, TooMuchError)), leaves[0])
