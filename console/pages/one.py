"""The page of one item, which follows the news; and the search of a list, which stays in its address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from dash import Dash, Input, Output, State
from dash.exceptions import PreventUpdate

from console.widgets import live, parts

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console


@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    """``name`` names the page's parts; ``draw`` makes its content of a subject, which JSON must be able to hold."""

    name: str
    draw: Callable[[Console, Any], Awaitable[list[Component]]]

    async def page(self, console: Console, subject: object) -> Component:
        """Show one."""
        shown = live.region(self.name, await self.draw(console, subject), className="stack")
        return parts.live_page(self.name, shown, subject=subject)

    def register(self, app: Dash, console: Console) -> None:
        """Draw it anew with the news."""

        @app.callback(
            live.target(self.name),
            Input(f"{self.name}-pulse", "data"),
            State(f"{self.name}-subject", "data"),
            prevent_initial_call=True,
        )
        async def follow(pulse: object, subject: Any) -> live.Plain:
            if not pulse:
                raise PreventUpdate
            return live.plain(await self.draw(console, subject))


def keep_search(app: Dash, many: str) -> None:
    """Keep what is searched for in the address."""
    cast("Any", app).clientside_callback(
        "(q) => window.Meshscope.address({q})",
        Output(f"{many}-search", "title"),
        Input(f"{many}-search", "value"),
        prevent_initial_call=True,
    )
