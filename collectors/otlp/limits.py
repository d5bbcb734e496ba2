"""How much a sender may ask of the receiver, and the count of everything that was too much."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from google.protobuf.message import DecodeError

from collectors.errors import CollectorError

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds the receiver's memory."""

    body_bytes: int = 8 * MIB
    """Largest request as it comes over the wire."""
    decompressed_bytes: int = 32 * MIB
    """Largest request after gunzip."""
    request_spans: int = 50_000
    """Most spans in one request."""
    span_attributes: int = 64
    """Attributes that tell of a span's call; the store keeps all."""
    pending_spans: int = 100_000
    """Spans that wait for their other side."""
    pending_s: int = 10
    """How long they wait."""
    remembered_calls: int = 400_000
    """Calls that are recognised should their spans come again, within twice ``pending_s``."""
    edges: int = 20_000
    """Distinct edges that are counted."""
    operations: int = 20_000
    """Distinct operations of all edges' targets; what is beyond them is counted as one other operation."""
    series: int = 40_000
    """Distinct pairs of edge and operation; what is beyond them is counted as the edge's one other operation."""
    name_chars: int = 256
    """Longer names of spans, services, peers and queues are cut."""
    resources: int = 8192
    """Distinct resources that are remembered rather than parsed again."""


class Drop(StrEnum):
    """Why spans, or whole requests, did not become evidence."""

    MALFORMED = "malformed_requests"
    TOO_LARGE = "too_large_requests"
    INVALID_ID = "invalid_id_spans"
    PENDING_FULL = "pending_full_spans"
    EDGES_FULL = "edges_full_spans"
    UNPAIRED_CLIENT = "unpaired_client_spans"
    """The other side never came, and no address said who it was."""
    UNPAIRED_SERVER = "unpaired_server_spans"
    """The caller's span never came."""
    PROXY_COUNTS = "proxy_counts_spans"
    """A root beside a proxy, which counts it and knows who called."""
    DUPLICATE = "duplicate_spans"
    """It had come before."""


class Drops:
    """Counts by reason; may be added to from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Drop] = Counter()

    def add(self, reason: Drop, count: int = 1) -> None:
        """Count some more."""
        if count:
            with self._lock:
                self._counts[reason] += count

    def by_reason(self) -> Mapping[str, int]:
        """Every reason there is, also those that never applied."""
        with self._lock:
            return {reason.value: self._counts[reason] for reason in Drop}


class RefusedError(CollectorError):
    """A request was not taken, and the sender is told."""


class MalformedError(RefusedError):
    """It is not OTLP; sending it again will not help."""


class TooLargeError(RefusedError):
    """It is larger than the receiver takes; smaller batches will pass."""


class BusyError(RefusedError):
    """The receiver is behind; the same request may pass in a second."""


@contextmanager
def counted(count: Callable[[Drop], None]) -> Iterator[None]:
    """Count a refusal that is on its way to the sender."""
    try:
        yield
    except MalformedError:
        count(Drop.MALFORMED)
        raise
    except TooLargeError:
        count(Drop.TOO_LARGE)
        raise


@contextmanager
def decoding(signal: str) -> Iterator[None]:
    """Refuse a request that protobuf cannot read."""
    try:
        yield
    except DecodeError as trouble:
        raise MalformedError(f"not an OTLP {signal} request: {trouble}") from trouble
