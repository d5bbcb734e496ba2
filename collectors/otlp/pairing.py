"""Finding the two spans of one call: the caller's and the callee's, in whatever order they come. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from collectors.otlp.decode import SpanRow
from collectors.otlp.told import CLIENT, CONSUMER, PRODUCER, SERVER

OWN = b"<"
"""Ends the key of a span that no other one waits for, so that it cannot be taken for a caller's."""
NO_CALLEE = b""


class Call(NamedTuple):
    """One call as its two ends told it; an end that is ``None`` told nothing.

    A producer and a consumer together are what was consumed: where they name a queue, the producer's own way into it
    is a call of its own.
    """

    caller: SpanRow | None
    callee: SpanRow | None
    spans: int
    """How many spans are accounted for by this."""


class Source(NamedTuple):
    """A producer that is counted, and stays for its consumers."""

    producer: SpanRow


Seen = SpanRow | Source | bytes
"""Under a caller's key: a span that waits; or a producer; or, of a call that is counted, its callee's span id."""


class Pairing:
    """Holds spans until their other side comes, or for *wait_s* at least, and knows as long again what was counted.

    A caller waits under its own span id, a callee under its parent's, a consumer under that of the message it is
    linked to. Which of the two comes first makes no difference. Spans that need no other side (a database does not
    send any; a root has no caller) do not wait. A span that comes twice within that time is counted once.
    """

    def __init__(self, *, most: int, wait_s: int, remembered: int = 400_000) -> None:
        self.refused = 0
        """Spans that were not held because *most* were held already."""
        self.internal = 0
        """Spans that are no side of a call."""
        self.duplicates = 0
        """Spans that had come before."""
        self.unremembered = 0
        """Calls that would not be recognised if they came again, because *remembered* are known already."""
        self.pending = 0
        """How many spans wait."""
        self._most = most
        self._wait_s = wait_s
        self._remembered = remembered
        self._seen: dict[bytes, Seen] = {}
        self._slots: deque[tuple[int, list[bytes]]] = deque()
        """Per second of arrival, the keys of what came first: so that expiry never searches."""
        self._expired: deque[tuple[int, list[bytes]]] = deque()
        """Slots in which nothing waits any more."""
        self._slot: list[bytes] = []
        self._slot_s = -1

    def pair(self, spans: Iterable[SpanRow], now_s: int) -> Iterator[Call]:
        """Take spans in and yield the calls that they complete."""
        if now_s != self._slot_s:
            self._slot, self._slot_s = [], now_s
            self._slots.append((now_s, self._slot))
        seen, call = self._seen, tuple.__new__
        for span in spans:
            kind, trace_id = span[3], span[0]
            if kind == CLIENT:
                key = trace_id + span[1]
                other = seen.get(key)
                if other is None:
                    if span[7].system:
                        self._remember(key)
                        yield Call(span, None, 1)
                    else:
                        self._wait(key, span)
                elif type(other) is SpanRow and other[3] == SERVER:
                    self._settle(key, other[1])
                    yield call(Call, (span, other, 2))
                else:
                    yield from self._called(key, other, span)
            elif kind == SERVER:
                parent_id = span[2]
                if not parent_id:
                    yield from self._alone(span)
                    continue
                key = trace_id + parent_id
                other = seen.get(key)
                if other is None:
                    self._wait(key, span)
                elif type(other) is SpanRow and other[3] == CLIENT:
                    self._settle(key, span[1])
                    yield call(Call, (other, span, 2))
                else:
                    yield from self._second(key, other, span)
            elif kind == PRODUCER:
                yield from self._produced(span)
            elif kind == CONSUMER:
                yield from self._consumed(span)
            else:
                self.internal += 1

    def expire(self, now_s: int) -> Iterator[Call]:
        """Yield what has waited long enough, one-sided; forget what was counted as long before that."""
        seen = self._seen
        while self._slots and self._slots[0][0] <= now_s - self._wait_s:
            began_s, keys = self._slots.popleft()
            for key in keys:
                waiting = seen.get(key)
                if type(waiting) is not SpanRow:
                    continue
                self.pending -= 1
                if waiting.kind == CLIENT:
                    seen[key] = NO_CALLEE
                else:
                    del seen[key]
                yield Call(waiting, None, 1) if waiting.kind in {CLIENT, PRODUCER} else Call(None, waiting, 1)
            self._expired.append((began_s, [key for key in keys if key in seen]))
        while self._expired and self._expired[0][0] <= now_s - 2 * self._wait_s:
            for key in self._expired.popleft()[1]:
                if type(seen.get(key)) is not SpanRow:  # else one that came after the first was forgotten
                    seen.pop(key, None)

    def _alone(self, span: SpanRow) -> Iterator[Call]:
        """Count a root once."""
        if self._first(span):
            yield Call(None, span, 1)

    def _called(self, key: bytes, other: Seen, span: SpanRow) -> Iterator[Call]:
        """Take a caller that came before, unless only a consumer waits under its id: that one waits for a producer."""
        if isinstance(other, SpanRow) and other.kind == CONSUMER:
            self.pending -= 1
            yield Call(None, other, 1)
            self._wait(key, span)
        else:
            self.duplicates += 1

    def _second(self, key: bytes, other: Seen, span: SpanRow) -> Iterator[Call]:
        """Take a callee whose caller has another one (a retry's, or it is sent twice), or produces and does not call."""
        if isinstance(other, Source):
            if self._first(span):
                yield Call(other.producer, span, 1)
            return
        if isinstance(other, SpanRow) and other.kind == PRODUCER:
            yield from self._delivered(key, other, span)
            return
        answered = other if isinstance(other, bytes) else other.span_id
        if span.span_id == answered:
            self.duplicates += 1
        elif self._first(span):
            yield Call(None, span, 1)

    def _produced(self, span: SpanRow) -> Iterator[Call]:
        key = span.trace_id + span.span_id
        other = self._seen.get(key)
        if other is None and not span.told.queue:
            self._wait(key, span)
        elif other is None:
            self._remember(key, Source(span))
            yield Call(span, None, 1)
        elif isinstance(other, SpanRow) and other.kind in {CONSUMER, SERVER}:
            yield from self._delivered(key, span, other)
        else:
            self.duplicates += 1

    def _consumed(self, span: SpanRow) -> Iterator[Call]:
        """Find what a consumer consumes by its links, else by its parent."""
        if not self._first(span):
            return
        keys = span.links or ((span.trace_id + span.parent_id,) if span.parent_id else ())
        for key in keys:
            other = self._seen.get(key)
            if isinstance(other, Source):
                yield Call(other.producer, span, 1)
                return
            if isinstance(other, SpanRow) and other.kind == PRODUCER:
                yield from self._delivered(key, other, span)
                return
        if keys and keys[0] not in self._seen:
            self._wait(keys[0], span)
        else:
            yield Call(None, span, 1)

    def _delivered(self, key: bytes, producer: SpanRow, consumer: SpanRow) -> Iterator[Call]:
        """Pair a producer that is not counted yet with whom it reached; one of the two has waited."""
        self.pending -= 1
        self._seen[key] = Source(producer)
        queue = producer.told.queue or consumer.told.queue
        if queue:
            told = producer.told if producer.told.queue else replace(producer.told, queue=queue)
            yield Call(producer._replace(told=told), None, 1)
        yield Call(producer, consumer, 1 if queue else 2)

    def _first(self, span: SpanRow) -> bool:
        """Whether a span that nobody waits for comes for the first time."""
        key = span.trace_id + span.span_id + OWN
        if key in self._seen:
            self.duplicates += 1
            return False
        self._remember(key)
        return True

    def _settle(self, key: bytes, callee: bytes) -> None:
        """Mark a call as counted, one side of which has waited."""
        self.pending -= 1
        if len(self._seen) - self.pending <= self._remembered:
            self._seen[key] = callee
        else:
            self.unremembered += 1
            del self._seen[key]

    def _remember(self, key: bytes, what: Seen = NO_CALLEE) -> None:
        if len(self._seen) - self.pending >= self._remembered:
            self.unremembered += 1
        else:
            self._seen[key] = what
            self._slot.append(key)

    def _wait(self, key: bytes, span: SpanRow) -> None:
        if self.pending >= self._most:
            self.refused += 1
            return
        self.pending += 1
        self._slot.append(key)
        self._seen[key] = span
