"""How a node's traffic went: out of memory as far as it reaches, further back window by window out of the histories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from console.moments import FAIR_SHARE, memory_ms, moment, oldest_ms
from console.web.errors import NotFound
from graph.course import Course, course_of_windows
from graph.health import Direction
from graph.model import GraphType, Signals, Snapshot

if TYPE_CHECKING:
    from console.context import Console

POINTS = 60
"""Of a course out of memory, at most."""
WINDOWS = 24
"""Of a course out of the histories: each is asked for."""
FRESH, SHORTEST_PAUSE_MS = 15, 10_000
"""So many times while one of its windows passes, but not more often, such a course is asked for anew."""
KEPT = 64
"""Such courses, so that pages which follow the graph need not ask each time."""


async def courses_of(console: Console, kind: GraphType, node: str, span_s: int) -> Mapping[Direction, Course]:
    """Say how a node's traffic went in either direction."""
    if await _is_told_elsewhere(console, span_s):
        return await _long(console, kind, node, span_s)
    course = console.live.course
    return {one: course(kind, span_s, node, POINTS, direction=one, evenly=False) for one in Direction}


async def _is_told_elsewhere(console: Console, span_s: int) -> bool:
    """Whether the histories know a good part of the span that memory does not."""
    begin_ms = console.clock.now_ms() - 1000 * span_s
    lacking_ms = memory_ms(console) - max(begin_ms, await oldest_ms(console))
    return lacking_ms > FAIR_SHARE * 1000 * span_s


async def told_of(console: Console, kind: GraphType, window_s: int, at_ms: int) -> Snapshot | None:
    """Find the graph of a window; ``None``: nobody knows."""
    try:
        return await moment(console, kind, window_s, at_ms)
    except NotFound:
        return None


async def _long(console: Console, kind: GraphType, node: str, span_s: int) -> Mapping[Direction, Course]:
    each_ms = 1000 * span_s // WINDOWS
    now_ms = console.clock.now_ms()
    end_ms = now_ms - now_ms % max(SHORTEST_PAUSE_MS, each_ms // FRESH)
    key = (kind, node, span_s, end_ms)
    if key not in console.courses:
        ends = [end_ms - each_ms * left for left in reversed(range(WINDOWS))]
        told = [await told_of(console, kind, each_ms // 1000, end) for end in ends]
        console.courses[key] = {
            one: course_of_windows(ends, [_signals(then, node, one) for then in told]) for one in Direction
        }
    if len(console.courses) > KEPT:
        console.courses.popitem(last=False)
    return console.courses[key]


def _signals(then: Snapshot | None, node: str, direction: Direction) -> Signals | None:
    if then is None:
        return None
    found = then.nodes.get(node)
    seen = found and (found.inbound if direction is Direction.INBOUND else found.outbound)
    return seen or Signals(then.window_s, then.window_s)
