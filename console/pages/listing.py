"""A page that lists what there is, and shows one of it in detail: what the pages of services and workloads share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from dash import Dash, Input, Output, dcc

from console.moments import oldest_ms
from console.pages.one import One
from console.views.item import span_of, spans_within
from console.views.listing import Listing, Row, listing
from console.widgets import item, live, parts
from console.widgets import listing as widgets

if TYPE_CHECKING:
    from dash.development.base_component import Component

    from console.context import Console

WINDOW_S = 60
"""What all numbers of these pages are about."""
TRACES_SHOWN = 6
"""Beside one of them: the newest."""
NAME_PARTS = 2
HEALTH = "health"
"""The order where none is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Which one is shown in detail, and how far back its charts reach."""

    namespace: str
    name: str
    cluster: str
    """``""``: whichever has it."""
    span_s: int


async def spans(console: Console, subject: Subject, href: str) -> Component:
    """How far back charts can reach: as far as anybody remembers. *href*: the page's address without it."""
    reach_s = (console.clock.now_ms() - await oldest_ms(console)) // 1000
    return item.spans(spans_within(reach_s), subject.span_s, href)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The two pages of one kind; ``one`` and ``many`` name their parts."""

    one: str
    many: str
    rows: Callable[[Console], Sequence[Row]]
    table: Callable[[Listing], Component]
    detail: Callable[[Console, Subject], Awaitable[list[Component]]]

    async def show(self, console: Console, rest: Sequence[str], parameters: Mapping[str, str]) -> Component:
        """Show the table, or one in detail."""
        if len(rest) != NAME_PARTS:
            return self._list(console, parameters)
        namespace, name = rest
        cluster, span_s = parameters.get("cluster", ""), span_of(parameters.get("span", ""))
        subject = Subject(namespace=namespace, name=name, cluster=cluster, span_s=span_s)
        return await self._one.page(console, asdict(subject))

    @property
    def _one(self) -> One:
        return One(name=self.one, draw=lambda console, subject: self.detail(console, Subject(**subject)))

    def _list(self, console: Console, parameters: Mapping[str, str]) -> Component:
        text, sort = parameters.get("q", ""), parameters.get("sort", HEALTH)
        return parts.live_page(
            self.many,
            parts.page_head(
                self.many.capitalize(),
                parts.search(f"{self.many}-search", "Search by name or namespace", text),
                subtitle=f"Last {WINDOW_S} s, as their callers saw them",
            ),
            dcc.Store(id=f"{self.many}-sort", data=sort),
            live.region(self.many, self._drawn(console, text, sort)),
        )

    def _drawn(self, console: Console, text: str, sort: str) -> Component:
        key, _, reverse = sort.partition(":")
        return self.table(listing(self.rows(console), text=text, sort=key, reverse=bool(reverse)))

    def register(self, app: Dash, console: Console) -> None:
        """Search and sort at once, follow the graph."""

        @app.callback(
            live.target(self.many),
            Input(f"{self.many}-search", "value"),
            Input(f"{self.many}-sort", "data"),
            Input(f"{self.many}-pulse", "data"),
            prevent_initial_call=True,
        )
        async def refresh(text: str | None, sort: str, _pulse: object) -> live.Plain:
            return live.plain(self._drawn(console, text or "", sort))

        self._one.register(app, console)
        cast("Any", app).clientside_callback(
            f"(q, sort) => window.Meshscope.address({{q, sort: sort === '{HEALTH}' ? null : sort}})",
            Output(f"{self.many}-sort", "title"),
            Input(f"{self.many}-search", "value"),
            Input(f"{self.many}-sort", "data"),
            prevent_initial_call=True,
        )

    def missing(self, subject: Subject) -> list[Component]:
        """There is none of this name."""
        where = f" of cluster {subject.cluster}" if subject.cluster else ""
        title = f"There is no {self.one} {subject.name} in namespace {subject.namespace}{where}"
        every = parts.link(f"All {self.many}", f"/{self.many}")
        return [parts.page_head(subject.name), parts.empty("circle-help", title, every)]

    def several(self, subject: Subject, pages: Mapping[str, str]) -> list[Component]:
        """Several clusters have one of this name; *pages*: where each is shown, by cluster."""
        return [parts.page_head(subject.name), widgets.several(pages, f"{subject.namespace}/{subject.name}")]
