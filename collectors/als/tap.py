"""The tap: the newest requests of each edge, and a live stream of them for whoever watches.

What it holds and passes on is bounded, and everything it had to leave out is counted.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from collectors.logs.feed import Batch, Feed
from graph.model import Protocol, ServiceRef, WorkloadRef

RING = 200
"""Requests that are kept of one edge."""
EDGES = 2000
PER_SECOND = 5000
"""More requests than these are counted and not looked at."""
UNWATCHED_PER_SECOND = 500
"""So many while nobody watches: enough to have something to show at once."""
REMEMBERED = 20_000
"""Ids of requests, so that what both proxies log is shown once."""


class TapDrop(StrEnum):
    """Why a request is not shown."""

    TOO_MANY = "too_many_per_second"
    EDGES_FULL = "edges_full"
    UNREADABLE = "unreadable"
    READER_SLOW = "reader_too_slow"


@dataclass(frozen=True, slots=True, kw_only=True)
class TappedRequest:
    """One request, or one TCP connection that has ended."""

    at_ns: int
    source: WorkloadRef | None
    """``None``: nobody could say who called."""
    service: ServiceRef | None
    target: WorkloadRef | None
    reporter: str
    """``source`` or ``destination``: whose proxy said it."""
    protocol: Protocol
    method: str = ""
    path: str = ""
    authority: str = ""
    code: str = ""
    grpc: str = ""
    flags: str = ""
    details: str = ""
    duration_ms: float = 0.0
    received: int = 0
    """Bytes from the caller."""
    sent: int = 0
    request_id: str = ""
    trace_id: str = ""
    user_agent: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TapQuery:
    """Which requests a reader wants; empty fields do not restrict. Names are a workload's, an app's or a service's."""

    namespace: str = ""
    source: str = ""
    target: str = ""
    path: str = ""
    """A prefix, or a pattern with ``*`` and ``?``."""
    method: str = ""
    status: str = ""
    """``503``, ``5xx``, or a list of them with commas."""
    errors_only: bool = False
    min_duration_ms: float = 0.0

    def matches(self, request: TappedRequest) -> bool:
        """Whether a reader wants it."""
        return (
            (not self.namespace or self.namespace in _namespaces(request))
            and self.is_source(request.source)
            and self.is_target(request.target, request.service)
            and (not self.path or _path_matches(self.path, request.path))
            and (not self.method or self.method.upper() == request.method)
            and (not self.status or _status_matches(self.status, request))
            and (request.failed or not self.errors_only)
            and request.duration_ms >= self.min_duration_ms
        )

    def is_source(self, workload: WorkloadRef | None) -> bool:
        """Whether a reader wants what this workload calls."""
        return not self.source or self.source in _names(workload, None)

    def is_target(self, workload: WorkloadRef | None, service: ServiceRef | None) -> bool:
        """Whether a reader wants what calls this workload, by this service."""
        return not self.target or self.target in _names(workload, service)


class EdgeEnds(NamedTuple):
    """What requests are held together by."""

    source: WorkloadRef | None
    service: ServiceRef | None
    target: WorkloadRef | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TapState:
    """How the tap does."""

    requests: int
    last_ms: int
    """When the last request came; 0: never."""
    edges: int
    readers: int
    drops: Mapping[str, int]


class Tap:
    """Takes requests from any thread; is read in one loop."""

    def __init__(self, *, per_second: int = PER_SECOND, ring: int = RING, edges: int = EDGES) -> None:
        self._per_second = per_second
        self._ring = ring
        self._most_edges = edges
        self._lock = threading.Lock()
        self._feed: Feed[TappedRequest] = Feed()
        self._edges: OrderedDict[EdgeEnds, deque[TappedRequest]] = OrderedDict()
        self._told: OrderedDict[tuple[str, WorkloadRef | ServiceRef | None], Counter[str]] = OrderedDict()
        self._drops: Counter[TapDrop] = Counter()
        self._second = 0
        self._room = per_second
        self._requests = 0
        self._last_ms = 0

    @property
    def state(self) -> TapState:
        """How it is doing now."""
        with self._lock:
            drops = {reason.value: self._drops[reason] for reason in TapDrop}
            drops[TapDrop.READER_SLOW.value] = self._feed.missed
            return TapState(
                requests=self._requests,
                last_ms=self._last_ms,
                edges=len(self._edges),
                readers=self._feed.readers,
                drops=drops,
            )

    def room_for(self, count: int) -> int:
        """Return how many of *count* requests may be looked at now; the others are counted as dropped."""
        with self._lock:
            second = int(time.monotonic())
            if second != self._second:
                self._second, self._room = second, self._most()
            granted = min(count, self._room)
            self._room -= granted
            self._drops[TapDrop.TOO_MANY] += count - granted
            return granted

    def _most(self) -> int:
        return self._per_second if self._feed.readers else min(self._per_second, UNWATCHED_PER_SECOND)

    def unreadable(self, count: int = 1) -> None:
        """Count requests whose log cannot be understood."""
        with self._lock:
            self._drops[TapDrop.UNREADABLE] += count

    def record(self, requests: Iterable[TappedRequest]) -> None:
        """Take requests in: those that the tap had room for."""
        with self._lock:
            new = [one for one in requests if self._is_new(one) or self._names_caller(one)]
            for one in new:
                self._keep(one)
            self._requests += len(new)
            if new:
                self._last_ms = time.time_ns() // 1_000_000
        self._feed.publish(new)

    def recent(self, query: TapQuery, limit: int) -> Sequence[TappedRequest]:
        """Return the newest requests that match and are still held, ordered by time."""
        with self._lock:
            held = [one for ring in self._edges.values() for one in ring]
        found = sorted((one for one in held if query.matches(one)), key=lambda one: one.at_ns)
        return found[-limit:] if limit else []

    def watch(self, query: TapQuery) -> AsyncGenerator[Batch[TappedRequest], None]:
        """Yield requests as they come, from now on, with the number of those that the reader was too slow for."""
        return self._feed.read(query.matches)

    def _is_new(self, request: TappedRequest) -> bool:
        """Whether nobody has told of it: two proxies log one request, under one id."""
        if not request.request_id:
            return True
        key = (request.request_id, request.target or request.service)
        told = self._told.setdefault(key, Counter())
        told[request.reporter] += 1
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        # One id may stand for several calls, when a program passes it on: so the sides are counted against each other.
        return told[request.reporter] > sum(told.values()) - told[request.reporter]

    def _names_caller(self, request: TappedRequest) -> bool:
        """Whether it was told without its caller before, as the callee's proxy does that is first: then this replaces it."""
        nameless = EdgeEnds(None, request.service, request.target)
        ring = self._edges.get(nameless) if request.source else None
        told = next((one for one in ring or () if one.request_id == request.request_id), None)
        if ring is None or told is None:
            return False
        ring.remove(told)
        if not ring:
            del self._edges[nameless]
        self._requests -= 1
        return True

    def _keep(self, request: TappedRequest) -> None:
        ends = EdgeEnds(request.source, request.service, request.target)
        ring = self._edges.get(ends)
        if ring is None:
            if len(self._edges) >= self._most_edges:
                _, gone = self._edges.popitem(last=False)
                self._drops[TapDrop.EDGES_FULL] += len(gone)
            ring = self._edges[ends] = deque(maxlen=self._ring)
        else:
            self._edges.move_to_end(ends)
        ring.append(request)


def _names(workload: WorkloadRef | None, service: ServiceRef | None) -> frozenset[str]:
    names = {workload.workload, workload.app} if workload else set()
    if service:
        names |= {service.name, f"{service.name}.{service.namespace}"}
    if workload:
        names |= {f"{workload.workload}.{workload.namespace}", f"{workload.app}.{workload.namespace}"}
    return frozenset(names)


def _namespaces(request: TappedRequest) -> frozenset[str]:
    return frozenset(one.namespace for one in (request.source, request.service, request.target) if one)


def _path_matches(wanted: str, path: str) -> bool:
    return fnmatchcase(path, wanted) if "*" in wanted or "?" in wanted else path.startswith(wanted)


def _status_matches(wanted: str, request: TappedRequest) -> bool:
    return any(
        request.code == one or (one.lower().endswith("xx") and request.code.startswith(one[0]))
        for one in wanted.split(",")
        if one
    )
