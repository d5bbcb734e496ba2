"""What the API answers about traces."""

from __future__ import annotations

from console.web.answers.shape import Answer, Plain
from graph.ports import TraceStoreState


class TraceLine(Answer):
    """One line of a list of traces."""

    trace_id: str
    name: str
    app: str
    start: str
    duration_ms: float
    spans: int
    errors: int
    apps: list[str]


class Traces(Plain):
    """Traces, newest first."""

    items: list[TraceLine]
    store: TraceStoreState


class Link(Answer):
    """A span that led to another one without being its parent."""

    trace_id: str
    span_id: str


class SpanEvent(Answer):
    """What happened within a span."""

    at_ns: str
    name: str
    attributes: dict[str, str]


class Span(Answer):
    """One span; nanoseconds are text, since JSON's numbers do not hold them."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start_ns: str
    end_ns: str
    error: bool
    status_message: str
    cluster: str
    namespace: str
    workload: str
    app: str
    version: str
    attributes: dict[str, str]
    resource: dict[str, str]
    scope: str
    links: list[Link]
    events: list[SpanEvent]


class Trace(Answer):
    """All spans of a trace, by their start."""

    trace_id: str
    spans: list[Span]
