"""The composition root: every part of the server, made and connected here and nowhere else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket

from fastapi import FastAPI

from collectors.loopback import is_loopback
from collectors.otlp.ingest import Ingest
from collectors.otlp.receiver import OtlpReceiver
from collectors.peers import Peers
from collectors.snapshots import FrameHistory, SqliteSnapshots
from collectors.traces.embedded import EmbeddedTraces
from console.alerts import AlertBook, rules_of
from console.announcing import Announce, Announcement, Welcome
from console.clock import SystemClock
from console.clusters import Clusters
from console.context import Console
from console.datadir import DataDir, ServerInfo
from console.faults import DemoControl
from console.federation.service import Federation
from console.inventory import InventoryWatch
from console.known import Known
from console.receivers import Receivers, receivers
from console.services import Service, restarting, serve
from console.settings import Settings, Web
from console.sources import Sources, sources
from console.state.changelog import SqliteChangeLog
from console.state.database import StateDatabase
from console.state.deliveries import DeliveryLog
from console.tapping.switch import TapSwitch
from console.ticker import Ticker
from console.tolerances import tolerances_of
from console.tracestores import StoreWatch, remote_store
from console.web import app
from console.web.server import WebServer, tcp_socket, unix_socket
from console.web.stream import Stream
from console.webhooks.sender import WebhookSender
from graph.live import LiveGraph
from graph.ports import TraceStore
from mesh_runtime.addresses import AddressPlan
from mesh_runtime.control import ControlPlane
from mesh_runtime.identity.authority import Authority
from mesh_runtime.registry import Registry
from mesh_runtime.store.sqlite import SqliteConfig
from wizards.apply import Wizards
from wizards.ports import Settle, Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A server that is made and not yet started."""

    console: Console
    web: WebServer
    """What serves the page and the API on TCP."""
    services: Sequence[Service]
    """In the order in which they start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What every part stands on. What holds a file or a socket is closed by the stack, last made first."""

    settings: Settings
    data: DataDir
    stack: AsyncExitStack
    clock: SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class _Door:
    """Where visitors come in."""

    tcp: socket
    page: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What is on record: alerts, what was sent of them, what the wizards did."""

    alerts: AlertBook
    deliveries: DeliveryLog
    sender: WebhookSender
    changelog: SqliteChangeLog


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mesh:
    """The bundled mesh."""

    store: SqliteConfig
    registry: Registry
    control: ControlPlane


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """What exists, and what was observed of it."""

    live: LiveGraph
    known: Known
    clusters: Clusters
    traces: TraceStore
    snapshots: SqliteSnapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class _Intake:
    """What observes."""

    metrics: Sources
    otlp: OtlpReceiver
    others: Receivers
    tap_switch: TapSwitch
    services: Sequence[Service]
    """All of it that runs."""


async def run(settings: Settings, data: DataDir, *, announce: Announce, demo: bool = False) -> None:
    """Serve until cancelled."""
    async with made(settings, data, announce=announce, demo=demo) as engine:
        await serve(engine.services)


@asynccontextmanager
async def made(settings: Settings, data: DataDir, *, announce: Announce, demo: bool = False) -> AsyncIterator[Engine]:
    """Make a server on a data directory, which is this process's alone until the block ends."""
    with data.locked():
        async with AsyncExitStack() as stack:
            ground = _Ground(settings=settings, data=data, stack=stack, clock=SystemClock())
            yield await _make(ground, announce=announce, demo=demo)


async def _make(on: _Ground, *, announce: Announce, demo: bool) -> Engine:
    """Make every part, connected with those that it needs."""
    door = _door(on)
    state = await _state(on, door.page)
    mesh = await _mesh(on)
    graph = await _graph(on)
    intake = await _intake(on, mesh, graph)
    stream, federation = Stream(graph.live, tick_s=on.settings.graph.tick_s), Federation(graph.live, on.clock)
    ticker = Ticker(
        live=graph.live,
        stream=stream,
        alerts=state.alerts,
        snapshots=graph.snapshots,
        control=mesh.control,
        clock=on.clock,
        settings=on.settings.graph,
        wake_webhooks=state.sender.wake,
    )
    settle, clock_ms = _settle(mesh.control), on.clock.now_ms
    console = Console(
        settings=on.settings,
        clock=on.clock,
        live=graph.live,
        store=mesh.store,
        registry=mesh.registry,
        control=mesh.control,
        sources=intake.metrics.polls,
        clusters=graph.clusters,
        traces=graph.traces,
        snapshots=graph.snapshots,
        histories=(FrameHistory(graph.snapshots, graph.live.frame, graph.live.tolerances), *intake.metrics.histories),
        alerts=state.alerts,
        deliveries=state.deliveries,
        wizards=Wizards(mesh.store, state.changelog, settle, facts=graph.known.facts, clock_ms=clock_ms),
        otlp=intake.otlp,
        logs=intake.others.logs,
        tap=intake.others.tap,
        tap_switch=intake.tap_switch,
        receivers=intake.others,
        stream=stream,
        federation=federation,
        supervised=restarting(
            on.clock,
            *intake.services,
            *graph.clusters.watches,
            *([] if on.settings.traces.backend == "embedded" else [StoreWatch(graph.traces, on.clock)]),
            ticker,
            state.sender,
            federation,
        ),
        wake_webhooks=state.sender.wake,
        demo=DemoControl(mesh.store) if demo else None,
        token=door.token,
    )
    return _engine(on, door, console, graph.known, announce)


def _engine(on: _Ground, door: _Door, console: Console, known: Known, announce: Announce) -> Engine:
    """Put in order what runs."""
    socket_path = on.data.run_dir() / "api.sock"
    unix = unix_socket(socket_path)
    on.stack.callback(unix.close)
    web = WebServer("console", lambda: app.public(console, _pages), door.tcp)
    services: list[Service] = [
        console.control,
        InventoryWatch(console.store, console.registry, known.show),
        *console.supervised,
        WebServer("API on the Unix socket", lambda: app.private(console), unix),
        Announcement(on.data, lambda: _info(door.page, socket_path, on.settings, console.otlp)),
        web,
        Welcome(on.data, announce, _welcome(door.page, door.token, on.data)),
    ]
    return Engine(console=console, web=web, services=services)


def _door(on: _Ground) -> _Door:
    web = on.settings.web
    tcp = tcp_socket(web.listen, web.port, setting="--port (web.port)")
    on.stack.callback(tcp.close)
    token = web.token or ("" if is_loopback(web.listen) else on.data.token())
    return _Door(tcp=tcp, page=_url(web, tcp.getsockname()[1]), token=token)


async def _state(on: _Ground, page: str) -> _State:
    database = await on.stack.enter_async_context(StateDatabase(on.data.state))
    deliveries, changelog = DeliveryLog(database), SqliteChangeLog(database)
    await deliveries.create()
    await changelog.create()
    rules, webhooks = rules_of(on.settings.alerts.rules), on.settings.webhooks
    alerts = AlertBook(database, rules=rules, endpoints=webhooks.endpoints, page=page)
    await alerts.open()
    sender = WebhookSender(deliveries, webhooks, on.clock)
    return _State(alerts=alerts, deliveries=deliveries, sender=sender, changelog=changelog)


async def _mesh(on: _Ground) -> _Mesh:
    data, settings, clock_ms = on.data, on.settings, on.clock.now_ms
    store = await on.stack.enter_async_context(SqliteConfig(data.config, clock_ms=clock_ms))
    registry = Registry(data.registry, on.clock.steady_ms)
    on.stack.callback(registry.close)
    addresses = AddressPlan(data.path, clock_ms)
    on.stack.callback(addresses.close)
    control = ControlPlane(
        store,
        registry,
        Authority(data.ca, clock_ms, leaf_ttl_s=settings.mesh.leaf_lifetime_s),
        addresses=addresses,
        run_dir=data.run_dir(),
        clock=on.clock,
        tls_address=f"{settings.web.listen}:{settings.mesh.xds_port}" if settings.mesh.xds_port is not None else "",
    )
    return _Mesh(store=store, registry=registry, control=control)


async def _graph(on: _Ground) -> _Graph:
    live = LiveGraph(clock=on.clock, tolerances=tolerances_of(on.settings.health.rate))
    known = Known(live)
    clusters = Clusters(on.settings.clusters, on.clock, known.show_clusters)
    chosen, kept = on.settings.traces, on.settings.graph
    traces = (
        EmbeddedTraces(on.data.traces, chosen.capacity_bytes, keep_s=chosen.keep_s)
        if chosen.backend == "embedded"
        else remote_store(chosen)
    )
    snapshots = SqliteSnapshots(on.data.snapshots, retention_s=kept.history_s, capacity=kept.history_bytes)
    return _Graph(
        live=live,
        known=known,
        clusters=clusters,
        traces=await on.stack.enter_async_context(traces),
        snapshots=await on.stack.enter_async_context(snapshots),
    )


async def _intake(on: _Ground, mesh: _Mesh, graph: _Graph) -> _Intake:
    settings, otlp = on.settings, on.settings.otlp
    metrics = sources(
        settings,
        on.stack,
        live=graph.live,
        clock=on.clock,
        registry=mesh.registry,
        inventory=lambda: graph.known.inventory,
        clusters=graph.clusters,
    )

    def peers() -> Peers:
        return graph.known.peers

    others = await receivers(
        settings, on.data, on.stack, live=graph.live, clock=on.clock, registry=mesh.registry, peers=peers
    )
    own_traces = graph.traces if isinstance(graph.traces, EmbeddedTraces) else None
    spans = Ingest(graph.live, on.clock, peers=peers, traces=own_traces)
    receiver = OtlpReceiver(spans, f"{otlp.listen}:{otlp.grpc_port}", f"{otlp.listen}:{otlp.http_port}", others.doors)
    tap_switch = TapSwitch(mesh.store, mesh.registry, on.clock, peers=peers)
    running: list[Service] = [receiver, tap_switch, *others.services(settings, spans), *metrics.polls]
    return _Intake(metrics=metrics, otlp=receiver, others=others, tap_switch=tap_switch, services=running)


def _settle(control: ControlPlane) -> Settle:
    """What the proxies said to a revision, in the wizards' words."""

    async def settle(revision: int, timeout_s: float, /) -> Settlement:
        settled = await control.settled(revision, timeout_s)
        return Settlement(
            acknowledged=len(settled.acknowledged),
            waiting=settled.waiting,
            rejected=tuple(f"{who}: {why}" for who, why in settled.rejected.items()),
            elapsed_ms=settled.elapsed_ms,
        )

    return settle


def _pages(console: Console, server: FastAPI) -> Callable[[], Iterable[str]]:
    # here, not above: Dash takes most of a second to import, which only a server with pages should pay
    from console.dash_app import build  # noqa: PLC0415

    hashes: Callable[[], Iterable[str]] = build(console, server).csp_hashes
    return hashes


def _info(page: str, socket_path: Path, settings: Settings, otlp: OtlpReceiver) -> ServerInfo:
    host = settings.otlp.listen
    return ServerInfo(
        url=page,
        socket=str(socket_path),
        pid=os.getpid(),
        otlp_grpc=f"http://{host}:{otlp.grpc_port}",
        otlp_http=f"http://{host}:{otlp.http_port}",
    )


def _url(web: Web, port: int) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(web.listen, web.listen)  # noqa: S104
    return f"http://{host}:{port}"


def _welcome(page: str, token: str, data: DataDir) -> str:
    asked = f"; visitors are asked for the token in {data.path / 'token'}" if token else ""
    return f"Meshscope is at {page}{asked}"
