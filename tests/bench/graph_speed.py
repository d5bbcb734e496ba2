"""The graph at size, by CPU time: a tick's snapshot and difference, the memory of an hour, the history on disk."""

from __future__ import annotations

import gc
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import networkx as nx
import orjson

from graph.differ import delta
from graph.frames import Recorder, decode
from graph.history import rebuild
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
from graph.moment import snapshot_of
from graph.wire import delta_json
from tests.bench.timing import cpu_seconds, ratio

BOUNDS = (0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0, float("inf"))
REPORTERS = (Reporter.SOURCE, Reporter.DESTINATION)
CALM_READ_EVERY = 3
START_MS = 1_700_000_000_000
OK, MISSING, FAILED = Outcome("200", "", "-"), Outcome("404", "", "-"), Outcome("503", "", "UF")


class TurnedClock:
    def __init__(self) -> None:
        self.at_ms = START_MS

    def now_ms(self) -> int:
        return self.at_ms

    steady_ms = now_ms


def _shape(median_ms: float) -> tuple[float, ...]:
    """The share of a lognormal latency's samples below each bound."""
    return tuple(
        1.0 if math.isinf(bound) else 0.5 * (1 + math.erf(math.log(bound / median_ms) / 1.2 / math.sqrt(2)))
        for bound in BOUNDS
    )


SHAPES = [_shape(median_ms) for median_ms in (3, 8, 20, 55)]


class Mesh:
    """Services that call each other: both sides report each edge, with an Istio histogram's buckets."""

    def __init__(self, edges: int) -> None:
        self.clock = TurnedClock()
        self.live = LiveGraph(clock=self.clock)
        self.keys = _edges(edges // 3, edges)
        self._asked = [0.0] * edges
        self._told: list[list[Observation]] = [[] for _ in range(edges)]
        """Per edge what its reporters counted last."""
        self._chance = random.Random(2)

    def second(self, *, one_in: int, seconds: int = 1) -> None:
        """Let time pass; one in so many edges has traffic in it. Others are read now and then: nobody falls silent."""
        self.clock.at_ms += 1000 * seconds
        told = []
        for number, key in enumerate(self.keys):
            turn = number + self.clock.at_ms // 1000
            if turn % one_in == 0:
                self._asked[number] += self._chance.randint(1, seconds * (20 + 2 * (number % 50)))
                self._told[number] = [self._reading(number, key, reporter) for reporter in REPORTERS]
                told += self._told[number]
            elif turn % CALM_READ_EVERY == 0:
                told += [replace(one, at_ms=self.clock.at_ms) for one in self._told[number]]
        self.live.observe(told)
        self.live.tick(self.clock.at_ms)

    def _reading(self, number: int, key: EdgeKey, reporter: Reporter) -> Observation:
        count = self._asked[number]
        bad = float(int(count / 100))
        outcomes = {OK: count - 2 * bad, MISSING: bad, FAILED: bad}
        counts = tuple(float(int(count * share)) for share in SHAPES[number % len(SHAPES)])
        side = key.source if reporter is Reporter.SOURCE else key.target
        return Observation(
            edge=key,
            reporter=reporter,
            instance=f"{side.workload}-0" if side else "",
            epoch=START_MS,
            at_ms=self.clock.at_ms,
            counters=Counters(
                requests={outcome: value for outcome, value in outcomes.items() if value},
                latency_ms=Histogram(BOUNDS, counts, count * 7.3),
            ),
        )


def report() -> Iterator[str]:
    gc.collect()
    # As the server does: the graph's long-lived objects are not looked through again and again.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    yield _memory(3_000)
    yield from _history(3_000)
    for edges, rounds in ((3_000, 15), (30_000, 5)):
        for one_in in (1, 10):
            yield from _tick(edges, one_in, rounds)


def _tick(edges: int, one_in: int, rounds: int) -> Iterator[str]:
    mesh = Mesh(edges)
    mesh.second(one_in=1)
    for _ in range(70):
        mesh.second(one_in=max(10, one_in))
    old = mesh.live.snapshot(GraphType.WORKLOAD, 60)
    found, told, theirs, changes = [], [], [], []
    for _ in range(rounds):
        mesh.second(one_in=one_in)
        before = old

        def find(before=before):
            changes.append(delta(before, mesh.live.snapshot(GraphType.WORKLOAD, 60)))

        found.append(cpu_seconds(find) * 1000)
        old = mesh.live.snapshot(GraphType.WORKLOAD, 60)
        told.append(cpu_seconds(lambda: orjson.dumps(delta_json(changes[-1], old))) * 1000 + found[-1])  # noqa: B023
        theirs.append(cpu_seconds(lambda: _networkx(mesh.keys)) * 1000)
    title = f"snapshot and difference, {len(changes[-1].edges):,} of {edges:,} edges changed"
    peer = "networkx build of the same edges"
    yield ratio(found, theirs).line(title, "ms", peer)
    yield ratio(told, theirs).line(f"{title}, and its message", "ms", peer)


def _networkx(keys: Sequence[EdgeKey]) -> nx.DiGraph:
    return nx.DiGraph((key.source, key.target, {"rate": 1.0, "p95": 2.0}) for key in keys)


def _memory(edges: int) -> str:
    mesh = Mesh(edges)
    gc.collect()
    before = _resident()
    for _ in range(350):
        mesh.second(one_in=1, seconds=10)
    for _ in range(70):
        mesh.second(one_in=10)
    gc.collect()
    plain = 8 * mesh.live.state().cells * len(mesh.live._marks.marks)
    held = mesh.live._marks.nbytes
    return (
        f"an hour of {edges:,} edges ({mesh.live.state().cells:,} counters): process +{_resident() - before:.0f} MB, "
        f"of it the past {held / 1e6:.1f} MB, as plain doubles {plain / 1e6:.1f} MB, ratio {held / plain:.2f}"
    )


def _resident() -> float:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096 / 1e6


def _history(edges: int) -> Iterator[str]:
    mesh, recorder, records = Mesh(edges), Recorder(), []
    packing = []
    for _ in range(40):
        mesh.second(one_in=1, seconds=10)
        packing.append(cpu_seconds(lambda: records.append(recorder.record(mesh.live.frame()))) * 1000)
    keys = [record for record in records if record.kept.key_ms == record.kept.at_ms]
    others = [record for record in records if record.kept.key_ms != record.kept.at_ms]
    mean_key, mean_other = (sum(one.kept.size for one in some) / len(some) for some in (keys, others))
    yield (
        f"history of {edges:,} edges: key frame {mean_key / 1e3:.0f} kB, difference {mean_other / 1e3:.0f} kB, "
        f"an hour {(12 * mean_key + 348 * mean_other) / 1e6:.0f} MB; packing {sorted(packing)[20]:.0f} ms each"
    )
    last = others[-1]
    key = next(one for one in keys if one.kept.at_ms == last.kept.key_ms)
    first = next(one for one in others if one.kept.key_ms == last.kept.key_ms)

    def past():
        whole = decode(key.body)
        frames = [decode(first.body, whole), decode(last.body, whole)]
        assert rebuild(frames, GraphType.VERSIONED_APP, 60, last.kept.at_ms)

    told = [mesh._reading(number, one, by) for number, one in enumerate(mesh.keys) for by in REPORTERS]
    plain = lambda: snapshot_of(told, mesh.live.frame().inventory, GraphType.VERSIONED_APP, START_MS, mesh.clock.at_ms)  # noqa: E731
    ours, theirs = ([cpu_seconds(work) * 1000 for _ in range(7)] for work in (past, plain))
    yield ratio(ours, theirs).line("a moment of the past from its frames", "ms", "the same by folding the readings")


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
