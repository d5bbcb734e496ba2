"""Overview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dash import Dash, Input

from console.leased import leased_objects
from console.signals import signals
from console.signals.signal import Area, Presence
from console.tapping.switch import AUTHOR as TAP
from console.views import overview as views
from console.views.health import TONES, WORDS
from console.views.shell import mtls, sync
from console.widgets import live, parts
from console.widgets import overview as widgets
from graph.course import Course
from graph.model import GraphType, Snapshot

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console
    from mesh_runtime.store.port import Revision

PATH = "/overview"
TITLE = "Overview"
WINDOW_S = 60
COURSE_S = 300
CHANGES_SHOWN = 5
CHANGES_LOOKED_AT = 100


async def show(console: Console, _rest: Sequence[str], _parameters: Mapping[str, str]) -> Component:
    """Show the mesh as it is now."""
    return layout(await _view(console))


def layout(view: views.Overview) -> Component:
    """The page."""
    return parts.live_page("overview", live.region("overview", widgets.overview(view), className="stack"))


def register(app: Dash, console: Console) -> None:
    """Follow the graph."""

    @app.callback(live.target("overview"), Input("overview-pulse", "data"), prevent_initial_call=True)
    async def refresh(_pulse: object) -> live.Plain:
        return live.plain(widgets.overview(await _view(console)))


async def _view(console: Console) -> views.Overview:
    snapshot = console.live.snapshot(GraphType.VERSIONED_APP, WINDOW_S)
    now_ms = console.clock.now_ms()
    proxies = console.control.status()
    astray = console.following.astray(proxies, console.clock.steady_ms())
    by_health = views.counts(snapshot.nodes.values())
    firing = console.alerts.firing
    verdict, tone = views.verdict(by_health, firing, len(astray))
    leaves = sorted(console.control.certificates(), key=lambda leaf: leaf.not_after_ms)
    return views.Overview(
        now_ms=now_ms,
        verdict=verdict,
        tone=tone,
        counts=tuple((TONES[health], WORDS[health].lower(), number) for health, number in by_health.items() if number),
        metrics=views.metrics(snapshot, _course(console, snapshot), mtls(snapshot)),
        trouble=views.trouble(snapshot),
        firing=firing,
        proxies=(
            ("Proxies connected", f"{sum(proxy.connected for proxy in proxies)} of {len(proxies)}"),
            ("Proxies in sync", sync(proxies, len(astray))),
            ("Config revision", str(console.store.current.revision)),
            ("Config objects", _objects(console)),
            ("OTLP over gRPC, HTTP", f"ports {console.otlp.grpc_port}, {console.otlp.http_port}"),
        ),
        out_of_sync=tuple(astray.items()),
        changes=views.changes(await _changes(console)),
        certificates=tuple(views.certificate(leaf, now_ms) for leaf in leaves),
        sources=tuple(
            views.Source(name=item.name, ok=item.ok, text=item.text)
            for item in await signals(console)
            if not item.ok or (item.presence is Presence.PRESENT and item.area is not Area.CONSOLE)
        ),
    )


def _objects(console: Console) -> str:
    """As the config page counts them."""
    leased = sum(1 for _ in leased_objects(console.registry.current))
    return f"{len(console.store.current.objects) + leased}, {leased} of them leased by agents"


async def _changes(console: Console) -> Sequence[Revision]:
    """The newest changes that somebody meant: those by which the tap listens come and go by themselves."""
    history = await console.store.history(limit=CHANGES_LOOKED_AT)
    return [one for one in history if one.author != TAP][:CHANGES_SHOWN]


def _course(console: Console, snapshot: Snapshot) -> Course:
    main = views.busiest(views.entering(snapshot))
    if main is None:
        return Course()
    return console.live.course(GraphType.VERSIONED_APP, COURSE_S, main.id)
