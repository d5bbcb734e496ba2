"""What the graph page looks at, and what the panel shows beside the numbers of that moment: config, course, traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from graph.model import GraphType
from graph.ports import TraceQuery
from graph.windows import REACH_S

if TYPE_CHECKING:
    from console.context import Console
    from mesh_runtime.api.objects import Config

COURSE_S = 300
"""Courses reach at least this far back, however short the window."""
REVISIONS = 1000
"""How far back the config of a moment is looked for."""


class Moment(NamedTuple):
    """A window and when it ends; ``None``: now."""

    window_s: int
    at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Graph type, window and moment as the page's script tells them."""

    kind: GraphType
    window_s: int
    at_ms: int | None
    """``None``: now."""
    moments: tuple[Moment, ...]
    """The two that are compared, the earlier first; empty otherwise."""

    @property
    def is_live(self) -> bool:
        """Whether the live graph holds it, and it changes by itself."""
        return self.at_ms is None and not self.moments and self.window_s <= REACH_S

    @property
    def live_window_s(self) -> int:
        """The window, as far as the live graph holds one."""
        return min(self.window_s, REACH_S)

    def restricted(self, query: TraceQuery) -> TraceQuery:
        """Ask for the traces of a moment of the past only."""
        if self.at_ms is None:
            return query
        return replace(query, since_ms=self.at_ms - 1000 * self.window_s, until_ms=self.at_ms)


def looked(topic: Mapping[str, Any]) -> Looked:
    """Read what the page's script says."""
    moments = tuple(Moment(int(one["window"]), one["at"]) for one in topic.get("moments") or ())
    at_ms = topic.get("at")
    return Looked(
        kind=GraphType(topic["type"]),
        window_s=int(topic["window"]),
        at_ms=int(at_ms) if at_ms else None,
        moments=moments,
    )


async def config_at(console: Console, at_ms: int | None) -> Config:
    """Find the config of a moment; where the history does not reach so far, the present one."""
    if at_ms is None:
        return console.store.current
    revisions = await console.store.history(limit=REVISIONS)
    then = next((one for one in revisions if one.at_ms <= at_ms), None)
    return await console.store.at(then.number) if then else console.store.current


def course(console: Console, at: Looked, selected: str) -> dict[str, Sequence[float | None]]:
    """Return how the signals went; only memory knows it step by step."""
    if not at.is_live:
        return {}
    series = console.live.series(at.kind, max(at.window_s, COURSE_S), selected)
    return {"rate": series.rate, "error_ratio": series.error_ratio, "p95_ms": series.p95_ms}
