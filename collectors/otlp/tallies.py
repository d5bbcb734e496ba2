"""Cumulative counts per edge and operation, as a proxy would keep them. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from collectors.otlp.edges import Counted, edge_of
from collectors.otlp.limits import Drop, Limits
from collectors.otlp.memo import Memo
from collectors.otlp.pairing import Call
from collectors.otlp.told import PRODUCER
from collectors.peers import Peers
from graph.model import OPERATIONS, OTHER, Counters, EdgeKey, Histogram, Observation, Outcome, Reporter

BOUNDS_MS = (
    0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0,
    500.0, 750.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0, 5000.0, 7500.0, 10_000.0, 20_000.0, 30_000.0, 60_000.0, math.inf,
)  # fmt: skip
BOUNDS_NS = (*(round(bound * 1e6) for bound in BOUNDS_MS[:-1]), math.inf)

IDLE_MS = 3_600_000
"""What had no call for this long is let go; should it come back it begins anew."""

SWEEP_MS = 60_000
REMEMBERED = 50_000
"""Different calls that are recognised without asking again which edge they are on."""
SAMPLED = ", sampled"
"""Ends instance and origin of counts that are estimates: spans that stand for others that were not sent."""


class Tallies:
    """What spans have told, summed up per edge, operation and exactness since *epoch*."""

    def __init__(self, *, epoch: int, instance: str, origin: str, limits: Limits) -> None:
        self.counted = 0
        """Spans that are in the counts."""
        self.sampled = 0
        """Of those, spans that stand for more than themselves."""
        self.unnamed = 0
        """Calls counted under :data:`graph.model.OTHER`, because too many operations are there already."""
        self._epoch = epoch
        self._instance = instance
        self._origin = origin
        self._limits = limits
        self._peers: Peers | None = None
        self._lines: Memo[tuple[object, ...], _Line | Drop] = Memo(REMEMBERED)
        self._tallies: dict[tuple[EdgeKey, str, bool], _Tally] = {}
        self._edges: Counter[EdgeKey] = Counter()
        self._operations: dict[object, set[str]] = {}
        self._named = 0
        self._changed: set[_Tally] = set()
        self._swept_ms = epoch

    def __len__(self) -> int:
        """How many edges are counted."""
        return len(self._edges)

    @property
    def series(self) -> int:
        """How many counts are kept: one per edge, operation and exactness."""
        return len(self._tallies)

    def count(self, calls: Iterable[Call], peers: Peers) -> Counter[Drop]:
        """Count calls; return how many spans belong to those that are none, and why."""
        if peers is not self._peers:
            self._lines.forget()
            self._peers = peers
        dropped: Counter[Drop] = Counter()
        counted, lines, changed = 0, self._lines, self._changed.add
        for call in calls:
            caller, callee, spans = call
            if caller is not None and callee is not None:
                told, other = caller[7], callee[7]
                weight = max(caller[8], callee[8])
                name = b"" if told.operation or other.operation else callee[5]
                question: tuple[object, ...] = (caller[4], told, callee[4], other, weight == 1.0, name)
                teller = callee if caller[3] == PRODUCER else caller
            else:
                teller = caller or callee  # type: ignore[assignment]  # a call has an end
                told, weight = teller[7], teller[8]
                question = (
                    teller[4],
                    told,
                    not teller[2],
                    teller[3],
                    weight == 1.0,
                    b"" if told.operation else teller[5],
                )
            line = lines.young.get(question) or self._line(question, call, peers, sampled=weight != 1.0)
            if isinstance(line, Drop):
                dropped[line] += spans
                continue
            tally = line.tally or self._open(line)
            if tally is None:
                dropped[Drop.EDGES_FULL] += spans
                continue
            took_ns = teller[6]
            line.requests[0] += weight
            tally.buckets[bisect_left(BOUNDS_NS, took_ns)] += weight
            tally.total_ns += took_ns * weight
            changed(tally)
            counted += spans
            if weight != 1.0:
                self.sampled += spans
            if tally.key[1] == OTHER:
                self.unnamed += 1
        self.counted += counted
        return dropped

    def observations(self, now_ms: int) -> Iterator[Observation]:
        """Read the counters that have changed since the last reading; at least one, so that their source is heard.

        What is counted until a reading is taken is in it.
        """
        changed, self._changed = self._changed, set()
        for tally in changed:
            tally.last_ms = now_ms
        if now_ms - self._swept_ms >= SWEEP_MS:
            self._sweep(now_ms)
        if not changed:
            changed = set(islice(self._tallies.values(), 1))
        return (self._observation(tally, now_ms) for tally in changed)

    def _observation(self, tally: _Tally, now_ms: int) -> Observation:
        edge, operation, sampled = tally.key
        more = SAMPLED if sampled else ""
        return Observation(
            edge=edge,
            reporter=Reporter.TRACE,
            instance=self._instance + more,
            epoch=self._epoch,
            at_ms=now_ms,
            counters=tally.counters(),
            origin=self._origin + more,
            operation=operation,
        )

    def _line(self, question: tuple[object, ...], call: Call, peers: Peers, *, sampled: bool) -> _Line | Drop:
        line = self._lines.recall(question)
        if line is None:
            found = edge_of(call, peers, longest=self._limits.name_chars)
            line = found if isinstance(found, Drop) else self._new_line(found, sampled=sampled)
            self._lines.keep(question, line)
        return line

    def _new_line(self, found: Counted, *, sampled: bool) -> _Line:
        return _Line((found.edge, self._operation(found.edge, found.operation), sampled), found.outcome)

    def _open(self, line: _Line) -> _Tally | None:
        """Find where a line is counted; ``None`` while there are too many edges."""
        tally = line.tally = self._tally(*line.key)
        if tally is not None:
            line.requests = tally.requests.setdefault(line.outcome, [0.0])
        return tally

    def _operation(self, edge: EdgeKey, operation: str) -> str:
        """Return the operation, or :data:`OTHER` when its target, or all targets together, have too many."""
        target = edge.target or edge.service
        known = self._operations.setdefault(target, set())
        if not operation or operation in known:
            return operation
        if len(known) >= OPERATIONS or self._named >= self._limits.operations:
            return OTHER
        known.add(operation)
        self._named += 1
        return operation

    def _tally(self, edge: EdgeKey, operation: str, sampled: bool) -> _Tally | None:
        key = (edge, operation, sampled)
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= self._limits.series and operation != OTHER:
                return self._tally(edge, OTHER, sampled)
            if edge not in self._edges and len(self._edges) >= self._limits.edges:
                return None
            tally = self._tallies[key] = _Tally(key)
            self._edges[edge] += 1
        return tally

    def _sweep(self, now_ms: int) -> None:
        """Let go of what is idle, and of the names that only that had."""
        self._swept_ms = now_ms
        idle = [key for key, tally in self._tallies.items() if now_ms - tally.last_ms > IDLE_MS]
        if not idle:
            return
        for key in idle:
            del self._tallies[key]
        self._edges = Counter(edge for edge, _, _ in self._tallies)
        self._operations = {}
        for edge, operation, _ in self._tallies:
            if operation not in {"", OTHER}:
                self._operations.setdefault(edge.target or edge.service, set()).add(operation)
        self._named = sum(map(len, self._operations.values()))
        self._lines.forget()


class _Line:
    """Where calls of one sort are written down."""

    __slots__ = ("key", "outcome", "requests", "tally")

    def __init__(self, key: tuple[EdgeKey, str, bool], outcome: Outcome) -> None:
        self.key = key
        self.outcome = outcome
        self.tally: _Tally | None = None
        self.requests = [0.0]
        """The tally's own count of this outcome."""


class _Tally:
    __slots__ = ("buckets", "key", "last_ms", "requests", "total_ns")

    def __init__(self, key: tuple[EdgeKey, str, bool]) -> None:
        self.key = key
        self.last_ms = 0
        self.requests: dict[Outcome, list[float]] = {}
        self.buckets = [0.0] * len(BOUNDS_MS)
        self.total_ns = 0.0

    def counters(self) -> Counters:
        latency = Histogram(BOUNDS_MS, self._below(), self.total_ns / 1e6)
        return Counters(requests={outcome: count for outcome, [count] in self.requests.items()}, latency_ms=latency)

    def _below(self) -> tuple[float, ...]:
        """Counts up to each bound. Equal ones are one object: most buckets are empty, and the graph keeps all this."""
        below, counts = 0.0, []
        for count in self.buckets:
            if count:
                below += count
            counts.append(below)
        return tuple(counts)
