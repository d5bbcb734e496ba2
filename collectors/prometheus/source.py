"""A Prometheus as a source of the live graph."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collectors.dialects import Dialect, Gap, Need, candidates, detect, known
from collectors.errors import CollectorError
from collectors.prometheus import queries
from collectors.prometheus.answers import Answer
from collectors.prometheus.breaker import Circuit
from collectors.prometheus.catalogue import Catalogue, Contents
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.config import PrometheusConfig
from collectors.prometheus.native import natives
from collectors.prometheus.needs import gaps, unmet
from collectors.prometheus.relabelling import Loss, losses
from collectors.prometheus.samples import LOOKBACK_MS, Doubts
from collectors.prometheus.track import GARBAGE, DialectState, Track
from graph.model import EdgeKey, Observation
from graph.ports import Clock

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 300
"""Pause between two looks at which metrics there are, and how many series."""
LOOK_AGAIN_EMPTY_S = 15
"""The same while nothing was found, or something that must be there was not."""

SKEW_TOLD_MS = 1_000
"""Clocks that differ by less are taken for equal: the way there and back takes time, too."""

SERIES_LOOKED_AT = 200
"""Per dialect, for detection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusState:
    """How a source does, for the page that shows signals."""

    url: str
    circuit: Circuit
    skew_ms: int = 0
    """How far its clock is ahead of ours; 0 below a second. Its samples' times are corrected by it."""
    metrics: int = 0
    """How many metrics it holds, edges or not."""
    looked_ms: int = 0
    """When its metrics were last listed; 0: never."""
    dialects: tuple[DialectState, ...] = ()
    partial: tuple[str, ...] = ()
    """Why its last answers are incomplete."""
    queries: int = 0
    bytes: int = 0


class PrometheusSource:
    """Implements :class:`graph.ports.MetricsSource`: a tick is one query set per dialect, for all namespaces at once."""

    def __init__(
        self,
        config: PrometheusConfig,
        clock: Clock,
        *,
        dialects: Callable[[], Mapping[str, Dialect]] = known,
        client: PrometheusClient | None = None,
    ) -> None:
        self.name = config.name
        self.config = config
        self.client = client or PrometheusClient(config, clock)
        self.contents = Contents(names=frozenset())
        """The metrics there are, as far as they were looked up."""
        self._clock = clock
        self._catalogue = Catalogue(self.client, clock)
        self._known = dialects
        self._tracks: dict[str, Track] = {}
        self._needs: Mapping[str, tuple[Need, ...]] = {}
        self._gaps: Mapping[str, tuple[Gap, ...]] = {}
        self._losses: Mapping[str, tuple[Loss, ...]] = {}
        self._looked_ms = 0
        self._skew_ms = 0
        self._failure = ""
        _named_dialects(config, dialects())

    @property
    def skew_ms(self) -> int:
        """How far the server's clock is ahead of ours."""
        return self._skew_ms

    @property
    def tracks(self) -> Sequence[Track]:
        """The dialects that are read."""
        return tuple(self._tracks.values())

    @property
    def state(self) -> PrometheusState:
        """How it is doing."""
        return PrometheusState(
            url=self.config.url,
            circuit=self.client.breaker.circuit,
            skew_ms=self._skew_ms,
            metrics=len(self.contents.names),
            looked_ms=self._looked_ms,
            dialects=tuple(
                replace(
                    track.state(self._skew_ms),
                    needs=self._needs.get(name, ()),
                    gaps=self._gaps.get(name, ()),
                    losses=self._losses.get(name, ()),
                )
                for name, track in self._tracks.items()
            ),
            partial=tuple(dict.fromkeys(one for track in self._tracks.values() for one in track.partial)),
            queries=self.client.queries,
            bytes=self.client.bytes,
        )

    @property
    def doubts(self) -> Mapping[tuple[str, EdgeKey | None], str]:
        """Why what was observed may not be believed now: see :meth:`graph.live.LiveGraph.doubt`."""
        doubts: Doubts = {}
        for track in self._tracks.values():
            doubts |= track.doubts(self._failure, self._server_ms())
        return doubts

    async def observe(self) -> Sequence[Observation]:
        """Read what is new. Raises :class:`CollectorError` where the server gives no dialect's numbers."""
        try:
            observations = await self._tick()
        except CollectorError as trouble:
            self._failure = str(trouble)
            raise
        self._failure = ""
        return observations

    async def look(self) -> None:
        """Find out anew which metrics and dialects there are."""
        self._looked_ms = self._clock.now_ms()
        self.contents = await self._catalogue.contents()
        dialects = self._known()
        wanted = self.config.dialects or await self._detected(dialects)
        _named_dialects(self.config, dialects)
        self._tracks = {
            name: self._tracks.get(name) or Track(dialects[name], self.config, self.client) for name in wanted
        }
        for track in self._tracks.values():
            await self._size(track)
        at_ms = self._server_ms()
        self._needs = {name: await unmet(self.client, dialects[name], self.contents, at_ms) for name in wanted}
        self._gaps = {name: await gaps(self.client, dialects[name], self.contents, at_ms) for name in wanted}
        configuration = await self.client.configuration()
        self._losses = {
            name: losses(configuration, track.dialect, await track.jobs(self._server_ms()))
            for name, track in self._tracks.items()
            if configuration
        }

    async def close(self) -> None:
        """Let go of the connections."""
        await self.client.close()

    async def _tick(self) -> list[Observation]:
        await self._measure_skew()
        complete = self._tracks and not any(self._needs.values())
        pause_s = LOOK_AGAIN_S if complete else LOOK_AGAIN_EMPTY_S
        if not 0 <= self._clock.now_ms() - self._looked_ms < 1000 * pause_s:
            try:
                await self.look()
            except CollectorError as trouble:
                if not self._tracks:
                    raise
                log.warning("metrics are not listed", extra={"source": self.name, "error": str(trouble)})
        at_ms = self._server_ms()
        tracks = self.tracks
        done = await asyncio.gather(*(track.read(at_ms, self._skew_ms) for track in tracks), return_exceptions=True)
        failures = [one for one in done if isinstance(one, BaseException)]
        for failure in failures:
            if not isinstance(failure, CollectorError):
                raise failure
        if failures and len(failures) == len(tracks):
            raise failures[0]
        return [seen for batch in done if not isinstance(batch, BaseException) for seen in batch]

    async def _measure_skew(self) -> None:
        before = self._clock.now_ms()
        answer = await self.client.query("time()")
        after = self._clock.now_ms()
        try:
            skew_ms = round(1000 * float(_scalar(answer))) - (before + after) // 2
        except GARBAGE:
            raise CollectorError(self.client.told("does not tell its time: it evaluates no PromQL")) from None
        slack_ms = SKEW_TOLD_MS + (after - before) // 2
        if abs(skew_ms - self._skew_ms) > slack_ms or (self._skew_ms and abs(skew_ms) < slack_ms // 2):
            self._skew_ms = skew_ms if abs(skew_ms) > slack_ms else 0

    async def _detected(self, dialects: Mapping[str, Dialect]) -> tuple[str, ...]:
        """Probe: which dialects' metrics are there, and have the labels that tell Envoy's meshes apart."""
        at_ms = self._server_ms()
        samples: list[Mapping[str, str]] = []
        for name, metrics in candidates(self.contents.names, dialects).items():
            samples += await self.client.series(
                queries.probe(dialects[name], metrics, self.config.selector),
                from_ms=at_ms - LOOKBACK_MS,
                at_ms=at_ms,
                limit=SERIES_LOOKED_AT,
            )
        return detect({one["__name__"] for one in samples}, samples, dialects)

    async def _size(self, track: Track) -> None:
        track.metrics = queries.present(track.dialect, self.contents.names)
        track.natives = natives(track.dialect, self.contents.names)
        if track.metrics:
            answer = await self.client.query(
                queries.count_query(track.metrics, *track.matchers), at_ms=self._server_ms()
            )
            track.resize(int(float(answer.result[0]["value"][1])) if answer.result else 0)
            await track.measure(self._server_ms())

    def _server_ms(self) -> int:
        return self._clock.now_ms() + self._skew_ms


def _named_dialects(config: PrometheusConfig, dialects: Mapping[str, Dialect]) -> None:
    if unknown := [name for name in config.dialects if name not in dialects]:
        raise CollectorError(
            f"source {config.name}: there is no dialect {', '.join(unknown)}; there are {', '.join(dialects)}"
        )


def _scalar(answer: Answer) -> Any:
    """A scalar, or VictoriaMetrics' vector of one."""
    if answer.type == "scalar":
        return answer.result[1]
    return answer.result[0]["value"][1]
