"""Scraped pages as a source of the live graph."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from collectors.dialects import Dialect, known
from collectors.errors import CollectorError
from collectors.http_pages import Http, Page
from collectors.scrape.config import ScrapeConfig
from collectors.scrape.discovery import FileDiscovery, HttpDiscovery
from collectors.scrape.reading import Reading
from collectors.scrape.targets import RUN_HEADER, Discovery, Listed, Target, targets_of
from graph.model import EdgeKey, Observation
from graph.ports import Clock

TEXT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
MOST_GONE = 1_000
"""Targets that are remembered after they were taken off the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """How reading one page goes."""

    url: str
    last_success_ms: int = 0
    """0: never."""
    error: str = ""
    """Why the last attempt failed; empty when it did not."""
    failures: int = 0
    """In a row."""
    bytes: int = 0
    observations: int = 0
    dialects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeState:
    """How a source does, for the page that shows signals."""

    targets: tuple[TargetState, ...]
    unread: int
    """Targets beyond ``most_targets``."""
    discovery: tuple[str, ...]
    """What is wrong with lists of targets."""


class ScrapeSource:
    """Implements :class:`graph.ports.MetricsSource`: each tick reads the pages of all targets there are."""

    def __init__(
        self,
        config: ScrapeConfig,
        clock: Clock,
        *,
        dialects: Callable[[], Mapping[str, Dialect]] = known,
        discoveries: Iterable[Discovery] = (),
        own_run: str = "",
    ) -> None:
        self.name = config.name
        self.config = config
        self._clock = clock
        self._discoveries: tuple[Discovery, ...] = (
            Listed(config),
            *([FileDiscovery(config.file_sd)] if config.file_sd else []),
            *(HttpDiscovery(one, clock) for one in config.http_sd),
            *discoveries,
        )
        self._http = Http(
            config,
            who=f"source {config.name}",
            timeout_s=config.timeout_s,
            at_once=config.at_once,
            most_bytes=config.most_bytes,
        )
        self._reading = Reading(config.name, dialects, named=config.dialects, cluster=config.cluster)
        self._one_by_one = asyncio.Lock()
        self._states: dict[Target, TargetState] = {}
        self._gone: dict[str, str] = {}
        self._unread = 0
        self._own_run = own_run

    @property
    def state(self) -> ScrapeState:
        """How it is doing."""
        return ScrapeState(
            targets=tuple(self._states.values()),
            unread=self._unread,
            discovery=tuple(one.error for one in self._discoveries if one.error),
        )

    @property
    def doubts(self) -> Mapping[tuple[str, EdgeKey | None], str]:
        """Why what was observed may not be believed now: see :meth:`graph.live.LiveGraph.doubt`."""
        failing: dict[tuple[str, EdgeKey | None], str] = {(name, None): why for name, why in self._gone.items()}
        failing |= {
            (self._reading.instance(target), None): one.error for target, one in self._states.items() if one.error
        }
        return failing

    async def observe(self) -> Sequence[Observation]:
        """Read every page once. One that does not come is left out, and its state says why."""
        await self._look()
        batches = await asyncio.gather(*(self._scrape(target) for target in self._states))
        return [seen for batch in batches for seen in batch]

    async def close(self) -> None:
        """Let go of the connections."""
        await asyncio.gather(self._http.close(), *(one.close() for one in self._discoveries))

    async def _look(self) -> None:
        groups = [group for one in self._discoveries for group in await one.groups()]
        targets = targets_of(groups, self.config)
        self._unread = max(0, len(targets) - self.config.most_targets)
        before, there = self._states, targets[: self.config.most_targets]
        self._states = {one: before.get(one) or TargetState(url=one.url) for one in there}
        if before.keys() != self._states.keys():
            named = {self._reading.instance(one) for one in there}
            left = {self._reading.instance(one): f"{one.url} is no longer among the targets" for one in before}
            gone = {name: why for name, why in (self._gone | left).items() if name not in named}
            self._gone = dict(list(gone.items())[-MOST_GONE:])
            self._reading.retain(there)

    async def _scrape(self, target: Target) -> list[Observation]:
        state = self._states[target]
        try:
            at_ms, page = await self._page(target)
            async with self._one_by_one:
                observations = await asyncio.to_thread(self._reading.read, page, target, at_ms)
        except CollectorError as trouble:
            self._states[target] = replace(state, error=str(trouble), failures=state.failures + 1)
            return []
        self._states[target] = replace(
            state,
            error="",
            failures=0,
            last_success_ms=at_ms,
            bytes=len(page),
            observations=len(observations),
            dialects=self._reading.dialects(target),
        )
        return observations

    async def _page(self, target: Target) -> tuple[int, str]:
        """Fetch a page, at the second place where it may be if it is not at the first."""
        at_ms = self._clock.now_ms()
        page = await self._http.get(target.url, accept=TEXT)
        if page.status == 404 and target.elsewhere:
            page = await self._http.get(target.elsewhere, accept=TEXT)
        if page.status != 200:
            raise CollectorError(self._refusal(target, page))
        if page.text.lstrip()[:1] == "<":
            raise CollectorError(f"{target.url} answered with a web page, expected metrics; is a login in between?")
        if self._own_run and page.headers.get(RUN_HEADER) == self._own_run:
            raise CollectorError(f"{target.url} is a page of our own: all that it tells is in the graph already")
        return at_ms, page.text

    def _refusal(self, target: Target, page: Page) -> str:
        way_out = {
            401: f"; {self.config.way_in()}",
            403: "; these credentials may not read it",
            404: "; set metrics_path to where it publishes its metrics",
        }.get(page.status, "; redirects are not followed: name where it leads" if 300 <= page.status < 400 else "")
        return f"{target.url} answered {page.status}, expected metrics{way_out}"
