"""What breaks with a node: which callers need it, and how much of the traffic that enters the mesh.

A request that reaches a caller is taken to need whom the caller called, as often as it was seen to call. Calls to one
service are alternatives (versions of it), calls to different services happen independently of each other. Counters
cannot tell which requests made which calls: so every share comes with the least and the most that they allow. Whether
a caller can do without an answer cannot be seen either: shares say who *meets* the failure.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import networkx as nx

from graph.analysis.calls import Calls, calls_of, flow
from graph.model import Snapshot

PRECISION = 1e-9
ROUNDS = 1000
"""In a circle of calls shares are approached in rounds, until they move by less than the precision."""


class Share(NamedTuple):
    """How many of some requests need the failed nodes, 0-1."""

    least: float
    """If those who need one of a caller's callees need the others, too."""
    likely: float
    """If calls to different services are independent of each other."""
    most: float
    """If nobody who needs one of a caller's callees needs another one."""


NONE, ALL = Share(0.0, 0.0, 0.0), Share(1.0, 1.0, 1.0)


class Caller(NamedTuple):
    """Who calls the failed nodes, directly or through others."""

    id: str
    share: Share
    """Of the requests that it gets."""
    hops: int
    """Calls between it and the nearest failed node."""


class Entry(NamedTuple):
    """A node at which traffic begins."""

    id: str
    rate: float
    """Requests per second that it makes."""
    share: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """What the failure of some nodes means."""

    failed: tuple[str, ...]
    share: Share
    """Of everything that enters the mesh: of its requests or, where nothing but plain TCP enters, of its bytes."""
    entry_rate: float
    """Requests per second that enter the mesh."""
    entries: tuple[Entry, ...]
    """Where traffic begins, the most affected first."""
    callers: tuple[Caller, ...]
    """Everyone who calls a failed node, directly or through others, the most affected first."""
    starved: tuple[str, ...]
    """Whom no traffic reaches any more: every way there leads through a failed node."""
    unharmed: int
    """Nodes with traffic that are neither failed, nor callers, nor starved."""


def blast_radius(snapshot: Snapshot, failed: Collection[str]) -> BlastRadius:
    """Say what happens if these nodes fail together. Without traffic in the window they harm nobody."""
    calls = calls_of(snapshot)
    gone = frozenset(failed)
    shares = shares_needing(calls, gone)
    hops = _hops(calls.graph, gone)
    callers = [Caller(id_, shares[id_], hops[id_]) for id_ in shares.keys() - gone]
    entries = [
        Entry(id_, sum(call.edge.signals.rate for call in calls.of(id_)), shares.get(id_, NONE))
        for id_ in calls.entries
    ]
    starved = _starved(calls, gone)
    return BlastRadius(
        failed=tuple(sorted(gone)),
        share=traffic_share(calls, shares),
        entry_rate=sum(entry.rate for entry in entries),
        entries=tuple(sorted(entries, key=lambda one: (-one.share.likely, -one.rate, one.id))),
        callers=tuple(sorted(callers, key=lambda one: (-one.share.likely, one.hops, one.id))),
        starved=tuple(sorted(starved)),
        unharmed=len(calls.graph.nodes - gone - shares.keys() - starved),
    )


def shares_needing(calls: Calls, failed: Collection[str]) -> Mapping[str, Share]:
    """Return of each node that may need the failed ones the share of its requests that does."""
    shares = {id_: ALL for id_ in failed if id_ in calls.graph}
    for circle in calls.circles:
        if any(call.target in shares for id_ in circle for call in calls.of(id_)):
            _approach(calls, [id_ for id_ in circle if id_ not in failed], shares)
    entries = calls.entries & (shares.keys() - set(failed))
    return shares | {id_: _of_entry(calls, id_, shares) for id_ in entries}


def _approach(calls: Calls, circle: Collection[str], shares: dict[str, Share]) -> None:
    """Find the shares of nodes whose callees outside the circle are known."""
    shares |= dict.fromkeys(circle, NONE)
    for _ in range(ROUNDS):
        before = [shares[id_] for id_ in circle]
        shares |= {id_: _needing(calls, id_, shares) for id_ in circle}
        if all(math.dist(old, shares[id_]) < PRECISION for old, id_ in zip(before, circle, strict=True)):
            return


def traffic_share(calls: Calls, shares: Mapping[str, Share]) -> Share:
    """Return the share of all traffic that enters the mesh."""
    counted = any(call.edge.signals.rate for id_ in calls.entries for call in calls.of(id_))
    return _weighed(
        (call.edge.signals.rate if counted else flow(call.edge), shares.get(id_, NONE))
        for id_ in calls.entries
        for call in calls.of(id_)
    )


def _of_entry(calls: Calls, entry: str, shares: Mapping[str, Share]) -> Share:
    """Weigh an entry's calls: each is a request by itself, not a part of answering one."""
    return _weighed((flow(call.edge), shares.get(call.target, NONE)) for call in calls.of(entry))


def _weighed(shares: Iterable[tuple[float, Share]]) -> Share:
    told = list(shares)
    whole = sum(weight for weight, _ in told)
    return Share(*(sum(weight * share[way] for weight, share in told) / whole for way in range(3))) if whole else NONE


def _needing(calls: Calls, caller: str, shares: Mapping[str, Share]) -> Share:
    least, spared, most = 0.0, 1.0, 0.0
    for group in calls.groups[caller]:
        by_service = [
            min(1.0, sum(call.per_request * shares.get(call.target, NONE)[way] for call in group)) for way in range(3)
        ]
        least = max(least, by_service[0])
        spared *= 1.0 - by_service[1]
        most += by_service[2]
    return Share(least, 1.0 - spared, min(1.0, most))


def _starved(calls: Calls, failed: Collection[str]) -> frozenset[str]:
    left = calls.graph.subgraph(calls.graph.nodes - failed)
    fed = set().union(*({id_} | nx.descendants(left, id_) for id_ in calls.entries if id_ in left))
    return frozenset(left.nodes - fed)


def _hops(graph: nx.DiGraph, failed: Collection[str]) -> Mapping[str, int]:
    calling = graph.reverse(copy=False)
    ways = [nx.single_source_shortest_path_length(calling, id_) for id_ in failed if id_ in graph]
    return {id_: min(way[id_] for way in ways if id_ in way) for id_ in set().union(*ways)}
