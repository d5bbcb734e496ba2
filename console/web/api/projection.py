"""What every question about the graph begins with: which projection, of which window, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Query

from console.context import Console
from console.moments import moment
from console.web.api.common import Here, instant, seconds
from console.web.errors import Invalid, NotFound
from graph import query
from graph.analysis.words import Direction
from graph.model import GraphType, Snapshot
from graph.query import Found
from graph.windows import SHORTEST_S

LONGEST_S = 30 * 86_400
"""The longest window that may be asked for."""

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
Expression = Annotated[
    str, Query(max_length=4000, description="the find/hide language: !healthy, rt > 100 or %err > 1, label:team = red")
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


@dataclass(frozen=True, slots=True)
class View:
    """What a request shows of a projection, and what of that it finds."""

    snapshot: Snapshot
    found: Found | None
    """``None``: nothing is looked for."""


async def view(
    snapshot: Projected,
    *,
    node: Annotated[str, Query(max_length=300, description="only it and its neighbours: an id or a name")] = "",
    depth: Annotated[int, Query(ge=1, le=1000, description="of node: how many calls away")] = 1,
    direction: Annotated[Direction, Query(description="of node: to its callers, to whom it calls")] = Direction.BOTH,
    hide: Expression = "",
    find: Expression = "",
    namespaces: Namespaces = "",
) -> View:
    """Take the neighbours of a node, hide what is not wanted, find what is."""
    if node:
        snapshot = _around(snapshot, node, depth, direction)
    unwanted, wanted = _query("hide", hide), _query("find", find)
    chosen = names_in(namespaces)
    if hide:
        snapshot = query.hide(snapshot, unwanted, chosen)
    return View(snapshot, query.find(snapshot, wanted, chosen) if find else None)


Viewed = Annotated[View, Depends(view)]


def named(snapshot: Snapshot, name: str) -> frozenset[str]:
    """Find nodes by id or name; an unknown name is told with those that look like it."""
    from graph.analysis.neighbours import nodes_named, similar_names  # noqa: PLC0415  (it loads networkx)

    found = nodes_named(snapshot, name)
    if not found:
        similar = ", ".join(similar_names(snapshot, name))
        raise NotFound(f"no node is called {name!r} in this graph" + (f"; there is {similar}" if similar else ""))
    return found


def _around(snapshot: Snapshot, node: str, depth: int, direction: Direction) -> Snapshot:
    from graph.analysis.neighbours import around  # noqa: PLC0415  (it loads networkx)

    return around(snapshot, named(snapshot, node), depth, direction)


def _query(parameter: str, text: str) -> query.Query:
    parsed = query.parse(text)
    if isinstance(parsed, query.QueryError):
        column = parsed.position + 1
        sentence = f"{parameter}: {parsed.message} (at character {column})"
        raise Invalid(sentence, parameter=parameter, expression=text, column=column)
    return parsed


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


def window_of(text: str) -> int:
    """Read a window's length in seconds."""
    window = seconds(text)
    if not SHORTEST_S <= window <= LONGEST_S:
        longest = f"{LONGEST_S // 86_400}d"
        raise Invalid(f"there is no window of {text[:16]}; it may be from {SHORTEST_S}s to {longest}")
    return round(window)


def past(here: Console, text: str) -> int:
    """Read an instant that is not in the future."""
    now_ms = here.clock.now_ms()
    at_ms = instant(text, now_ms)
    if at_ms > now_ms + SKEW_MS:
        raise Invalid(f"{text!r} is in the future")
    return at_ms
