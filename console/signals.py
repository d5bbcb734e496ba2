"""What is present, missing or stale in every part of the product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from console.context import Console, Signal
from graph.ports import TraceStoreState

STALE_MS = 10_000


async def signals(console: Console) -> tuple[Signal, ...]:
    """Ask every part how it does."""
    traces = await console.traces.state()
    deliveries = await console.deliveries.counts()
    return (
        _config(console),
        _proxies(console),
        _metrics(console),
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


def _metrics(console: Console) -> Signal:
    state = console.metrics.state
    now_ms = console.clock.now_ms()
    late = bool(state.last_success_ms) and now_ms - state.last_success_ms > STALE_MS
    text = state.error or ("stale" if late else f"read every {state.interval_s:g} s")
    return Signal(name="metrics", ok=not state.error and not late, text=text, counters=_numbers(asdict(state)))


def _graph(console: Console) -> Signal:
    state = console.live.state()
    return Signal(name="graph", ok=True, text=f"{state.edges} edges", counters=_numbers(asdict(state)))


def _spans(console: Console) -> Signal:
    state = console.otlp.state
    drops = {f"dropped_{reason}": float(count) for reason, count in console.otlp.drops.items()}
    text = state.store_error or (f"{state.spans} spans" if state.spans else "no spans yet; point an OTLP exporter here")
    return Signal(name="spans", ok=not state.store_error, text=text, counters=_numbers(asdict(state)) | drops)


def _traces(state: TraceStoreState) -> Signal:
    text = f"{state.traces} traces, {state.bytes / max(1, state.capacity_bytes):.0%} full"
    return Signal(name="traces", ok=True, text=text, counters=_numbers(asdict(state)))


def _services(console: Console) -> Iterator[Signal]:
    for service in console.supervised:
        counters = {"restarts": float(service.restarts)}
        yield Signal(
            name=f"service {service.name}", ok=not service.failure, text=service.failure or "runs", counters=counters
        )


def _numbers(fields: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in fields.items() if isinstance(value, int | float)}
