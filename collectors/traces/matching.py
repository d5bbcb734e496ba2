"""Whether a trace is what a user searches for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from graph.ports import Span, TraceQuery

PEER_ATTRIBUTES = {
    "db": ("db.system.name", "db.system"),
    "queue": ("messaging.destination.name", "messaging.destination"),
    "ext": ("service.peer.name", "peer.service", "server.address", "net.peer.name"),
}


def needs_spans(query: TraceQuery) -> bool:
    """Whether the sums of the index cannot answer: all conditions must hold for one and the same span."""
    return bool(
        query.operation
        or query.tag
        or query.max_duration_ms
        or query.peer_app
        or (query.errors_only and query.min_duration_ms)
    )


def matches(query: TraceQuery, spans: Sequence[Span]) -> bool:
    """Whether a trace has a span that fulfils every condition, and calls the peer that is asked for."""
    return any(_matches(query, span) for span in spans) and (not query.peer_app or _calls_peer(query, spans))


def _matches(query: TraceQuery, span: Span) -> bool:
    took_ms = (span.end_ns - span.start_ns) / 1e6
    return (
        _is_of(query, span)
        and query.operation in {"", span.name}
        and (span.error or not query.errors_only)
        and query.min_duration_ms <= took_ms
        and (not query.max_duration_ms or took_ms <= query.max_duration_ms)
        and (not query.tag or _has_tag(span, query.tag))
    )


def _is_of(query: TraceQuery, span: Span) -> bool:
    return (
        query.namespace in {"", span.namespace} and query.app in {"", span.app} and query.version in {"", span.version}
    )


def _has_tag(span: Span, tag: str) -> bool:
    key, valued, value = tag.partition("=")
    return any(key in where and (not valued or where[key] == value) for where in (span.attributes, span.resource))


def _calls_peer(query: TraceQuery, spans: Sequence[Span]) -> bool:
    """Whether a span of the app has the peer below it, or says in its attributes that it calls it."""
    kind, prefixed, name = query.peer_app.partition(":")
    if prefixed and kind in PEER_ATTRIBUTES:
        wanted = name.partition("@")[0]
        return any(
            _is_of(query, span) and any(span.attributes.get(key) == wanted for key in PEER_ATTRIBUTES[kind])
            for span in spans
        )
    by_id = {span.span_id: span for span in spans}
    callees = (span for span in spans if span.app == query.peer_app and query.peer_version in {"", span.version})
    return any(
        (caller := by_id.get(callee.parent_id)) is not None and caller.app != callee.app and _is_of(query, caller)
        for callee in callees
    )
