"""Snapshot and difference at 3,000 edges, beside building a networkx graph of the same edges."""

from __future__ import annotations

import random
from collections.abc import Iterator

import networkx as nx

from graph.differ import delta
from graph.live import LiveGraph
from graph.model import (
    Counters,
    EdgeKey,
    GraphType,
    Histogram,
    Observation,
    Outcome,
    Protocol,
    Reporter,
    ServiceRef,
    WorkloadRef,
)
from tests.bench.timing import ratio, wall_seconds

BOUNDS = (0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, float("inf"))
START_MS = 1_700_000_000_000


class TurnedClock:
    def __init__(self) -> None:
        self.at_ms = START_MS

    def now_ms(self) -> int:
        return self.at_ms


def report(*, services: int = 1000, edges: int = 3000, rounds: int = 15) -> Iterator[str]:
    clock = TurnedClock()
    live = LiveGraph(clock=clock)
    keys = _edges(services, edges)
    old, ours, theirs = None, [], []
    for step in range(1, rounds + 4):
        clock.at_ms += 1000
        # A tenth of the edges has traffic in each step, as in a mesh that is mostly steady.
        live.observe(_reading(key, step, clock.at_ms) for n, key in enumerate(keys) if step < 3 or (n + step) % 10 == 0)
        live.tick(clock.at_ms)

        def work(old=old):
            new = live.snapshot(GraphType.WORKLOAD, 60)
            if old is not None:
                delta(old, new)

        took = wall_seconds(work)
        peer = wall_seconds(lambda: nx.DiGraph((key.source, key.target, {"rate": 1.0, "p95": 2.0}) for key in keys))
        if step > 3:
            ours.append(took * 1000)
            theirs.append(peer * 1000)
        old = live.snapshot(GraphType.WORKLOAD, 60)
    yield ratio(ours, theirs).line(
        f"snapshot and difference at {len(old.edges):,} edges", "ms", "networkx build of the same edges"
    )


def _edges(services: int, edges: int) -> list[EdgeKey]:
    rng = random.Random(1)
    pairs = set()
    while len(pairs) < edges:
        source, target = rng.sample(range(services), 2)
        pairs.add((source, target))
    return [
        EdgeKey(_workload(source), ServiceRef("c", "n", f"s{target}"), _workload(target), Protocol.HTTP)
        for source, target in sorted(pairs)
    ]


def _workload(number: int) -> WorkloadRef:
    return WorkloadRef("c", "n", f"s{number}-v1", f"s{number}", "v1")


def _reading(key: EdgeKey, step: int, at_ms: int) -> Observation:
    count = float(step * 10)
    counts = tuple(min(count, count * (n + 1) / 8) for n in range(len(BOUNDS)))
    return Observation(
        edge=key,
        reporter=Reporter.SOURCE,
        instance=f"{key.source.workload}-0",
        epoch=START_MS,
        at_ms=at_ms,
        counters=Counters(requests={Outcome("200", "", "-"): count}, latency_ms=Histogram(BOUNDS, counts, count * 7)),
    )
