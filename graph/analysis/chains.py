"""The graph's critical paths: from an entry on, at each node along the call that it waits for longest.

An edge's latency is what its caller waits, so it holds that of the calls behind it: latencies of a chain are never
added to each other. Of several calls the one is followed that most of the time per request goes to: its latency, times
how often it is made for each request. The idea is that of a trace's critical path (:mod:`graph.analysis.trace_path`);
quantiles of different edges are of different requests, so a chain tells where to look, and a trace what happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from graph.analysis.calls import Call, Calls, calls_of
from graph.analysis.words import Quantile
from graph.model import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a chain."""

    edge: str
    source: str
    target: str
    latency_ms: float
    """What the caller waits for the answer."""
    added_ms: float
    """What is left of it without the next step, times ``share``: what this step adds to a request of the chain.

    The callee's own work, the way there, and its other calls. Where no step is slower than the one before it, the
    sum over the chain is the latency of the first step.
    """
    share: float
    """Of the requests of the first step, those that come here, 0-1."""


class Chain(NamedTuple):
    """One way through the graph."""

    latency_ms: float
    steps: tuple[Step, ...]


def slowest_chains(snapshot: Snapshot, quantile: Quantile = Quantile.P95, limit: int = 10) -> tuple[Chain, ...]:
    """Follow every call of an entry along the calls that are waited for most behind it, the slowest chain first.

    Calls without a measured latency (plain TCP, no traffic) are in no chain; one that comes back ends there.
    """
    calls = calls_of(snapshot)
    chains = [
        Chain(_latency(first, quantile), tuple(_steps(calls, first, quantile)))
        for entry in calls.entries
        for first in calls.of(entry)
        if _is_timed(first, quantile)
    ]
    return tuple(sorted(chains, key=lambda chain: (-chain.latency_ms, chain.steps[0].edge)))[:limit]


def _steps(calls: Calls, first: Call, quantile: Quantile) -> Iterator[Step]:
    call, share, seen = first, 1.0, {first.edge.source}
    while True:
        latency_ms = _latency(call, quantile)
        behind = None if call.target in seen else _most_waited_for(calls, call.target, quantile)
        explained_ms = behind.per_request * _latency(behind, quantile) if behind else 0.0
        yield Step(
            edge=call.edge.id,
            source=call.edge.source,
            target=call.target,
            latency_ms=latency_ms,
            added_ms=share * max(0.0, latency_ms - explained_ms),
            share=share,
        )
        if behind is None:
            return
        seen.add(call.target)
        call, share = behind, share * behind.per_request


def _most_waited_for(calls: Calls, caller: str, quantile: Quantile) -> Call | None:
    timed = [call for call in calls.of(caller) if _is_timed(call, quantile)]
    return max(timed, key=lambda call: (call.per_request * _latency(call, quantile), call.edge.id), default=None)


def _is_timed(call: Call, quantile: Quantile) -> bool:
    return getattr(call.edge.signals, f"{quantile}_ms") is not None


def _latency(call: Call, quantile: Quantile) -> float:
    return float(getattr(call.edge.signals, f"{quantile}_ms"))
