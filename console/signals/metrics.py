"""Where the graph's metrics come from: the bundled mesh's own proxies, pages that are scraped, and each Prometheus with the meshes in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from collectors.dialects import Need
from collectors.poll import MetricsPoll, PollState
from collectors.prometheus.relabelling import Loss
from collectors.prometheus.source import PrometheusSource, PrometheusState
from collectors.prometheus.track import DialectState, Mode
from collectors.scrape import AdminScrape, ScrapeSource
from collectors.scrape.admin import ProxyScrape
from console.enumerated import enumerated
from console.signals.scraped import of_scrape
from console.signals.signal import Advice, Area, Presence, Signal, numbers
from console.views import format as fmt

STALE_MS = 10_000
DEFAULT_INTERVAL_S = 15.0
"""Taken for a scrape interval that is not known yet."""
NAMED = 6
"""So many labels or metrics are named in a sentence; the rules to paste have them all."""


def of_sources(polls: Iterable[MetricsPoll], now_ms: int) -> Iterator[Signal]:
    """Tell of every source; the first is the bundled mesh."""
    for number, poll in enumerate(polls):
        if isinstance(poll.source, PrometheusSource):
            yield from of_prometheus(poll.source, poll.state, now_ms)
        elif isinstance(poll.source, ScrapeSource):
            yield from of_scrape(poll.source, poll.state, now_ms)
        else:
            name = "metrics" if not number else f"metrics of {poll.state.source}"
            proxies = poll.source.states.values() if isinstance(poll.source, AdminScrape) else ()
            yield _own(poll.state, now_ms, name, proxies)


def of_prometheus(source: PrometheusSource, poll: PollState, now_ms: int) -> Iterator[Signal]:
    """Tell of one Prometheus, then of each mesh in it."""
    state = source.state
    yield _server(source.name, poll, state, now_ms)
    for dialect in state.dialects:
        yield _dialect(source.name, dialect, poll.interval_s, now_ms)


def _own(state: PollState, now_ms: int, name: str, proxies: Iterable[ProxyScrape]) -> Signal:
    every = tuple(proxies)
    away = [one for one in every if one.error and now_ms - one.last_success_ms > STALE_MS]
    presence, text = Presence.PRESENT, f"read every {state.interval_s:g} s"
    if state.error:
        presence, text = Presence.FAILING, state.error
    elif _late(state, now_ms):
        presence, text = Presence.STALE, "stale"
    elif away:
        presence = Presence.FAILING if len(away) == len(every) else Presence.STALE
        total = fmt.plural(len(every), "proxy", "proxies")
        text = f"{len(away)} of {total} not answering, as {away[0].node_id}: {away[0].error}"
    return Signal(
        area=Area.METRICS,
        name=name,
        text=text,
        presence=presence,
        advice=(RUNNING,) if away else (),
        counters=numbers(asdict(state) | {"proxies": len(every), "proxies_away": len(away)}),
    )


RUNNING = Advice(text="See on the Proxies page which of them are connected, or by:", paste="meshscope proxy-status")


def _server(name: str, poll: PollState, state: PrometheusState, now_ms: int) -> Signal:
    """How a server does, whatever it holds."""
    presence, text = _standing(poll, state, now_ms)
    if state.partial:
        text += f"; it answers only in part: {'; '.join(state.partial)}"
        presence = Presence.MISSING if presence is Presence.PRESENT else presence
    if state.skew_ms:
        ahead = "ahead of" if state.skew_ms > 0 else "behind"
        text += f"; its clock is {abs(state.skew_ms) / 1000:.1f} s {ahead} ours, which is corrected"
    counted = {one: getattr(state, one) for one in ("skew_ms", "metrics", "queries", "bytes")}
    return Signal(
        area=Area.METRICS,
        name=f"prometheus {name}",
        text=text,
        presence=presence,
        counters=numbers(asdict(poll) | counted),
    )


def _standing(poll: PollState, state: PrometheusState, now_ms: int) -> tuple[Presence, str]:
    if poll.error:
        return Presence.FAILING, poll.error
    if not poll.last_success_ms:
        return Presence.MISSING, f"{state.url} has not answered yet"
    if _late(poll, now_ms):
        silent_s = (now_ms - poll.last_success_ms) // 1000
        return Presence.STALE, f"stale: {state.url} has been silent for {silent_s} s"
    if not state.metrics:
        return Presence.MISSING, f"{state.url} holds no metric of the last hour; does it scrape anything yet?"
    if not state.dialects:
        text = f"{state.url} holds {state.metrics} metrics, and none of a mesh that is known; if one of them is, name it in this source's dialects"
        return Presence.MISSING, text
    meshes = ", ".join(one.name for one in state.dialects)
    return Presence.PRESENT, f"{state.url} is read every {poll.interval_s:g} s: {meshes}"


def _dialect(source: str, state: DialectState, read_s: float, now_ms: int) -> Signal:
    """What one mesh's metrics in a server are like: how exact, how fresh, what is missing and the way out."""
    age_s = (now_ms - state.newest_ms) / 1000
    stale = age_s > 3 * max(state.interval_s or DEFAULT_INTERVAL_S, read_s)
    facts = [_amount(state)]
    if stale:
        facts.append(f"stale: the newest sample is {age_s:.0f} s old" if state.newest_ms else "no samples")
    facts += [state.error] if state.error else []
    facts += [f"missing {_needed(need)}: {need.reason}" for need in state.needs]
    facts += [_taken(loss) for loss in state.losses]
    facts += [f"no {gap.signal}: {gap.reason}" for gap in state.gaps]
    facts += state.warnings
    counted = {"series": state.series, "instances": state.instances, "newest_ms": state.newest_ms}
    return Signal(
        area=Area.METRICS,
        name=f"prometheus {source}: {state.name}",
        text="; ".join(facts),
        presence=_presence(state, stale=stale),
        advice=tuple(_advice(state)),
        counters=numbers(counted | {"gaps": len(state.gaps)}),
    )


def _amount(state: DialectState) -> str:
    how = "counted exactly" if state.mode is Mode.SAMPLES else "added up by the server, averaged, since they are many"
    often = f", scraped every {state.interval_s:g} s" if state.interval_s else ""
    of = f" of {fmt.plural(state.instances, 'process', 'processes')}" if state.instances else ""
    return f"{state.series} series{of} {how}{often}"


def _presence(state: DialectState, *, stale: bool) -> Presence:
    if state.error or state.needs:
        return Presence.FAILING
    if stale:
        return Presence.STALE
    return Presence.MISSING if state.losses else Presence.PRESENT


def _advice(state: DialectState) -> Iterator[Advice]:
    """What a rule of the server's own takes away comes back with that rule; settings of the mesh help with the rest."""
    for job, mended in dict.fromkeys((loss.job, loss.mended) for loss in state.losses):
        yield Advice(text=f"In prometheus.yml, in the job {job}, let these labels and metrics through:", paste=mended)
    taken = {name for loss in state.losses for name in (*loss.labels, *loss.metrics)}
    for need in state.needs:
        if taken.isdisjoint(need.labels or (need.metric,)):
            yield Advice(text=f"To have {_needed(need)}:", paste=need.remedy)
    for gap in state.gaps:
        if gap.remedy:
            yield Advice(text=f"For {gap.signal}:", paste=gap.remedy)


def _needed(need: Need) -> str:
    return f"{need.metric} with {' or '.join(need.labels)}" if need.labels else need.metric


def _taken(loss: Loss) -> str:
    return f"the job {loss.job} takes {enumerated([*loss.labels, *loss.metrics], NAMED)} away by {loss.rule}"


def _late(state: PollState, now_ms: int) -> bool:
    return bool(state.last_success_ms) and now_ms - state.last_success_ms > max(STALE_MS, 3000 * state.interval_s)
