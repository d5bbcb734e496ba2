"""The composition root: what a server is made of (:mod:`console.parts`), connected, and the order in which it starts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from collectors.otlp.receiver import OtlpReceiver
from collectors.snapshots import FrameHistory
from console import parts
from console.announcing import Announce, Announcement, Welcome
from console.clock import SystemClock
from console.context import Console
from console.datadir import DataDir, ServerInfo
from console.faults import DemoControl
from console.inventory import InventoryWatch
from console.known import Known
from console.parts import Door, Ground
from console.services import Service, restarting, serve
from console.settings import Settings
from console.web import app
from console.web.server import WebServer, unix_socket


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
            ground = Ground(settings=settings, data=data, stack=stack, clock=SystemClock())
            yield await _make(ground, announce=announce, demo=demo)


async def _make(on: Ground, *, announce: Announce, demo: bool) -> Engine:
    """Make every part, connected with those that it needs."""
    door = parts.open_door(on)
    records = await parts.open_records(on, door.page)
    mesh = await parts.open_mesh(on)
    graph = await parts.open_graph(on)
    intake = await parts.open_intake(on, mesh, graph)
    outlets = parts.make_outlets(on, records, mesh, graph)
    own_frames = FrameHistory(graph.snapshots, graph.live.frame, graph.live.tolerances)
    console = Console(
        settings=on.settings,
        clock=on.clock,
        token=door.token,
        store=mesh.store,
        registry=mesh.registry,
        control=mesh.control,
        wizards=parts.make_wizards(on, records, mesh, graph),
        demo=DemoControl(mesh.store) if demo else None,
        live=graph.live,
        clusters=graph.clusters,
        traces=graph.traces,
        snapshots=graph.snapshots,
        histories=(own_frames, *intake.metrics.histories),
        sources=intake.metrics.polls,
        otlp=intake.otlp,
        receivers=intake.others,
        logs=intake.others.logs,
        tap=intake.others.tap,
        tap_switch=intake.tap_switch,
        alerts=records.alerts,
        deliveries=records.deliveries,
        wake_webhooks=records.sender.wake,
        stream=outlets.stream,
        federation=outlets.federation,
        supervised=restarting(
            on.clock, *intake.services, *graph.services, outlets.ticker, records.sender, outlets.federation
        ),
    )
    return _engine(on, door, console, graph.known, announce)


def _engine(on: Ground, door: Door, console: Console, known: Known, announce: Announce) -> Engine:
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


def _welcome(page: str, token: str, data: DataDir) -> str:
    asked = f"; visitors are asked for the token in {data.path / 'token'}" if token else ""
    return f"Meshscope is at {page}{asked}"
