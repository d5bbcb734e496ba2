"""Where the graph's metrics come from: every source, made from the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from collectors.dialects import known
from collectors.errors import CollectorError
from collectors.poll import MetricsPoll
from collectors.prometheus.history import Histories, PrometheusHistory
from collectors.prometheus.source import PrometheusSource
from collectors.scrape import AdminScrape, ScrapeConfig, ScrapeSource
from console.clusters import Clusters, PodTargets
from console.federation import OWN_RUN
from console.settings import Settings, Source
from graph.live import LiveGraph
from graph.model import Inventory
from graph.ports import Clock, GraphHistory
from mesh_runtime.registry import RegistryReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is made."""

    polls: Sequence[MetricsPoll]
    """Services: each hands what one source observes to the live graph. The first reads the bundled mesh."""
    histories: Sequence[GraphHistory]
    """Who remembers: all sources that do, as one."""


def sources(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    live: LiveGraph,
    clock: Clock,
    registry: RegistryReader,
    inventory: Callable[[], Inventory],
    clusters: Clusters,
) -> Sources:
    """Make the bundled mesh's source, and one per ``[[sources]]`` table; the stack closes them.

    Raises :class:`CollectorError` for a source that cannot work as it is set.
    """
    own = AdminScrape(registry, clock, settings.mesh.scrape_interval_s)
    others = elsewhere(settings, stack, live=live, clock=clock, inventory=inventory, clusters=clusters)
    polls = [MetricsPoll(own, live, clock, settings.mesh.scrape_interval_s), *others.polls]
    return Sources(polls=polls, histories=others.histories)


def elsewhere(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    live: LiveGraph,
    clock: Clock,
    inventory: Callable[[], Inventory],
    clusters: Clusters,
) -> Sources:
    """Make only what the ``[[sources]]`` tables name."""
    polls: list[MetricsPoll] = []
    histories: list[PrometheusHistory] = []
    for config in _apart(settings.sources):
        files = [Path(file).expanduser() for file in config.dialect_files]
        known(files)
        source: PrometheusSource | ScrapeSource
        if isinstance(config, ScrapeConfig):
            source = ScrapeSource(
                config,
                clock,
                dialects=partial(known, files),
                discoveries=[PodTargets(clusters.named(one)) for one in config.kubernetes],
                own_run=OWN_RUN,
            )
        else:
            source = PrometheusSource(config, clock, dialects=partial(known, files))
            histories.append(PrometheusHistory(source, clock, inventory))
        stack.push_async_callback(source.close)
        polls.append(MetricsPoll(source, live, clock, config.interval_s))
    return Sources(polls=polls, histories=[Histories(histories, inventory, live.tolerances)] if histories else [])


def _apart(configs: Sequence[Source]) -> Sequence[Source]:
    names = [config.name for config in configs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CollectorError(f"several sources are called {', '.join(twice)}; give each a name of its own")
    return configs
