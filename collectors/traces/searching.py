"""Searching parts, newest first, and putting back together what is found."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.trace.v1 import trace_pb2

from collectors.otlp import wire
from collectors.traces.blockfile import DamagedError
from collectors.traces.columns import FAILED
from collectors.traces.matching import hits, of_owners, peer_tags, window_ns
from collectors.traces.parts import KINDS, Part
from collectors.traces.tokens import Tag
from graph.ports import Dependency, Span, TraceQuery, TraceSummary

Array = NDArray[Any]
T = TypeVar("T")
SEARCH_S = 5.0
MOST_TRACE_SPANS = 50_000
MOST_JOINED = 4_000_000
"""Callers that are held in memory while who calls whom is found out."""
ODD = np.uint64(0x9E3779B97F4A7C15)


class Line(NamedTuple):
    """What a list shows of a span."""

    start_ns: int
    end_ns: int
    root: bool
    failed: bool
    app: str
    name: str


@dataclass(frozen=True, slots=True)
class Search:
    """One question to the parts of a store, the newest first."""

    parts: Sequence[Part]
    damaged: Callable[[Part, DamagedError], None]
    """Told of each part that cannot be read; the others answer without it."""

    def found(self, query: TraceQuery) -> list[TraceSummary]:
        """Find traces, newest first; after five seconds with what there is until then."""
        until = time.monotonic() + SEARCH_S
        calling = self._calling(query, until) if query.peer_app else None
        newest: dict[bytes, int] = {}
        for part in self.parts:
            if len(newest) >= query.limit and part.summary.to_ns < heapq.nlargest(query.limit, newest.values())[-1]:
                continue
            for trace_id, start in self._try(part, partial(_newest, part, query, calling)) or ():
                newest[trace_id] = max(start, newest.get(trace_id, 0))
            if time.monotonic() > until:
                break
        best = heapq.nlargest(query.limit, newest, key=newest.__getitem__)
        return sorted(self._summaries(best), key=lambda one: -one.start_ns)

    def trace(self, trace_id: bytes) -> list[Span]:
        """All spans of a trace ordered by start, each once: a sender that got no answer sends again."""
        found: dict[str, Span] = {}
        for part in self.parts:
            for span in self._try(part, partial(_spans, part, trace_id)) or ():
                found[span.span_id] = span
                if len(found) >= MOST_TRACE_SPANS:
                    break
        return sorted(found.values(), key=lambda span: (span.start_ns, -span.end_ns))

    def dependencies(self, since_ms: int, until_ms: int) -> list[Dependency]:
        """Count who called whom, by spans whose parent is a span of another app."""
        window = TraceQuery(since_ms=since_ms, until_ms=until_ms)
        joined, apps = _Calls(), dict[str, int]()
        for part in self.parts:
            if joined.callers < MOST_JOINED and _overlaps(part, window):
                self._try(part, partial(joined.add_all, part, window, apps))
        names = list(apps)
        return [Dependency(names[a], names[b], count) for (a, b), count in joined.between() if a != b]

    def _try(self, part: Part, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except DamagedError as trouble:
            self.damaged(part, trouble)
            return None

    def _calling(self, query: TraceQuery, until: float) -> Array:
        """Find the traces in which the app calls the peer, as :func:`_trace_keys`."""
        tags = peer_tags(query.peer_app)
        joined = _Calls()
        for part in self.parts:
            if not _overlaps(part, query) or time.monotonic() > until or joined.callers > MOST_JOINED:
                continue
            if tags:
                self._try(part, partial(joined.add_told, part, query, tags))
            else:
                self._try(part, partial(joined.add_pairs, part, query))
        return joined.traces()

    def _summaries(self, ids: Sequence[bytes]) -> Iterator[TraceSummary]:
        lines: dict[bytes, dict[int, Line]] = {one: {} for one in ids}
        for part in self.parts if ids else ():
            for trace_id, span_id, line in self._try(part, partial(_lines, part, ids)) or ():
                lines[trace_id][span_id] = line
        for trace_id, spans in lines.items():
            if spans:
                yield summary(trace_id.hex(), list(spans.values()))


def summary(trace_id: str, spans: Sequence[Line]) -> TraceSummary:
    """Sum a trace up; its name is that of its root, else of the span that started first."""
    ordered = sorted(spans)
    first = next((span for span in ordered if span.root), ordered[0])
    return TraceSummary(
        trace_id=trace_id,
        root_name=first.name,
        root_app=first.app,
        start_ns=ordered[0].start_ns,
        duration_ns=max(span.end_ns for span in ordered) - ordered[0].start_ns,
        spans=len(ordered),
        errors=sum(span.failed for span in ordered),
        apps=tuple(dict.fromkeys(span.app for span in ordered)),
    )


def _overlaps(part: Part, query: TraceQuery) -> bool:
    since_ns, until_ns = window_ns(query)
    return part.summary.to_ns >= since_ns and part.summary.from_ns <= until_ns


def _newest(part: Part, query: TraceQuery, calling: Array | None) -> list[tuple[bytes, int]]:
    """Find a part's traces with a span that is searched for, with the newest such span's start."""
    rows = hits(part, query)
    if not rows.size:
        return []
    traces = part.column("trace")[rows]
    if calling is not None:
        kept = np.isin(_trace_keys(part), calling)[traces]
        rows, traces = rows[kept], traces[kept]
    start = part.column("start")[rows]
    order = np.argsort(start, kind="stable")[::-1]
    _, first = np.unique(traces[order], return_index=True)
    chosen = order[np.sort(first)[: query.limit]]
    ids = np.ascontiguousarray(part.trace_ids()[traces[chosen]]).tobytes()
    return [(ids[16 * n : 16 * n + 16], int(at)) for n, at in enumerate(start[chosen])]


def _rows_of(part: Part, ids: Sequence[bytes]) -> Array:
    """Find the rows of the spans of some traces."""
    known = part.trace_rows(ids)
    if not known:
        return np.zeros(0, np.int64)
    wanted = np.zeros(len(part.trace_ids()), np.bool_)
    wanted[known] = True
    return np.flatnonzero(wanted[part.column("trace")])


def _lines(part: Part, ids: Sequence[bytes]) -> list[tuple[bytes, int, Line]]:
    rows = _rows_of(part, ids)
    if not rows.size:
        return []
    traces = np.ascontiguousarray(part.trace_ids()[part.column("trace")[rows]]).tobytes()
    columns = ("span", "parent", "owner", "name", "kind", "start", "duration")
    numbers = zip(*(part.column(name)[rows].tolist() for name in columns), strict=True)
    found = []
    for at, (span, parent, owner, name, kind, start, took) in enumerate(numbers):
        app, named = part.owner(owner).workload.app, part.string("names", name).decode(errors="replace")
        line = Line(start, start + took, not parent, bool(kind & FAILED), app, named)
        found.append((traces[16 * at : 16 * at + 16], span, line))
    return found


def _spans(part: Part, trace_id: bytes) -> list[Span]:
    rows = _rows_of(part, [trace_id])[:MOST_TRACE_SPANS]
    if not rows.size:
        return []
    columns = ("span", "parent", "owner", "name", "kind", "start", "duration", "rest", "count")
    ends = np.cumsum(part.column("count"), dtype=np.int64)[rows].tolist()
    attributes = part.column("attribute")
    numbers = zip(*(part.column(name)[rows].tolist() for name in columns), strict=True)
    found = []
    for end, (span, parent, owner, name, kind, start, took, rest, count) in zip(ends, numbers, strict=True):
        who = part.owner(owner)
        more = _rest(part.string("rests", rest))
        encoded = [part.string("attributes", row) for row in attributes[end - count : end].tolist()]
        found.append(
            Span(
                trace_id=trace_id.hex(),
                span_id=_hex(span),
                parent_id=_hex(parent) if parent else "",
                name=part.string("names", name).decode(errors="replace"),
                kind=KINDS[kind & 7],
                start_ns=start,
                end_ns=start + took,
                error=bool(kind & FAILED),
                status_message=more.status.message,
                cluster=who.workload.cluster,
                namespace=who.workload.namespace,
                workload=who.workload.workload,
                app=who.workload.app,
                version=who.workload.version,
                attributes=wire.attributes(encoded),
                resource=who.attributes,
                events=tuple((one.time_unix_nano, one.name, _texts(one.attributes)) for one in more.events),
                links=tuple((one.trace_id.hex(), one.span_id.hex()) for one in more.links),
                scope=who.scope,
            )
        )
    return found


def _hex(number: int) -> str:
    return number.to_bytes(8, "little").hex()


def _texts(attributes: Any) -> Mapping[str, str]:
    return {pair.key: wire.text(pair.value) for pair in attributes}


def _rest(encoded: bytes) -> Any:
    """Decode the rare fields; of what is malformed, as much as can be read."""
    try:
        return trace_pb2.Span.FromString(encoded)
    except DecodeError:
        return trace_pb2.Span()


def _trace_keys(part: Part) -> Array:
    """Stand for each trace by one number."""
    ids = part.trace_ids()
    return ids[:, 1] ^ (ids[:, 0] * ODD)


def _span_keys(part: Part, column: str) -> Array:
    """Stand for each span, or its parent, by one number; ids of spans are unique within their trace only."""
    return part.column(column).astype(np.uint64) ^ (_trace_keys(part) * ODD)[part.column("trace")]


class _Calls:
    """Spans as callers and callees, joined across parts."""

    def __init__(self) -> None:
        self.callers = 0
        self._callers: list[Array] = []
        self._caller_apps: list[Array] = []
        self._parents: list[Array] = []
        self._callee_apps: list[Array] = []
        self._traces: list[Array] = []
        self._told: list[Array] = []

    def add_told(self, part: Part, query: TraceQuery, tags: Sequence[Tag]) -> None:
        """Take in calls that the caller's attributes tell."""
        for tag in tags:
            told = f"{tag.key}={tag.value}"
            rows = hits(part, TraceQuery(namespace=query.namespace, app=query.app, version=query.version, tag=told))
            if rows.size:
                self._told.append(_trace_keys(part)[np.unique(part.column("trace")[rows])])

    def add_pairs(self, part: Part, query: TraceQuery) -> None:
        """Take in spans of the app as callers, and those of the peer as callees."""
        calling = hits(part, TraceQuery(namespace=query.namespace, app=query.app, version=query.version))
        if calling.size:
            other = of_owners(part, lambda owner: owner.workload.app != query.peer_app)
            self._callers.append(_span_keys(part, "span")[calling[other[calling]]])
            self.callers += len(self._callers[-1])
        called = hits(part, TraceQuery(app=query.peer_app, version=query.peer_version))
        if called.size:
            self._parents.append(_span_keys(part, "parent")[called])
            self._traces.append(_trace_keys(part)[part.column("trace")[called]])

    def add_all(self, part: Part, window: TraceQuery, apps: dict[str, int]) -> None:
        """Take in every span as both, by the number of its app."""
        rows = hits(part, window)
        numbers = np.array([apps.setdefault(owner.workload.app, len(apps)) for owner in part.owners], np.int64)
        of = numbers[part.column("owner")]
        self._callers.append(_span_keys(part, "span"))
        self._caller_apps.append(of)
        self._parents.append(_span_keys(part, "parent")[rows])
        self._callee_apps.append(of[rows])
        self.callers += len(of)

    def traces(self) -> Array:
        """Tell in which traces there is a call, as :func:`_trace_keys`."""
        found = list(self._told)
        if self._parents and self._callers:
            called = np.isin(np.concatenate(self._parents), np.concatenate(self._callers))
            found.append(np.concatenate(self._traces)[called])
        return np.concatenate(found) if found else np.zeros(0, np.uint64)

    def between(self) -> list[tuple[tuple[int, int], int]]:
        """Count calls by the numbers of both apps."""
        if not self._callers or not self._parents:
            return []
        callers, caller_apps = np.concatenate(self._callers), np.concatenate(self._caller_apps)
        parents, callee_apps = np.concatenate(self._parents), np.concatenate(self._callee_apps)
        order = np.argsort(callers)
        at = np.minimum(np.searchsorted(callers, parents, sorter=order), len(callers) - 1)
        known = callers[order[at]] == parents
        pairs = zip(caller_apps[order[at]][known].tolist(), callee_apps[known].tolist(), strict=True)
        return sorted(Counter(pairs).items())
