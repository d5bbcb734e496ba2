"""What breaks with a node: which callers need it, and how much of the traffic that enters the mesh.

A request that reaches a caller is taken to need whom the caller called, as often as it was seen to call. Calls to one
service are alternatives (versions of it), calls to different services happen independently of each other. Counters
cannot tell which requests made which calls: so every share comes with the least and the most that they allow. Whether
a caller can do without an answer cannot be seen either: shares say who *meets* the failure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import networkx as nx
import numpy as np

from graph.analysis.calls import Calls, calls_of, flow
from graph.arrays import Flags, Floats
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


NONE = Share(0.0, 0.0, 0.0)

Shares = Mapping[str, Floats]
"""Per node the shares of its requests: a row for each way of counting (as in :class:`Share`), a column per failure."""


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
    told = shares_needing(calls, [gone])
    shares = {id_: Share(*share[:, 0].tolist()) for id_, share in told.items()}
    hops = _hops(calls.graph, gone)
    callers = [Caller(id_, shares[id_], hops[id_]) for id_ in shares.keys() - gone]
    entries = [
        Entry(id_, sum(call.edge.signals.rate for call in calls.of(id_)), shares.get(id_, NONE))
        for id_ in calls.entries
    ]
    starved = _starved(calls, gone)
    return BlastRadius(
        failed=tuple(sorted(gone)),
        share=traffic_shares(calls, told, 1)[0],
        entry_rate=sum(entry.rate for entry in entries),
        entries=tuple(sorted(entries, key=lambda one: (-one.share.likely, -one.rate, one.id))),
        callers=tuple(sorted(callers, key=lambda one: (-one.share.likely, one.hops, one.id))),
        starved=tuple(sorted(starved)),
        unharmed=len(calls.graph.nodes - gone - shares.keys() - starved),
    )


def shares_needing(calls: Calls, failures: Sequence[Collection[str]]) -> Shares:
    """Return of each node that may need failed ones the share of its requests that does, for each failure by itself."""
    gone = {
        id_: np.array([id_ in failed for failed in failures])
        for id_ in frozenset[str]().union(*failures) & calls.graph.nodes
    }
    shares: dict[str, Floats] = {}
    for circle in calls.circles:
        if any(id_ in gone or any(call.target in shares for call in calls.of(id_)) for id_ in circle):
            _approach(calls, circle, shares, gone, len(failures))
    entries = {id_: _of_entry(calls, id_, shares, len(failures)) for id_ in calls.entries & shares.keys()}
    return shares | {id_: _without(id_, share, gone) for id_, share in entries.items()}


def _approach(
    calls: Calls, circle: Collection[str], shares: dict[str, Floats], gone: Mapping[str, Flags], failures: int
) -> None:
    """Find the shares of nodes whose callees outside the circle are known."""
    shares |= {id_: _without(id_, np.zeros((len(NONE), failures)), gone) for id_ in circle}
    for _ in range(ROUNDS):
        found = {id_: _without(id_, _needing(calls, id_, shares, failures), gone) for id_ in circle}
        moved = max(np.abs(share - shares[id_]).max() for id_, share in found.items())
        shares |= found
        if moved < PRECISION:
            return


def _without(id_: str, share: Floats, gone: Mapping[str, Flags]) -> Floats:
    """Where the node itself has failed, all of its requests need it."""
    return np.where(gone[id_], 1.0, share) if id_ in gone else share


def traffic_shares(calls: Calls, shares: Shares, failures: int) -> list[Share]:
    """Return, for each failure, the share of all traffic that enters the mesh."""
    counted = any(call.edge.signals.rate for id_ in calls.entries for call in calls.of(id_))
    entering = [
        (call.edge.signals.rate if counted else flow(call.edge), shares.get(id_))
        for id_ in calls.entries
        for call in calls.of(id_)
    ]
    return [Share(*share) for share in _weighed(entering, failures).T.tolist()]


def _of_entry(calls: Calls, entry: str, shares: Shares, failures: int) -> Floats:
    """Weigh an entry's calls: each is a request by itself, not a part of answering one."""
    return _weighed([(flow(call.edge), shares.get(call.target)) for call in calls.of(entry)], failures)


def _weighed(told: Collection[tuple[float, Floats | None]], failures: int) -> Floats:
    """The mean of shares by weight; ``None``: none."""
    total = np.zeros((len(NONE), failures))
    for weight, share in told:
        if share is not None:
            total += weight * share
    whole = sum(weight for weight, _ in told)
    return total / whole if whole else total


def _needing(calls: Calls, caller: str, shares: Shares, failures: int) -> Floats:
    least, spared, most = np.zeros(failures), np.ones(failures), np.zeros(failures)
    for group in calls.groups.get(caller, ()):
        asked = [(call.per_request, shares[call.target]) for call in group if call.target in shares]
        if asked:
            by_service = np.minimum(1.0, sum(per_request * share for per_request, share in asked))
            least = np.maximum(least, by_service[0])
            spared *= 1.0 - by_service[1]
            most += by_service[2]
    return np.stack((least, 1.0 - spared, np.minimum(1.0, most)))


def _starved(calls: Calls, failed: Collection[str]) -> frozenset[str]:
    left = calls.graph.subgraph(calls.graph.nodes - failed)
    fed = set().union(*({id_} | nx.descendants(left, id_) for id_ in calls.entries if id_ in left))
    return frozenset(left.nodes - fed)


def _hops(graph: nx.DiGraph, failed: Collection[str]) -> Mapping[str, int]:
    calling = graph.reverse(copy=False)
    ways = [nx.single_source_shortest_path_length(calling, id_) for id_ in failed if id_ in graph]
    return {id_: min(way[id_] for way in ways if id_ in way) for id_ in set().union(*ways)}
