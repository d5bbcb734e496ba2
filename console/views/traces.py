"""Traces: the list, and one as a waterfall."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from console.views import format as fmt
from console.views import links
from graph.ports import Span, TraceQuery, TraceSummary

RECENT_S = 8
"""So long the graph's usual window of 10 s holds a trace that has ended."""
READ_S = 3
"""So much later proxies have been asked for what they counted."""
COLORS = 8
"""How many colours the style sheet has for services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One trace of the list."""

    href: str
    name: str
    app: str
    at_ms: int
    duration: str
    share: float
    """Of the longest trace in the list."""
    spans: int
    errors: int
    apps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One span of the waterfall."""

    depth: int
    name: str
    app: str
    version: str
    kind: str
    color: int
    start: float
    width: float
    """Shares of the whole trace."""
    offset: str
    duration: str
    own: str
    """Time not spent in children."""
    error: bool
    status: str
    facts: tuple[tuple[str, str], ...]
    resource: tuple[tuple[str, str], ...]
    events: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]
    """When after the trace's start, name, attributes."""
    logs: str
    """Where the lines are that its workload wrote in this trace."""
    workload: str
    """Its workload's page; ``""``: not known."""
    led_by: tuple[str, ...]
    """Traces with spans that led to this one without being its parent, as messages do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """One trace."""

    trace_id: str
    title: str
    at_ms: int
    duration: str
    spans: int
    errors: int
    apps: tuple[tuple[str, int], ...]
    ticks: tuple[str, ...]
    bars: tuple[Bar, ...]
    graph: str
    """The graph of that moment, with its critical path."""


def query(parameters: Mapping[str, str]) -> TraceQuery:
    """Read the filters out of the address; what is not a number counts as absent."""
    peer_app, _, peer_version = parameters.get("peer", "").partition(" ")
    return TraceQuery(
        namespace=parameters.get("ns", ""),
        app=parameters.get("app", ""),
        version=parameters.get("version", ""),
        peer_app=peer_app,
        peer_version=peer_version.strip(),
        operation=parameters.get("operation", ""),
        tag=parameters.get("tag", ""),
        errors_only=parameters.get("errors") == "yes",
        min_duration_ms=_number(parameters.get("min", "")),
        limit=100,
    )


def _number(text: str) -> float:
    try:
        return max(0.0, min(float(text), 1e9))
    except ValueError:
        return 0.0


def rows(found: Sequence[TraceSummary]) -> tuple[Row, ...]:
    """The list, as the store gave it."""
    longest = max((item.duration_ns for item in found), default=1) or 1
    return tuple(
        Row(
            href=f"/traces/{item.trace_id}",
            name=item.root_name or "unnamed",
            app=item.root_app,
            at_ms=item.start_ns // 1_000_000,
            duration=fmt.nanoseconds(item.duration_ns),
            share=item.duration_ns / longest,
            spans=item.spans,
            errors=item.errors,
            apps=item.apps,
        )
        for item in found
    )


def waterfall(spans: Sequence[Span], now_ms: int) -> Waterfall:
    """Order spans as a tree; a span whose parent is not here is a root."""
    began = min(span.start_ns for span in spans)
    ended = max(span.end_ns for span in spans)
    whole = max(1, ended - began)
    colors = {app: number % COLORS for number, app in enumerate(dict.fromkeys(span.app for span in spans))}
    children = _children(spans)
    bars = tuple(
        _bar(span, depth, children[span.span_id], whole=(began, ended), color=colors[span.app])
        for span, depth in _walk(children, spans)
    )
    root = bars[0]
    return Waterfall(
        trace_id=spans[0].trace_id,
        title=f"{root.app}: {root.name}",
        at_ms=began // 1_000_000,
        duration=fmt.nanoseconds(whole),
        spans=len(spans),
        errors=sum(span.error for span in spans),
        apps=tuple(colors.items()),
        ticks=tuple(fmt.nanoseconds(whole * quarter // 4) for quarter in range(5)),
        bars=bars,
        graph=links.on_graph(spans[0].trace_id, _moment(ended // 1_000_000, now_ms)),
    )


def _moment(ended_ms: int, now_ms: int) -> int:
    """When the graph has a trace's requests in its window; 0: it has them now."""
    return 0 if now_ms - ended_ms < 1000 * RECENT_S else ended_ms + 1000 * READ_S


def _children(spans: Sequence[Span]) -> Mapping[str, list[Span]]:
    known = {span.span_id for span in spans}
    children: defaultdict[str, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.start_ns):
        lost = span.parent_id not in known or span.parent_id == span.span_id
        children["" if lost else span.parent_id].append(span)
    return children


def _walk(children: Mapping[str, list[Span]], spans: Sequence[Span]) -> Iterator[tuple[Span, int]]:
    """Depth first, every span once; those that senders made a circle of follow as if they were roots."""
    seen: set[str] = set()
    for root in (*children[""], *spans):
        todo = [(root, 0)]
        while todo:
            span, depth = todo.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            yield span, depth
            todo += [(child, depth + 1) for child in reversed(children[span.span_id])]


def _bar(span: Span, depth: int, children: Sequence[Span], *, whole: tuple[int, int], color: int) -> Bar:
    began, span_ns = whole[0], max(1, whole[1] - whole[0])
    length = span.end_ns - span.start_ns
    return Bar(
        depth=depth,
        name=span.name,
        app=span.app,
        version=span.version,
        kind=span.kind,
        color=color,
        start=(span.start_ns - began) / span_ns,
        width=max(length / span_ns, 0.002),
        offset=fmt.nanoseconds(span.start_ns - began),
        duration=fmt.nanoseconds(length),
        own=fmt.nanoseconds(max(0, length - _covered(span, children))),
        error=span.error,
        status=span.status_message,
        facts=tuple(sorted(span.attributes.items())),
        resource=tuple(sorted(span.resource.items())),
        events=tuple(
            (fmt.nanoseconds(at - began), name, tuple(sorted(attributes.items())))
            for at, name, attributes in span.events
        ),
        logs=links.logs(trace=span.trace_id, namespace=span.namespace, workload=span.workload),
        workload=links.workload(span.namespace, span.workload) if span.workload else "",
        led_by=tuple(dict.fromkeys(trace for trace, _ in span.links if trace != span.trace_id)),
    )


def _covered(span: Span, children: Sequence[Span]) -> int:
    """How much of a span its children cover, overlaps once."""
    covered, reached = 0, span.start_ns
    for child in children:
        start, end = max(child.start_ns, reached), min(child.end_ns, span.end_ns)
        if end > start:
            covered += end - start
            reached = end
    return covered
