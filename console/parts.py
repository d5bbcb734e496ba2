"""What a server is made of: each part, made with those that it needs, in the order of this module."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from socket import socket

from collectors.loopback import is_loopback
from collectors.otlp.ingest import Ingest
from collectors.otlp.receiver import OtlpReceiver
from collectors.peers import Peers
from collectors.snapshots import SqliteSnapshots
from collectors.traces.embedded import EmbeddedTraces
from console.alerts import AlertBook, rules_of
from console.clock import SystemClock
from console.clusters import Clusters
from console.datadir import DataDir
from console.federation.service import Federation
from console.known import Known
from console.receivers import Receivers, receivers
from console.services import Service
from console.settings import Settings, Web
from console.sources import Sources, sources
from console.state.changelog import SqliteChangeLog
from console.state.database import StateDatabase
from console.state.deliveries import DeliveryLog
from console.tapping.switch import TapSwitch
from console.ticker import Ticker
from console.tolerances import tolerances_of
from console.tracestores import StoreWatch, remote_store
from console.web.server import tcp_socket
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
class Ground:
    """What every part stands on. What holds a file or a socket is closed by the stack, last made first."""

    settings: Settings
    data: DataDir
    stack: AsyncExitStack
    clock: SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where visitors come in."""

    tcp: socket
    page: str
    token: str


def open_door(on: Ground) -> Door:
    """Open the door."""
    web = on.settings.web
    tcp = tcp_socket(web.listen, web.port, setting="--port (web.port)")
    on.stack.callback(tcp.close)
    token = web.token or ("" if is_loopback(web.listen) else on.data.token())
    return Door(tcp=tcp, page=_url(web, tcp.getsockname()[1]), token=token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What is on record: alerts, what was sent of them, what the wizards did."""

    alerts: AlertBook
    deliveries: DeliveryLog
    sender: WebhookSender
    changelog: SqliteChangeLog


async def open_records(on: Ground, page: str) -> Records:
    """Open what is on record; messages lead to the *page*."""
    database = await on.stack.enter_async_context(StateDatabase(on.data.state))
    deliveries, changelog = DeliveryLog(database), SqliteChangeLog(database)
    await deliveries.create()
    await changelog.create()
    rules, webhooks = rules_of(on.settings.alerts.rules), on.settings.webhooks
    alerts = AlertBook(database, rules=rules, endpoints=webhooks.endpoints, page=page)
    await alerts.open()
    sender = WebhookSender(deliveries, webhooks, on.clock)
    return Records(alerts=alerts, deliveries=deliveries, sender=sender, changelog=changelog)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """The bundled mesh."""

    store: SqliteConfig
    registry: Registry
    control: ControlPlane


async def open_mesh(on: Ground) -> Mesh:
    """Open the mesh's config, registry and keys."""
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
    return Mesh(store=store, registry=registry, control=control)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What exists, and what was observed of it."""

    live: LiveGraph
    known: Known
    clusters: Clusters
    traces: TraceStore
    snapshots: SqliteSnapshots
    services: Sequence[Service]


async def open_graph(on: Ground) -> Graph:
    """Make the graph, and open what remembers it."""
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
    services: list[Service] = [*clusters.watches]
    if chosen.backend != "embedded":
        services.append(StoreWatch(traces, on.clock))
    return Graph(
        live=live,
        known=known,
        clusters=clusters,
        traces=await on.stack.enter_async_context(traces),
        snapshots=await on.stack.enter_async_context(snapshots),
        services=services,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What observes."""

    metrics: Sources
    otlp: OtlpReceiver
    others: Receivers
    tap_switch: TapSwitch
    services: Sequence[Service]


async def open_intake(on: Ground, mesh: Mesh, graph: Graph) -> Intake:
    """Make whatever brings telemetry in."""
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
    return Intake(metrics=metrics, otlp=receiver, others=others, tap_switch=tap_switch, services=running)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlets:
    """Who is told what the graph shows."""

    stream: Stream
    federation: Federation
    """What other Prometheus servers collect from us."""
    ticker: Ticker


def make_outlets(on: Ground, records: Records, mesh: Mesh, graph: Graph) -> Outlets:
    """Make what goes out with each tick, and the tick itself."""
    stream = Stream(graph.live, tick_s=on.settings.graph.tick_s)
    ticker = Ticker(
        live=graph.live,
        stream=stream,
        alerts=records.alerts,
        snapshots=graph.snapshots,
        control=mesh.control,
        clock=on.clock,
        settings=on.settings.graph,
        wake_webhooks=records.sender.wake,
    )
    return Outlets(stream=stream, federation=Federation(graph.live, on.clock), ticker=ticker)


def make_wizards(on: Ground, records: Records, mesh: Mesh, graph: Graph) -> Wizards:
    """Make who changes the mesh."""
    settle = _settle(mesh.control)
    return Wizards(mesh.store, records.changelog, settle, facts=graph.known.facts, clock_ms=on.clock.now_ms)


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


def _url(web: Web, port: int) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(web.listen, web.listen)  # noqa: S104
    return f"http://{host}:{port}"
