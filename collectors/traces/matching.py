"""Which spans of a part fulfil every condition of a search, each span judged by itself. Pure.

:func:`matches` says the same of spans that are already decoded, for stores that cannot be asked as exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.traces.columns import FAILED
from collectors.traces.parts import KINDS, Owner, Part
from collectors.traces.tokens import Tag, app_token, namespace_token, operation_token, tag_tokens
from graph.ports import Span, TraceQuery

Array = NDArray[Any]
LATEST_NS = 2**64 - 1
NOWHERE = np.zeros(0, np.int64)
PEER_ATTRIBUTES = {
    "db": ("db.system.name", "db.system"),
    "queue": ("messaging.destination.name", "messaging.destination"),
    "ext": ("service.peer.name", "peer.service", "server.address", "net.peer.name"),
}


def tags_of(query: TraceQuery) -> tuple[Tag, ...]:
    """Say which tags one span must have, all of them."""
    return tuple(Tag.of(text) for text in (query.tag, *query.tags) if text)


def peer_tags(peer_app: str) -> tuple[Tag, ...]:
    """Say which tags, any of them, a call to somebody without spans has; none when the peer sends its own."""
    kind, prefixed, name = peer_app.partition(":")
    if not prefixed or kind not in PEER_ATTRIBUTES:
        return ()
    return tuple(Tag(key, name.partition("@")[0]) for key in PEER_ATTRIBUTES[kind])


def hits(part: Part, query: TraceQuery) -> Array:
    """Find the rows of a part's spans that fulfil everything but what is said of the peer."""
    if not _worth_reading(part, query):
        return NOWHERE
    rows = np.arange(part.summary.spans)
    for condition in _conditions(part, query):
        rows = rows[condition()[rows]]
        if not rows.size:
            break
    return rows


def _worth_reading(part: Part, query: TraceQuery) -> bool:
    about = part.summary
    since_ns, until_ns = window_ns(query)
    if (
        about.to_ns < since_ns
        or about.from_ns > until_ns
        or about.longest_ns < query.min_duration_ms * 1e6
        or (query.errors_only and not about.errors)
    ):
        return False
    needed = [(app_token(query.app),)] if query.app else []
    needed += [(namespace_token(query.namespace),)] if query.namespace else []
    needed += [(operation_token(query.operation.encode()),)] if query.operation else []
    return all(part.may_have(tokens) for tokens in (*needed, *map(tag_tokens, tags_of(query))))


def window_ns(query: TraceQuery) -> tuple[int, int]:
    """First and last instant at which a span may start."""
    until_ns = query.until_ms * 1_000_000 if query.until_ms else LATEST_NS
    return min(query.since_ms * 1_000_000, LATEST_NS), min(until_ns, LATEST_NS)


def _conditions(part: Part, query: TraceQuery) -> Iterator[Callable[[], Array]]:
    """Yield what each restriction says of every span, the cheapest first."""
    if query.namespace or query.app or query.version:
        yield lambda: of_owners(part, lambda owner: _is_of(query, owner))
    if query.operation:
        yield lambda: part.column("name") == _row(part, query.operation)
    if query.errors_only:
        yield lambda: part.column("kind") & FAILED > 0
    if query.kind:
        yield lambda: np.isin(part.column("kind") & 7, [n for n, kind in enumerate(KINDS) if kind == query.kind])
    since_ns, until_ns = window_ns(query)
    if part.summary.from_ns < since_ns or part.summary.to_ns > until_ns:
        yield lambda: _within(part.column("start"), since_ns, until_ns)
    if query.min_duration_ms or query.max_duration_ms:
        longest_ns = query.max_duration_ms * 1e6 if query.max_duration_ms else LATEST_NS
        yield lambda: _within(part.column("duration"), query.min_duration_ms * 1e6, longest_ns)
    for tag in tags_of(query):
        yield partial(tagged, part, tag)


def _within(column: Array, least: float, most: float) -> Array:
    inside: Array = (column >= least) & (column <= most)
    return inside


def _row(part: Part, operation: str) -> int:
    row = part.find("names", operation.encode())
    return -1 if row is None else row


def _is_of(query: TraceQuery, owner: Owner) -> bool:
    who = owner.workload
    return query.namespace in {"", who.namespace} and query.app in {"", who.app} and query.version in {"", who.version}


def of_owners(part: Part, wanted: Callable[[Owner], bool]) -> Array:
    """Say of every span whether its sender is wanted."""
    chosen = np.fromiter(map(wanted, part.owners), np.bool_, len(part.owners))
    spans: Array = chosen[part.column("owner")]
    return spans


def tagged(part: Part, tag: Tag) -> Array:
    """Say of every span whether it, or its resource, has the tag."""
    found = of_owners(part, lambda owner: _has(owner.attributes, tag))
    rows = part.tag_rows(tag)
    if rows.size:
        attributes = part.column("attribute")
        where = np.flatnonzero(attributes == rows[0] if rows.size == 1 else np.isin(attributes, rows))
        found[np.searchsorted(np.cumsum(part.column("count"), dtype=np.int64), where, "right")] = True
    return found


def _has(attributes: Any, tag: Tag) -> bool:
    return tag.key in attributes and (tag.value is None or attributes[tag.key] == tag.value)


def matches(query: TraceQuery, spans: Sequence[Span]) -> bool:
    """Whether a trace has a span that fulfils every condition, and calls the peer that is asked for."""
    return any(_matches(query, span) for span in spans) and (not query.peer_app or _calls_peer(query, spans))


def _matches(query: TraceQuery, span: Span) -> bool:
    took_ms = (span.end_ns - span.start_ns) / 1e6
    since_ns, until_ns = window_ns(query)
    return (
        _is_from(query, span)
        and query.operation in {"", span.name}
        and query.kind in {"", span.kind}
        and (span.error or not query.errors_only)
        and since_ns <= span.start_ns <= until_ns
        and query.min_duration_ms <= took_ms
        and (not query.max_duration_ms or took_ms <= query.max_duration_ms)
        and all(_has(span.attributes, tag) or _has(span.resource, tag) for tag in tags_of(query))
    )


def _is_from(query: TraceQuery, span: Span) -> bool:
    return (
        query.namespace in {"", span.namespace} and query.app in {"", span.app} and query.version in {"", span.version}
    )


def _calls_peer(query: TraceQuery, spans: Sequence[Span]) -> bool:
    """Whether a span of the app has the peer below it, or says in its attributes that it calls it."""
    if tags := peer_tags(query.peer_app):
        return any(_is_from(query, span) and any(_has(span.attributes, tag) for tag in tags) for span in spans)
    by_id = {span.span_id: span for span in spans}
    callees = (span for span in spans if span.app == query.peer_app and query.peer_version in {"", span.version})
    return any(
        (caller := by_id.get(callee.parent_id)) is not None and caller.app != callee.app and _is_from(query, caller)
        for callee in callees
    )
