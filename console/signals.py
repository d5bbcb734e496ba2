"""What is present, missing or stale in every part of the product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from collectors.poll import PollState
from collectors.prometheus.source import DialectState, Mode, PrometheusSource, PrometheusState
from console.context import Console, Signal
from graph.ports import TraceStoreState

STALE_MS = 10_000
DEFAULT_INTERVAL_S = 15.0
"""Taken for a scrape interval that is not known yet."""


async def signals(console: Console) -> tuple[Signal, ...]:
    """Ask every part how it does."""
    traces = await console.traces.state()
    deliveries = await console.deliveries.counts()
    return (
        _config(console),
        _proxies(console),
        *_sources(console),
        _graph(console),
        _spans(console),
        _traces(traces),
        Signal(
            name="webhooks",
            ok=not deliveries.get("failed"),
            text="delivered"
            if not deliveries.get("failed")
            else "some deliveries have failed; see the log on the Alerts page",
            counters={state: float(count) for state, count in deliveries.items()},
        ),
        Signal(
            name="stream",
            ok=True,
            text=f"{console.stream.readers} browser{'' if console.stream.readers == 1 else 's'}",
            counters={
                "readers": console.stream.readers,
                "messages": console.stream.messages,
                "resyncs": console.stream.resyncs,
            },
        ),
        *await console.receivers.signals(),
        *_services(console),
    )


def _config(console: Console) -> Signal:
    current = console.store.current
    counters = {"revision": float(current.revision), "objects": float(len(current.objects))}
    return Signal(name="config", ok=True, text=f"revision {current.revision}", counters=counters)


def _proxies(console: Console) -> Signal:
    known = console.control.status()
    away = [p.instance_id for p in known if not p.connected]
    refused = [p.instance_id for p in known if p.problem or any(t.rejected for t in p.types.values())]
    text = f"{len(known)} proxies"
    if not known:
        text = "no proxy yet; start one with `meshscope run`"
    if away:
        text += f"; not connected: {', '.join(away[:5])}"
    if refused:
        text += f"; rejected their config: {', '.join(refused[:5])}; see `meshscope proxy-status`"
    counters = {"known": len(known), "away": len(away), "rejecting": len(refused)}
    return Signal(
        name="proxies", ok=not away and not refused, text=text, counters={k: float(v) for k, v in counters.items()}
    )


def _sources(console: Console) -> Iterator[Signal]:
    now_ms = console.clock.now_ms()
    for number, poll in enumerate(console.sources):
        if isinstance(poll.source, PrometheusSource):
            yield _prometheus(poll.source.name, poll.state, poll.source.state, now_ms)
            for dialect in poll.source.state.dialects:
                yield _dialect(poll.source.name, dialect, poll.state.interval_s, now_ms)
        else:
            yield _metrics(poll.state, now_ms, name="metrics" if not number else f"metrics of {poll.state.source}")


def _metrics(state: PollState, now_ms: int, *, name: str) -> Signal:
    late = _late(state, now_ms)
    text = state.error or ("stale" if late else f"read every {state.interval_s:g} s")
    return Signal(name=name, ok=not state.error and not late, text=text, counters=_numbers(asdict(state)))


def _prometheus(name: str, poll: PollState, state: PrometheusState, now_ms: int) -> Signal:
    """How a server does, whatever it holds."""
    late = _late(poll, now_ms)
    if poll.error:
        text = poll.error
    elif not poll.last_success_ms:
        text = f"{state.url} has not answered yet"
    elif late:
        text = f"stale: {state.url} has been silent for {(now_ms - poll.last_success_ms) // 1000} s"
    elif not state.dialects:
        text = (
            f"{state.url} holds {state.metrics} metrics, and none of a mesh that is known; if one of them is, name it in"
            f" this source's dialects"
        )
    else:
        text = f"{state.url} is read every {poll.interval_s:g} s: {', '.join(one.name for one in state.dialects)}"
    if state.partial:
        text += f"; it answers only in part: {'; '.join(state.partial)}"
    if state.skew_ms:
        ahead = "ahead of" if state.skew_ms > 0 else "behind"
        text += f"; its clock is {abs(state.skew_ms) / 1000:.1f} s {ahead} ours, which is corrected"
    ok = not poll.error and not late and not state.partial and bool(state.dialects)
    counters = _numbers(asdict(poll) | {one: getattr(state, one) for one in ("skew_ms", "metrics", "queries", "bytes")})
    return Signal(name=f"prometheus {name}", ok=ok, text=text, counters=counters)


def _dialect(source: str, state: DialectState, read_s: float, now_ms: int) -> Signal:
    """What one mesh's metrics in a server are like: how exact, how fresh, what is missing and the way out."""
    how = "counted exactly" if state.mode is Mode.SAMPLES else "added up by the server, averaged, since they are many"
    often = f", scraped every {state.interval_s:g} s" if state.interval_s else ""
    age_s = (now_ms - state.newest_ms) / 1000
    stale = age_s > 3 * max(state.interval_s or DEFAULT_INTERVAL_S, read_s)
    facts = [f"{state.series} series of {state.instances} processes" if state.instances else f"{state.series} series"]
    facts[0] += f" {how}{often}"
    if stale:
        facts.append(f"stale: the newest sample is {age_s:.0f} s old" if state.newest_ms else "no samples")
    facts += [state.error] if state.error else []
    facts += [f"missing {_needed(need.metric, need.labels)}: {need.reason}; set: {need.remedy}" for need in state.needs]
    facts += [f"no {gap.signal}: {gap.reason}{f'; {gap.remedy}' if gap.remedy else ''}" for gap in state.gaps]
    facts += state.warnings
    return Signal(
        name=f"prometheus {source}: {state.name}",
        ok=not state.error and not stale and not state.needs,
        text="; ".join(facts),
        counters=_numbers(
            {
                "series": state.series,
                "instances": state.instances,
                "newest_ms": state.newest_ms,
                "gaps": len(state.gaps),
            }
        ),
    )


def _needed(metric: str, labels: tuple[str, ...]) -> str:
    return f"{metric} with {' or '.join(labels)}" if labels else metric


def _late(state: PollState, now_ms: int) -> bool:
    return bool(state.last_success_ms) and now_ms - state.last_success_ms > max(STALE_MS, 3000 * state.interval_s)


def _graph(console: Console) -> Signal:
    state = console.live.state()
    return Signal(name="graph", ok=True, text=f"{state.edges} edges", counters=_numbers(asdict(state)))


def _spans(console: Console) -> Signal:
    state = console.otlp.state
    drops = {f"dropped_{reason}": float(count) for reason, count in console.otlp.drops.items()}
    text = f"{state.spans} spans" if state.spans else "no spans yet; point an OTLP exporter here"
    return Signal(name="spans", ok=True, text=text, counters=_numbers(asdict(state)) | drops)


def _traces(state: TraceStoreState) -> Signal:
    text = f"{state.traces} traces, {state.bytes / max(1, state.capacity_bytes):.0%} full"
    if state.backend != "embedded":
        text = f"kept by {state.backend}"
    return Signal(name="traces", ok=not state.error, text=state.error or text, counters=_numbers(asdict(state)))


def _services(console: Console) -> Iterator[Signal]:
    for service in console.supervised:
        counters = {"restarts": float(service.restarts)}
        yield Signal(
            name=f"service {service.name}", ok=not service.failure, text=service.failure or "runs", counters=counters
        )


def _numbers(fields: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in fields.items() if isinstance(value, int | float)}
