"""What the graph page looks at, and what the panel shows beside the numbers of that moment: config, course, traces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from console.courses import told_of
from graph.course import Course, course_of_windows
from graph.model import GraphType, Signals, Snapshot
from graph.ports import TraceQuery
from graph.windows import REACH_S, SHORTEST_S

if TYPE_CHECKING:
    from console.context import Console
    from mesh_runtime.api.objects import Config

COURSE_S = 300
"""Courses reach at least this far back, however short the window."""
STEPS = 15
"""Where memory does not reach, a course has so many points: each is a window that a history is asked for."""
SCRAPES_S = 60
"""Sources that are scraped seldom cannot tell shorter windows; where the window asked for is shorter, it is taken."""
FEWEST = 8
"""Memory thins with age; where it has fewer points, the histories are asked."""
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


async def course(console: Console, at: Looked, selected: str) -> Course:
    """Return how the signals went until the moment, oldest first: from memory, or as the histories tell."""
    span_s = max(at.window_s, COURSE_S)
    now_ms = console.clock.now_ms()
    end_ms = at.at_ms or now_ms
    ago_s = max(0, now_ms - end_ms) // 1000
    if ago_s + span_s <= REACH_S:
        known = console.live.course(at.kind, ago_s + span_s, selected, evenly=not ago_s).until(end_ms)
        if at.is_live or len(known.at_ms) >= FEWEST:
            return known
    each_s = max(SHORTEST_S, span_s // STEPS, min(at.window_s, SCRAPES_S))
    steps = [end_ms - 1000 * span_s * left // STEPS for left in reversed(range(STEPS))]
    told = [_told(await told_of(console, at.kind, each_s, step_ms), selected) for step_ms in steps]
    return course_of_windows(steps, told)


def _told(snapshot: Snapshot | None, selected: str) -> Signals | None:
    """Find the signals of a node or an edge in a snapshot; ``None``: nobody knows."""
    if snapshot is None:
        return None
    if edge := snapshot.edges.get(selected):
        return edge.signals
    node = snapshot.nodes.get(selected)
    return node and (node.inbound or node.outbound)
