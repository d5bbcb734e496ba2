"""Finding the two spans of one call: the caller's and the callee's, in whatever order they come. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from collectors.otlp.decode import CLIENT, CONSUMER, PRODUCER, SERVER, SpanRow

CALLERS = frozenset((CLIENT, PRODUCER))
CALLEES = frozenset((SERVER, CONSUMER))


class Call(NamedTuple):
    """One call as its two ends told it; an end that is ``None`` told nothing."""

    caller: SpanRow | None
    callee: SpanRow | None


class Pairing:
    """Holds spans until their other side comes, or for *wait_s* at least.

    A caller waits under its own span id, a callee under its parent's. Which of the two comes first makes no
    difference. Spans that need no other side (a database does not send any; a queue stands between producer and
    consumer; a root has no caller) do not wait.
    """

    def __init__(self, *, most: int, wait_s: int) -> None:
        self.refused = 0
        """Spans that were not held because *most* were held already."""
        self._most = most
        self._wait_s = wait_s
        self._waiting: dict[bytes, SpanRow] = {}
        self._slots: deque[tuple[int, list[tuple[bytes, SpanRow]]]] = deque()
        """Per second of arrival, what began to wait: so that expiry never searches."""

    @property
    def pending(self) -> int:
        """How many spans wait."""
        return len(self._waiting)

    def pair(self, spans: Iterable[SpanRow], now_s: int) -> Iterator[Call]:
        """Take spans in and yield the calls that they complete."""
        waiting = self._waiting
        for span in spans:
            kind = span.kind
            if kind in CALLERS:
                if stands_alone(span):
                    yield Call(span, None)
                    continue
                key = span.trace_id + span.span_id
                other = waiting.get(key)
                if other is not None and other.kind in CALLEES:
                    del waiting[key]
                    yield Call(span, other)
                    continue
            elif kind in CALLEES:
                if not span.parent_id or stands_alone(span):
                    yield Call(None, span)
                    continue
                key = span.trace_id + span.parent_id
                other = waiting.get(key)
                if other is not None and other.kind in CALLERS:
                    del waiting[key]
                    yield Call(other, span)
                    continue
            else:
                continue
            if other is None:
                self._wait(key, span, now_s)
            else:  # a retry's second callee, or a span sent twice: it has no other side of its own
                yield Call(span, None) if kind in CALLERS else Call(None, span)

    def expire(self, now_s: int) -> Iterator[Call]:
        """Yield what has waited long enough, one-sided."""
        while self._slots and self._slots[0][0] <= now_s - self._wait_s:
            _, slot = self._slots.popleft()
            for key, span in slot:
                if self._waiting.get(key) is span:
                    del self._waiting[key]
                    yield Call(span, None) if span.kind in CALLERS else Call(None, span)

    def _wait(self, key: bytes, span: SpanRow, now_s: int) -> None:
        if len(self._waiting) >= self._most:
            self.refused += 1
            return
        if not self._slots or self._slots[-1][0] < now_s:
            self._slots.append((now_s, []))
        self._slots[-1][1].append((key, span))
        self._waiting[key] = span


def stands_alone(span: SpanRow) -> bool:
    """Whether the span itself says who is on the other side, and nobody there will send one."""
    facts = span.facts
    if span.kind == CLIENT:
        return "db.system.name" in facts or "db.system" in facts
    return span.kind != SERVER and ("messaging.destination.name" in facts or "messaging.destination" in facts)
