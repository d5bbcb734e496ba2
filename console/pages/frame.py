"""The frame's living parts: the masthead's lock, the control plane's lines, the count of firing alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dash import Dash, Input, Output

from console.signals import signals
from console.views import shell as views
from console.widgets import shell as widgets
from graph.model import GraphType
from mesh_runtime.api.objects import CLUSTER

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console


def register(app: Dash, console: Console) -> None:
    """Refresh with the pulse."""

    @app.callback(
        Output("shell-where", "children"),
        Output("shell-mtls", "children"),
        Output("shell-foot", "children"),
        Output("shell-silence", "children"),
        Output("nav-badge-alerts", "children"),
        Output("nav-badge-proxies", "children"),
        Output("nav-badge-signals", "children"),
        Input("shell-pulse", "data"),
    )
    async def refresh(_pulse: object) -> tuple[Component | list[Component] | None, ...]:
        proxies, found = console.control.status(), await signals(console)
        astray = console.following.astray(proxies, console.clock.steady_ms())
        view = views.shell(
            console.live.snapshot(GraphType.VERSIONED_APP, 60),
            cluster=", ".join(one.name for one in console.clusters.all) or CLUSTER,
            sync=views.sync(proxies, len(astray)),
            revision=console.store.current.revision,
        )
        firing = len(console.alerts.firing)
        troubled = sum(proxy.instance_id in astray or bool(proxy.notes) for proxy in proxies)
        return (
            widgets.where(view),
            widgets.mtls(view),
            widgets.foot(view),
            widgets.silence(views.silence(console.live.unheard_since_ms, console.clock.now_ms(), found)),
            widgets.badge(firing, "error"),
            widgets.badge(troubled, "warn"),
            widgets.badge(sum(not signal.ok for signal in found), "warn"),
        )
