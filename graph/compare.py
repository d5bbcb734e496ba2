"""What differs between two moments of one projection by enough to be news.

Counts are samples: with few requests almost any difference is chance. So every verdict needs two things, an effect
that a user would care about and counts that leave little room for chance (:class:`Threshold`). What is too rare to
tell is counted as undecided, never called equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

from graph.model import Edge, Health, Node, Signals, Snapshot
from graph.records import Maybe
from graph.wire import traffic_json

Item = TypeVar("Item", Node, Edge)


class Verdict(StrEnum):
    """What happened to an edge or a node, the most pressing first."""

    FAILING = "failing"
    """A larger share of its requests fails."""
    SLOWER = "slower"
    GONE = "gone"
    """There was traffic, and there is none."""
    ADDED = "added"
    """There was no traffic, and there is some."""
    LESS_TRAFFIC = "less_traffic"
    MORE_TRAFFIC = "more_traffic"
    RECOVERED = "recovered"
    """A smaller share of its requests fails."""
    FASTER = "faster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """From where on a difference is news."""

    sigma: float = 3.29
    """Width of every interval in standard deviations: 3.29 leaves one in a thousand to chance, for edges are many."""
    chance: float = 0.01
    """How probable it may be that all requests of a steady edge fell into one of the two windows."""
    traffic: float = 1.5
    """Factor between two rates."""
    errors: float = 0.005
    """Difference between two error ratios that is certain, 0-1."""
    latency: float = 1.2
    """Factor between two latencies that is certain."""
    latency_ms: float = 1.0
    """Difference between two latencies, beside the factor."""
    bytes_factor: float = 2.0
    """Factor between two rates of TCP bytes, which come in bursts and are no sample of anything."""
    least_bytes: float = 10_000.0
    """TCP bytes in a window below which nothing is said about them."""


DEFAULT = Threshold()

Judged = Callable[[Signals | None, Signals | None], tuple[Verdict, ...]]
"""What two moments make of the signals of one edge or node in each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One edge or node that is different. ``before``/``after``: its signals, ``None`` without traffic."""

    id: str
    label: str
    verdicts: tuple[Verdict, ...]
    """The most pressing first; empty where only the health or the replicas changed."""
    before: Signals | None
    after: Signals | None
    health: tuple[Health, Health] | None = None
    """Before and after, where they differ."""
    replicas: tuple[int | None, int | None] | None = None
    """Before and after, where they differ."""

    @property
    def weight(self) -> float:
        """How many requests the change is about, to put the larger one first."""
        return max(signals.requests if signals else 0.0 for signals in (self.before, self.after))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two moments, and what is different: the most pressing first."""

    before: Snapshot
    after: Snapshot
    edges: tuple[Change, ...]
    nodes: tuple[Change, ...]
    undecided: int
    """Edges with traffic in only one of the windows, and too little of it to tell."""
    same: int
    """Edges of which nothing certain can be said to be different."""


def compare(before: Snapshot, after: Snapshot, threshold: Threshold = DEFAULT) -> Comparison:
    """Compare two snapshots of one projection. Their windows may differ in length; counts are weighed by it."""
    edges, undecided, same = [], 0, 0
    names = {**before.nodes, **after.nodes}
    judged = partial(_judged, before, after, threshold)
    for old, new in _pairs(before.edges, after.edges):
        found = _edge_change(old, new, names, judged)
        if found.verdicts:
            edges.append(found)
        elif _busy(found.before) != _busy(found.after):
            undecided += 1
        else:
            same += 1
    nodes = [_node_change(old, new, judged) for old, new in _pairs(before.nodes, after.nodes)]
    return Comparison(
        before=before,
        after=after,
        edges=tuple(sorted(edges, key=_urgency)),
        nodes=tuple(sorted(filter(_is_news, nodes), key=_urgency)),
        undecided=undecided,
        same=same,
    )


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Write a comparison as the API sends it."""
    return {
        "type": "comparison",
        "graph": comparison.after.type,
        "from": _moment_json(comparison.before),
        "to": _moment_json(comparison.after),
        "edges": _changes_json(comparison.edges),
        "nodes": _changes_json(comparison.nodes),
        "undecided": comparison.undecided,
        "same": comparison.same,
    }


def judge(before: Signals, after: Signals, threshold: Threshold = DEFAULT) -> tuple[Verdict, ...]:
    """Compare what flowed in two windows."""
    if not _busy(before) or not _busy(after):
        return _one_sided(before, after, threshold)
    found = {
        *_errors(before, after, threshold),
        *_latency(before, after, threshold),
        *_traffic(before, after, threshold),
    }
    return tuple(verdict for verdict in Verdict if verdict in found)


def _judged(
    old: Snapshot, new: Snapshot, threshold: Threshold, before: Signals | None, after: Signals | None
) -> tuple[Verdict, ...]:
    return judge(before or _silence(old), after or _silence(new), threshold)


def _silence(snapshot: Snapshot) -> Signals:
    """What flows where there is no edge, in the time that the snapshot knows."""
    return Signals(snapshot.window_s, _covered_s(snapshot))


def _covered_s(snapshot: Snapshot) -> float:
    """How much of the window is known by any edge; all of it is where there is none, and nothing flowed."""
    return max((edge.signals.covered_s for edge in snapshot.edges.values()), default=float(snapshot.window_s))


def _moment_json(snapshot: Snapshot) -> dict[str, Any]:
    return {"at": snapshot.at_ms, "window": snapshot.window_s, "covered": _covered_s(snapshot)}


def _changes_json(changes: Sequence[Change]) -> list[dict[str, Any]]:
    sides = [
        Maybe.of(Signals, signals) for signals in ([one.before for one in changes], [one.after for one in changes])
    ]
    before, after = (side.dealt(traffic_json(side.table)) for side in sides)
    return [
        {
            "id": change.id,
            "label": change.label,
            "verdicts": list(change.verdicts),
            "before": old,
            "after": new,
            "health": change.health and list(change.health),
            "replicas": change.replicas and list(change.replicas),
        }
        for change, old, new in zip(changes, before, after, strict=True)
    ]


def _pairs(old: Mapping[str, Item], new: Mapping[str, Item]) -> Iterator[tuple[Item | None, Item | None]]:
    for id_ in {**old, **new}:
        yield old.get(id_), new.get(id_)


def _edge_change(old: Edge | None, new: Edge | None, names: Mapping[str, Node], judged: Judged) -> Change:
    some = new or old
    assert some is not None
    before, after = (edge.signals if edge else None for edge in (old, new))
    return Change(
        id=some.id,
        label=f"{_name(some.source, names)} → {_name(some.target, names)}"
        + ("" if some.protocol == "http" else f" ({some.protocol})"),
        verdicts=judged(before, after),
        before=before,
        after=after,
        health=_different(old, new),
    )


def _node_change(old: Node | None, new: Node | None, judged: Judged) -> Change:
    """A node is judged by what comes in; who only calls, by what goes out."""
    some = new or old
    assert some is not None
    inbound = any(node is not None and node.inbound is not None for node in (old, new))
    before, after = ((node.inbound if inbound else node.outbound) if node else None for node in (old, new))
    return Change(
        id=some.id,
        label=_named(some),
        verdicts=judged(before, after),
        before=before,
        after=after,
        health=_different(old, new),
        replicas=(old.replicas, new.replicas) if old and new and old.replicas != new.replicas else None,
    )


def _different(old: Edge | Node | None, new: Edge | Node | None) -> tuple[Health, Health] | None:
    # From or to idle is what the traffic's verdicts are about.
    if old is None or new is None or old.health == new.health or Health.IDLE in {old.health, new.health}:
        return None
    return old.health, new.health


def _is_news(change: Change) -> bool:
    """A health that follows tolerances alone may turn by one request: it needs a verdict, or replicas, beside it."""
    return bool(change.verdicts or change.replicas)


def _name(id_: str, names: Mapping[str, Node]) -> str:
    return _named(names[id_]) if id_ in names else id_


def _named(node: Node) -> str:
    return f"{node.namespace}/{node.title}"


def _urgency(change: Change) -> tuple[int, float, str]:
    order = list(Verdict).index(change.verdicts[0]) if change.verdicts else len(Verdict)
    return order, -change.weight, change.id


def _busy(signals: Signals | None) -> bool:
    return signals is not None and bool(signals.requests or _bytes(signals) or signals.opened_rate)


def _bytes(signals: Signals) -> float:
    return (signals.sent_bps + signals.received_bps) * signals.covered_s


def _events(signals: Signals) -> float:
    return signals.requests or signals.opened_rate * signals.covered_s


def _one_sided(before: Signals, after: Signals, threshold: Threshold) -> tuple[Verdict, ...]:
    """Traffic in one window only: news if a steady edge would hardly have left what is known of the other one empty."""
    busy, idle, verdict = (after, before, Verdict.ADDED) if _busy(after) else (before, after, Verdict.GONE)
    if not _busy(busy) or not idle.covered_s:
        return ()
    share = busy.covered_s / max(busy.covered_s + idle.covered_s, 1e-9)
    certain = share ** _events(busy) <= threshold.chance or _bytes(busy) >= threshold.least_bytes
    return (verdict,) if certain else ()


def _errors(before: Signals, after: Signals, threshold: Threshold) -> Iterator[Verdict]:
    low, high = difference((before.errors, before.requests), (after.errors, after.requests), threshold.sigma)
    if low > threshold.errors:
        yield Verdict.FAILING
    elif high < -threshold.errors:
        yield Verdict.RECOVERED


def _latency(before: Signals, after: Signals, threshold: Threshold) -> Iterator[Verdict]:
    """By the median or the 95th percentile, whichever moved for certain; the median, where they disagree."""
    for quantile in (0.5, 0.95):
        old, new = (_interval(signals, quantile, threshold.sigma) for signals in (before, after))
        if old is None or new is None:
            continue
        if new.low > max(old.high * threshold.latency, old.high + threshold.latency_ms):
            yield Verdict.SLOWER
            return
        if old.low > max(new.high * threshold.latency, new.high + threshold.latency_ms):
            yield Verdict.FASTER
            return


def _traffic(before: Signals, after: Signals, threshold: Threshold) -> Iterator[Verdict]:
    factor = _traffic_factor(before, after, threshold)
    if factor >= 1:
        yield Verdict.MORE_TRAFFIC
    elif factor <= -1:
        yield Verdict.LESS_TRAFFIC


def _traffic_factor(before: Signals, after: Signals, threshold: Threshold) -> int:
    """1: more, -1: less, 0: as before."""
    old, new = _events(before), _events(after)
    if not old and not new:
        old, new = _bytes(before), _bytes(after)
        factor, certain = threshold.bytes_factor, max(old, new) >= threshold.least_bytes
    else:
        factor, certain = threshold.traffic, abs(_rate_score(before, after)) >= threshold.sigma
    rates = old / max(before.covered_s, 1e-9), new / max(after.covered_s, 1e-9)
    if not certain:
        return 0
    return int(rates[1] >= rates[0] * factor) - int(rates[0] >= rates[1] * factor)


def _rate_score(before: Signals, after: Signals) -> float:
    """By how many standard deviations two Poisson rates differ: Anscombe's transform makes their spread even."""
    ratio = after.covered_s / max(before.covered_s, 1e-9)
    if not ratio:
        return 0.0
    old, new = math.sqrt(_events(before) + 3 / 8), math.sqrt(_events(after) + 3 / 8)
    return 2 * (new - math.sqrt(ratio) * old) / math.sqrt(1 + ratio)


class Interval(NamedTuple):
    """Where a value lies."""

    low: float
    high: float


def difference(before: tuple[float, float], after: tuple[float, float], sigma: float) -> Interval:
    """Bound the difference of two shares, each given as (part, whole): Newcombe's hybrid of two Wilson intervals."""
    if not before[1] or not after[1]:
        return Interval(0.0, 0.0)
    (old, old_low, old_high), (new, new_low, new_high) = (_wilson(*one, sigma) for one in (before, after))
    return Interval(
        new - old - math.hypot(new - new_low, old_high - old),
        new - old + math.hypot(new_high - new, old - old_low),
    )


def _wilson(part: float, whole: float, sigma: float) -> tuple[float, float, float]:
    share, spread = part / whole, sigma * sigma / whole
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * share * (1 - share) + spread * spread / 4) / (1 + spread)
    return share, max(0.0, middle - half), min(1.0, middle + half)


def _interval(signals: Signals, quantile: float, sigma: float) -> Interval | None:
    """Where a latency quantile lies: its rank is a binomial, and the known quantiles say how ranks and values go.

    ``None`` where there are too few requests for the ranks to lie between known quantiles.
    """
    known: Sequence[tuple[float, float | None]] = (
        (0.5, signals.p50_ms),
        (0.95, signals.p95_ms),
        (0.99, signals.p99_ms),
    )
    points = [(rank, value) for rank, value in known if value is not None]
    if len(points) < len(known) or not signals.requests:
        return None
    half = sigma * math.sqrt(quantile * (1 - quantile) / signals.requests)
    if quantile + half > points[-1][0]:
        return None
    return Interval(_value_at(quantile - half, points), _value_at(quantile + half, points))


def _value_at(rank: float, points: Sequence[tuple[float, float]]) -> float:
    """The latency at a rank: straight between known ones, and straight to zero below the median."""
    known = [(0.0, 0.0), *points]
    for (low_rank, low), (high_rank, high) in pairwise(known):
        if rank <= high_rank:
            return low + (high - low) * max(0.0, rank - low_rank) / (high_rank - low_rank)
    return known[-1][1]
