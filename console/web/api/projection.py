"""What every question about the graph begins with: which projection, of which window, and how much of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Query

from console.context import Console
from console.moments import moment
from console.web.api.common import Here, instant, seconds
from console.web.errors import Invalid
from graph.model import GraphType, Snapshot
from graph.windows import SHORTEST_S

LONGEST_S = 30 * 86_400

SKEW_MS = 60_000
"""A client's clock may be so much ahead of the server's."""

Window = Annotated[str, Query(max_length=16, description="any from 10s to 30d")]
Namespaces = Annotated[
    str, Query(max_length=4000, description="separated by commas: only what is in them, and whoever it talks to")
]
At = Annotated[
    str,
    Query(max_length=40, description="when the window ends: RFC 3339, Unix seconds or milliseconds, or -10m; now"),
]


async def projection(
    here: Here,
    *,
    type: GraphType = GraphType.VERSIONED_APP,  # noqa: A002  (Kiali's parameter)
    window: Window = "60",
    namespaces: Namespaces = "",
    at: At = "",
) -> Snapshot:
    """Find the part of the graph that a request is about."""
    window_s = window_of(window)
    at_ms = past(here, at) if at else None
    return within(await moment(here, type, window_s, at_ms), names_in(namespaces))


Projected = Annotated[Snapshot, Depends(projection)]


def names_in(text: str) -> frozenset[str]:
    """Read names separated by commas."""
    return frozenset(name for name in text.split(",") if name)


def within(snapshot: Snapshot, namespaces: frozenset[str]) -> Snapshot:
    """Keep what is in these namespaces, and whoever it talks to; everything, if none are named."""
    if not namespaces:
        return snapshot
    own = {name for name, node in snapshot.nodes.items() if node.namespace in namespaces}
    edges = {name: edge for name, edge in snapshot.edges.items() if edge.source in own or edge.target in own}
    shown = own | {end for edge in edges.values() for end in (edge.source, edge.target)}
    nodes = {name: node for name, node in snapshot.nodes.items() if name in shown}
    return replace(snapshot, nodes=nodes, edges=edges)


def window_of(text: str, longest_s: int = LONGEST_S) -> int:
    """Read a window's length in seconds."""
    window = seconds(text)
    if not SHORTEST_S <= window <= longest_s:
        longest = f"{longest_s // 86_400}d" if longest_s >= 86_400 else f"{longest_s // 3600}h"
        raise Invalid(f"there is no window of {text[:16]}; it may be from {SHORTEST_S}s to {longest}")
    return round(window)


def past(here: Console, text: str) -> int:
    """Read an instant that is not in the future."""
    now_ms = here.clock.now_ms()
    at_ms = instant(text, now_ms)
    if at_ms > now_ms + SKEW_MS:
        raise Invalid(f"{text!r} is in the future")
    return at_ms
