"""What takes in logs, metrics by OTLP, access logs and spans of other formats: made together, told of together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

from collectors.als.receiver import AlsReceiver
from collectors.als.sources import AccessLogs
from collectors.als.tap import Tap
from collectors.dialects import known
from collectors.foreign_spans import ForeignSpans, SpanSink
from collectors.inventory import workload_ref
from collectors.jaeger import translate as jaeger
from collectors.logs.sqlite import SqliteLogs
from collectors.logs.tail import Tail
from collectors.otlp.doors import Door
from collectors.otlp.logs import Logs
from collectors.otlp.metrics import Metrics
from collectors.peers import Peers
from collectors.poll import Live, MetricsPoll
from collectors.remote_write.intake import Intake
from collectors.remote_write.receiver import RemoteWriteReceiver
from collectors.zipkin import translate as zipkin
from console.datadir import DataDir
from console.services import Service
from console.settings import Settings
from console.signals.pushed import of_remote_write
from console.signals.signal import Advice, Area, Presence, Signal, numbers, present
from console.views import format as fmt
from graph.model import WorkloadRef
from graph.ports import Clock
from mesh_runtime.registry import RegistryReader

UNUSED_TOLD = 3


class Receivers:
    """The parts, and how they are doing."""

    def __init__(
        self,
        settings: Settings,
        data: DataDir,
        store: SqliteLogs,
        *,
        live: Live,
        clock: Clock,
        registry: RegistryReader,
        peers: Callable[[], Peers],
    ) -> None:
        self.logs = store
        self.tap = Tap()
        access = AccessLogs(self.tap, peers)
        self.tail = Tail(data.path / "logs", store, clock, who=_names(registry), also=access.lines)
        self.otlp_logs = Logs(store, clock, tap=access)
        files = [Path(file).expanduser() for file in settings.otlp.dialect_files]
        self.otlp_metrics = Metrics(live, clock, peers=peers, dialects=known(files).values())
        self.zipkin: ForeignSpans | None = None
        self.jaeger: ForeignSpans | None = None
        self.als: AlsReceiver | None = None
        if settings.als.port is not None:
            self.als = AlsReceiver(access, f"{settings.als.listen}:{settings.als.port}")
        self.remote_write: RemoteWriteReceiver | None = None
        self._pushed: tuple[Service, ...] = ()
        self._clock = clock
        if settings.remote_write.port is not None:
            files = [Path(file).expanduser() for file in settings.remote_write.dialect_files]
            intake = Intake(settings.remote_write, clock, partial(known, files))
            self.remote_write = RemoteWriteReceiver(intake)
            self._pushed = (self.remote_write, MetricsPoll(intake, live, clock))

    @property
    def doors(self) -> Sequence[Door]:
        """What the OTLP receivers take beside spans."""
        return (self.otlp_logs, self.otlp_metrics)

    def services(self, settings: Settings, spans: SpanSink) -> Sequence[Service]:
        """Make what has to run; spans of other formats go to *spans*."""
        if settings.zipkin.port is not None:
            address = f"{settings.zipkin.listen}:{settings.zipkin.port}"
            self.zipkin = ForeignSpans("Zipkin spans", spans, address, paths=zipkin.paths(zipkin.Zipkin()))
        if settings.jaeger.port is not None:
            address = f"{settings.jaeger.listen}:{settings.jaeger.port}"
            self.jaeger = ForeignSpans("Jaeger spans", spans, address, paths=jaeger.paths())
        asked = (self.zipkin, self.jaeger, self.als)
        return (self.logs, self.tail, self.otlp_metrics, *self._pushed, *(one for one in asked if one is not None))

    async def signals(self) -> Sequence[Signal]:
        """Ask each how it is doing."""
        return (await self._logs(), self._metrics(), self._tap(), *self._foreign())

    async def _logs(self) -> Signal:
        state = await self.logs.state()
        full = fmt.percent(state.bytes / max(1, state.capacity_bytes))
        text = state.error or f"{fmt.plural(state.lines, 'line')}, {full} full"
        counters = numbers(asdict(state)) | numbers(asdict(self.tail.state)) | numbers(asdict(self.otlp_logs.state))
        counters |= {f"refused_{reason}": float(count) for reason, count in self.otlp_logs.drops.items()}
        return Signal(area=Area.LOGS, name="logs", text=text, presence=present(not state.error), counters=counters)

    def _metrics(self) -> Signal:
        state = self.otlp_metrics.state
        unused = sorted(self.otlp_metrics.unused.items(), key=lambda item: -item[1].points)
        text = f"{state.points} points" if state.requests else "no metrics yet; OTLP metrics of requests become edges"
        if unused:
            named = "; ".join(f"{name}: {one.reason}" for name, one in unused[:UNUSED_TOLD])
            more = f"; and {len(unused) - UNUSED_TOLD} more" if len(unused) > UNUSED_TOLD else ""
            text += f"; {len(unused)} metrics make no edge ({named}{more})"
        counters = numbers(asdict(state)) | {f"dropped_{name}": float(n) for name, n in self.otlp_metrics.drops.items()}
        counters |= {f"unused {name}": float(one.points) for name, one in unused}
        presence = Presence.PRESENT if state.requests else Presence.OFF
        return Signal(area=Area.METRICS, name="otlp metrics", text=text, presence=presence, counters=counters)

    def _tap(self) -> Signal:
        state = self.tap.state
        text = (
            f"{fmt.plural(state.requests, 'request')} of {fmt.plural(state.edges, 'edge')}"
            if state.requests
            else "nobody has watched requests yet"
        )
        counters = numbers({"requests": state.requests, "edges": state.edges, "readers": state.readers})
        counters |= {f"dropped_{reason}": float(count) for reason, count in state.drops.items()}
        presence = Presence.PRESENT if state.requests else Presence.OFF
        return Signal(area=Area.LOGS, name="tap", text=text, presence=presence, counters=counters)

    def _foreign(self) -> Iterator[Signal]:
        if self.remote_write:
            yield of_remote_write(self.remote_write, self._clock.now_ms())
        else:
            yield off(Area.METRICS, RemoteWriteReceiver.name, "[remote_write]\nport = 9091")
        yield _spans(self.zipkin) if self.zipkin else off(Area.SPANS, "Zipkin spans", "[zipkin]\nport = 9411")
        yield _spans(self.jaeger) if self.jaeger else off(Area.SPANS, "Jaeger spans", "[jaeger]\nport = 14268")
        yield _access_logs(self.als) if self.als else off(Area.LOGS, AlsReceiver.name, "[als]\nport = 9000")


def off(area: Area, name: str, settings: str) -> Signal:
    """A receiver that nobody asked for."""
    advice = Advice(text="To listen, write this into meshscope.toml and start the server again:", paste=settings)
    return Signal(area=area, name=name, text="does not listen", presence=Presence.OFF, advice=(advice,))


def _spans(one: ForeignSpans) -> Signal:
    state = one.state
    text = state.error or f"{state.spans} spans; listens on port {one.port}"
    return Signal(
        area=Area.SPANS,
        name=one.name,
        text=text,
        presence=present(not state.error),
        counters=numbers(asdict(state)),
    )


def _access_logs(one: AlsReceiver) -> Signal:
    text = f"{fmt.plural(one.streams, 'stream')} of proxies open; listens on port {one.port}"
    return Signal(area=Area.LOGS, name=one.name, text=text, counters=numbers({"streams": one.streams}))


async def receivers(
    settings: Settings,
    data: DataDir,
    stack: AsyncExitStack,
    *,
    live: Live,
    clock: Clock,
    registry: RegistryReader,
    peers: Callable[[], Peers],
) -> Receivers:
    """Make them, the log store opened; the stack closes it."""
    chosen = settings.logs
    store = await stack.enter_async_context(
        SqliteLogs(
            data.path / "logstore",
            clock,
            capacity_bytes=chosen.capacity_bytes,
            workload_bytes=chosen.workload_bytes,
            retention_s=chosen.retention_s,
        )
    )
    return Receivers(settings, data, store, live=live, clock=clock, registry=registry, peers=peers)


def _names(registry: RegistryReader) -> Callable[[str], WorkloadRef | None]:
    def named(instance_id: str) -> WorkloadRef | None:
        known = registry.current.instances.get(instance_id)
        return workload_ref(known) if known else None

    return named
