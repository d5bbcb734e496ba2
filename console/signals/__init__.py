"""What is present, missing or stale in every part of the product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from console.context import Console
from console.signals.clusters import of_clusters
from console.signals.metrics import of_sources
from console.signals.signal import Advice, Area, Presence, Signal, numbers, present
from console.views import format as fmt
from graph.ports import TraceStoreState


async def signals(console: Console) -> tuple[Signal, ...]:
    """Ask every part how it is doing."""
    traces = await console.traces.state()
    return (
        _config(console),
        _proxies(console),
        *of_clusters(console.clusters.all, console.clock.now_ms()),
        *of_sources(console.sources, console.clock.now_ms()),
        _graph(console),
        await _history(console),
        _spans(console),
        _traces(traces),
        _webhooks(await console.deliveries.counts()),
        _stream(console),
        *await console.receivers.signals(),
        *_services(console),
    )


def _config(console: Console) -> Signal:
    current = console.store.current
    return Signal(
        area=Area.MESH,
        name="config",
        text=f"revision {current.revision}",
        counters=numbers({"revision": current.revision, "objects": len(current.objects)}),
    )


def _proxies(console: Console) -> Signal:
    known = console.control.status()
    away = [p.instance_id for p in known if not p.connected]
    refused = [p.instance_id for p in known if p.problem or any(t.rejected for t in p.types.values())]
    text = fmt.plural(len(known), "proxy", "proxies") if known else "no proxy yet"
    advice = () if known else (Advice(text="Run something in the mesh:", paste=RUN),)
    if away:
        text += f"; not connected: {', '.join(away[:5])}"
    if refused:
        text += f"; rejected their config: {', '.join(refused[:5])}"
        advice = (Advice(text="Read the reasons on the Proxies page, or by:", paste="meshscope proxy-status"),)
    return Signal(
        area=Area.MESH,
        name="proxies",
        text=text,
        presence=present(not away and not refused) if known else Presence.OFF,
        advice=advice,
        counters=numbers({"known": len(known), "away": len(away), "rejecting": len(refused)}),
    )


RUN = "meshscope run --service web -n default --port 8080 -- python -m http.server 8080"


def _graph(console: Console) -> Signal:
    state = console.live.state()
    return Signal(
        area=Area.METRICS, name="graph", text=fmt.plural(state.edges, "edge"), counters=numbers(asdict(state))
    )


async def _history(console: Console) -> Signal:
    """How far back the frames on disk reach."""
    reach = await console.histories[0].reach() if console.histories else None
    return Signal(
        area=Area.CONSOLE,
        name="history",
        text=f"{fmt.duration((reach[1] - reach[0]) / 1000)} can be replayed from disk"
        if reach
        else "nothing yet: the first frame is to come",
        counters=numbers({"oldest_ms": reach[0], "newest_ms": reach[1]} if reach else {}),
    )


def _spans(console: Console) -> Signal:
    state = console.otlp.state
    drops = {f"dropped_{reason}": float(count) for reason, count in console.otlp.drops.items()}
    address = f"http://{console.settings.otlp.listen}:{console.otlp.grpc_port}"
    return Signal(
        area=Area.SPANS,
        name="spans",
        text=fmt.plural(state.spans, "span") if state.spans else "no spans yet",
        presence=Presence.PRESENT if state.spans else Presence.OFF,
        advice=() if state.spans else (Advice(text=EXPORTER, paste=f"OTEL_EXPORTER_OTLP_ENDPOINT={address}"),),
        counters=numbers(asdict(state)) | drops,
    )


EXPORTER = "Point the OpenTelemetry exporter of an application here (what `meshscope run` starts is told by itself):"


def _traces(state: TraceStoreState) -> Signal:
    text = f"{fmt.plural(state.traces, 'trace')}, {fmt.percent(state.bytes / max(1, state.capacity_bytes))} full"
    if state.backend != "embedded":
        text = f"kept by {state.backend}"
    return Signal(
        area=Area.SPANS,
        name="traces",
        text=state.error or text,
        presence=present(not state.error),
        counters=numbers(asdict(state)),
    )


def _webhooks(counts: Mapping[str, int]) -> Signal:
    failed = bool(counts.get("failed"))
    return Signal(
        area=Area.CONSOLE,
        name="webhooks",
        text="some deliveries have failed; see the log on the Alerts page" if failed else _delivered(counts),
        presence=present(not failed),
        counters=numbers(counts),
    )


def _delivered(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    return (
        f"{counts.get('delivered', 0)} of {fmt.plural(total, 'letter')} delivered" if total else "nothing to send yet"
    )


def _stream(console: Console) -> Signal:
    stream = console.stream
    return Signal(
        area=Area.CONSOLE,
        name="stream",
        text=fmt.plural(stream.readers, "browser"),
        counters=numbers({"readers": stream.readers, "messages": stream.messages, "resyncs": stream.resyncs}),
    )


def _services(console: Console) -> Iterator[Signal]:
    for service in console.supervised:
        yield Signal(
            area=Area.CONSOLE,
            name=f"service {service.name}",
            text=service.failure or "runs",
            presence=present(not service.failure),
            counters=numbers({"restarts": service.restarts}),
        )
