"""The composition root: every part of the server, made and connected here and nowhere else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from collectors.inventory import merged
from collectors.loopback import is_loopback
from collectors.otlp.ingest import Ingest
from collectors.otlp.receiver import OtlpReceiver
from collectors.peers import Peers
from collectors.snapshots import FrameHistory, SqliteSnapshots
from collectors.traces.embedded import EmbeddedTraces
from console.alerts import AlertBook, rules_of
from console.clock import SystemClock
from console.clusters import Cluster, Clusters
from console.context import Console
from console.datadir import DataDir, ServerInfo
from console.faults import DemoControl
from console.federation.service import Federation
from console.inventory import InventoryWatch
from console.receivers import receivers
from console.services import Service, restarting, serve
from console.settings import Settings, Traces, Web
from console.sources import sources
from console.state.changelog import SqliteChangeLog
from console.state.database import StateDatabase
from console.state.deliveries import DeliveryLog
from console.tapping.switch import TapSwitch
from console.ticker import Ticker
from console.tolerances import tolerances_of
from console.tracestores import remote_store
from console.web import app
from console.web.server import WebServer, tcp_socket, unix_socket
from console.web.stream import Stream
from console.webhooks.sender import WebhookSender
from graph.live import LiveGraph
from graph.model import GraphType, Inventory
from graph.ports import TraceStore
from mesh_runtime.addresses import AddressPlan
from mesh_runtime.control import ControlPlane
from mesh_runtime.identity.authority import Authority
from mesh_runtime.registry import Registry, RegistryState
from mesh_runtime.store.sqlite import SqliteConfig
from wizards.apply import Wizards
from wizards.facts import Facts, facts_of
from wizards.ports import Settle, Settlement

FACTS_WINDOW_S = 60

Announce = Callable[[ServerInfo, str], None]
"""Told once, when everything is usable: what ``server.json`` says, and a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A server that is made and not yet started."""

    console: Console
    web: WebServer
    """What serves the page and the API on TCP."""
    services: Sequence[Service]
    """In the order in which they start."""


async def run(settings: Settings, data: DataDir, *, announce: Announce, demo: bool = False) -> None:
    """Serve until cancelled."""
    async with made(settings, data, announce=announce, demo=demo) as engine:
        await serve(engine.services)


@asynccontextmanager
async def made(settings: Settings, data: DataDir, *, announce: Announce, demo: bool = False) -> AsyncIterator[Engine]:
    """Make a server on a data directory, which is this process's alone until the block ends."""
    with data.locked():
        async with AsyncExitStack() as stack:
            yield await _make(settings, data, stack, announce=announce, demo=demo)


async def _make(settings: Settings, data: DataDir, stack: AsyncExitStack, *, announce: Announce, demo: bool) -> Engine:
    """Make every part. What holds a file is closed by the stack, last made first."""
    clock = SystemClock()
    tcp = tcp_socket(settings.web.listen, settings.web.port, setting="--port (web.port)")
    stack.callback(tcp.close)
    page = _url(settings.web, tcp.getsockname()[1])
    token = settings.web.token or ("" if is_loopback(settings.web.listen) else data.token())

    state = await stack.enter_async_context(StateDatabase(data.state))
    deliveries = DeliveryLog(state)
    await deliveries.create()
    changelog = SqliteChangeLog(state)
    await changelog.create()
    alerts = AlertBook(state, rules=rules_of(settings.alerts.rules), endpoints=settings.webhooks.endpoints, page=page)
    await alerts.open()
    sender = WebhookSender(deliveries, settings.webhooks, clock)

    store = await stack.enter_async_context(SqliteConfig(data.config, clock_ms=clock.now_ms))
    registry = Registry(data.registry, clock.now_ms)
    stack.callback(registry.close)
    control = _control_plane(settings, data, stack, store=store, registry=registry, clock=clock)

    tolerances = tolerances_of(settings.health.rate)
    live = LiveGraph(clock=clock, tolerances=tolerances)
    known = _Known(live)
    clusters = Clusters(settings.clusters, clock, known.show_clusters)
    traces = await _trace_store(settings.traces, data, stack)
    snapshots = await stack.enter_async_context(
        SqliteSnapshots(data.snapshots, retention_s=settings.graph.history_s, capacity=settings.graph.history_bytes)
    )
    metrics = sources(
        settings,
        stack,
        live=live,
        clock=clock,
        registry=registry,
        inventory=lambda: known.inventory,
        clusters=clusters,
    )
    others = await receivers(
        settings, data, stack, live=live, clock=clock, registry=registry, peers=lambda: known.peers
    )
    spans = Ingest(
        live, clock, peers=lambda: known.peers, traces=traces if isinstance(traces, EmbeddedTraces) else None
    )
    otlp = OtlpReceiver(
        spans,
        f"{settings.otlp.listen}:{settings.otlp.grpc_port}",
        f"{settings.otlp.listen}:{settings.otlp.http_port}",
        others.doors,
    )
    stream = Stream(live)
    federation = Federation(live, clock)
    ticker = Ticker(
        live=live,
        stream=stream,
        alerts=alerts,
        snapshots=snapshots,
        control=control,
        clock=clock,
        settings=settings.graph,
        wake_webhooks=sender.wake,
    )
    tap_switch = TapSwitch(store, registry, clock, peers=lambda: known.peers)
    supervised = restarting(
        clock,
        otlp,
        tap_switch,
        *others.services(settings, spans),
        *metrics.polls,
        *clusters.watches,
        ticker,
        sender,
        federation,
    )

    console = Console(
        settings=settings,
        clock=clock,
        live=live,
        store=store,
        registry=registry,
        control=control,
        sources=metrics.polls,
        clusters=clusters,
        traces=traces,
        snapshots=snapshots,
        histories=(FrameHistory(snapshots, live.frame, tolerances), *metrics.histories),
        alerts=alerts,
        deliveries=deliveries,
        wizards=Wizards(store, changelog, _settle(control), facts=known.facts, clock_ms=clock.now_ms),
        otlp=otlp,
        logs=others.logs,
        tap=others.tap,
        tap_switch=tap_switch,
        receivers=others,
        stream=stream,
        federation=federation,
        supervised=supervised,
        wake_webhooks=sender.wake,
        demo=DemoControl(store) if demo else None,
        token=token,
    )
    socket_path = data.run_dir() / "api.sock"
    unix = unix_socket(socket_path)
    stack.callback(unix.close)
    web = WebServer("console", lambda: app.public(console, _pages), tcp)
    services: list[Service] = [
        control,
        InventoryWatch(store, registry, known.show),
        *supervised,
        WebServer("API on the Unix socket", lambda: app.private(console), unix),
        _Announcement(data, lambda: _info(page, socket_path, settings, otlp)),
        web,
        _Welcome(data, announce, _welcome(page, token, data)),
    ]
    return Engine(console=console, web=web, services=services)


async def _trace_store(settings: Traces, data: DataDir, stack: AsyncExitStack) -> TraceStore:
    if settings.backend == "embedded":
        own = EmbeddedTraces(data.traces, settings.capacity_bytes, keep_s=settings.keep_s)
        return await stack.enter_async_context(own)
    return await stack.enter_async_context(remote_store(settings))


def _control_plane(
    settings: Settings,
    data: DataDir,
    stack: AsyncExitStack,
    *,
    store: SqliteConfig,
    registry: Registry,
    clock: SystemClock,
) -> ControlPlane:
    addresses = AddressPlan(data.path, clock.now_ms)
    stack.callback(addresses.close)
    return ControlPlane(
        store,
        registry,
        Authority(data.ca, clock.now_ms, leaf_ttl_s=settings.mesh.leaf_lifetime_s),
        addresses=addresses,
        run_dir=data.run_dir(),
        clock=clock,
        tls_address=f"{settings.web.listen}:{settings.mesh.xds_port}" if settings.mesh.xds_port is not None else "",
    )


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


class _Known:
    """What exists, as those see it who must recognise names: the graph, the spans, the wizards."""

    def __init__(self, live: LiveGraph) -> None:
        self.inventory = Inventory()
        self.peers = Peers(self.inventory)
        self._live = live
        self._own = Inventory()
        self._state = RegistryState()
        self._clusters: Sequence[Cluster] = ()

    def show(self, inventory: Inventory, state: RegistryState) -> None:
        """Take in a new state of the bundled mesh."""
        self._own, self._state = inventory, state
        self._update()

    def show_clusters(self, clusters: Sequence[Cluster]) -> None:
        """Take in a new state of Kubernetes clusters."""
        self._clusters = clusters
        self._update()

    def _update(self) -> None:
        self.inventory = merged([self._own, *(one.inventory for one in self._clusters)])
        self.peers = Peers(self.inventory, self._state, addresses={one.name: one.addresses for one in self._clusters})
        self._live.inventory(self.inventory)

    def facts(self, namespace: str, service: str) -> Facts:
        """Tell what is known of a service's versions."""
        snapshot = self._live.snapshot(GraphType.VERSIONED_APP, FACTS_WINDOW_S)
        return facts_of(self.inventory, snapshot, namespace, service)


class _Announcement:
    """Tells agents and commands where the server is, as soon as it can serve them; browsers may have to wait."""

    name = "announcement"

    def __init__(self, data: DataDir, info: Callable[[], ServerInfo]) -> None:
        self._data = data
        self._info = info

    async def run(self, ready: Callable[[], None]) -> None:
        """Announce, wait, withdraw."""
        self._data.announce(self._info())
        ready()
        try:
            await asyncio.Event().wait()
        finally:
            self._data.withdraw()


class _Welcome:
    """The last service to start: everything is usable now."""

    name = "welcome"

    def __init__(self, data: DataDir, announce: Announce, sentence: str) -> None:
        self._data = data
        self._announce = announce
        self._sentence = sentence

    async def run(self, ready: Callable[[], None]) -> None:
        """Say it once."""
        self._announce(self._data.read_server(), self._sentence)
        ready()


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
