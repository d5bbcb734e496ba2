"""The columns of a ledger: the kinds of counters that a series may have."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from graph.model import Counters, Histogram, Outcome, Protocol


class Field(StrEnum):
    """Counters that every edge may have once."""

    SENT = "sent"
    RECEIVED = "received"
    OPENED = "opened"
    CLOSED = "closed"
    LATENCY = "latency"
    """The sum of all sampled latencies, in milliseconds."""
    REQUEST_MESSAGES = "request_messages"
    RESPONSE_MESSAGES = "response_messages"
    REQUEST_BYTES = "request_bytes"
    RESPONSE_BYTES = "response_bytes"


class Requests(NamedTuple):
    """Requests with one outcome."""

    protocol: Protocol
    outcome: Outcome


class Bucket(NamedTuple):
    """Samples whose latency lies in ``(low, high]``."""

    low: float
    high: float


Column = Field | Requests | Bucket

FIELDS = tuple(Field)
"""The first columns of every ledger."""

LATENCY = FIELDS.index(Field.LATENCY)

TCP = LATENCY
"""So many columns, the first ones, are counters of TCP."""

Flat = list[tuple[int, float]]
"""Counters that are not zero, each with its column's number."""


class Numbering:
    """Numbers columns as they are met, and lays the counters of a reading out by these numbers."""

    def __init__(self) -> None:
        self.columns: list[Column] = list(FIELDS)
        self._outcomes: dict[Protocol, dict[Outcome, int]] = {protocol: {} for protocol in Protocol}
        self._buckets: dict[Bucket, int] = {}
        self._layouts: dict[tuple[float, ...], tuple[int, ...]] = {}
        """Per histogram's bounds the columns of its buckets."""

    def flat(self, protocol: Protocol, counters: Counters) -> Flat:
        """Every counter that is not zero, by column number."""
        numbers = self._outcomes[protocol]
        flat: Flat = []
        for outcome, value in counters.requests.items():
            if value:
                column = numbers.get(outcome)
                if column is None:
                    column = numbers[outcome] = self._number(Requests(protocol, outcome))
                flat.append((column, value))
        latency = counters.latency_ms
        sampled = latency is not None and latency.counts[-1]
        fields = (
            counters.sent_bytes,
            counters.received_bytes,
            counters.opened,
            counters.closed,
            latency.total if latency is not None and sampled else 0.0,
            counters.request_messages,
            counters.response_messages,
            counters.request_bytes,
            counters.response_bytes,
        )
        flat += [(column, value) for column, value in enumerate(fields) if value]
        if latency is not None and sampled:
            flat.extend(self._buckets_of(latency))
        return flat

    def _buckets_of(self, latency: Histogram) -> Iterator[tuple[int, float]]:
        below = 0.0
        for column, count in zip(self._layout(latency.bounds), latency.counts, strict=True):
            if count > below:
                yield column, count - below
                below = count

    def _layout(self, bounds: tuple[float, ...]) -> tuple[int, ...]:
        known = self._layouts.get(bounds)
        if known is None:
            buckets = map(Bucket, (0.0, *bounds[:-1]), bounds)
            known = self._layouts[bounds] = tuple(map(self._bucket, buckets))
        return known

    def _bucket(self, bucket: Bucket) -> int:
        if bucket not in self._buckets:
            self._buckets[bucket] = self._number(bucket)
        return self._buckets[bucket]

    def _number(self, column: Column) -> int:
        self.columns.append(column)
        return len(self.columns) - 1
