"""Requests on their way to the thread that stores their spans."""

from __future__ import annotations

import threading

from collectors.errors import CollectorError

WRITE_S = 0.25
"""How long requests gather before they are written."""
WRITE_AT_SPANS = 8192
"""So many are written at once."""
SETTLE_S = 60.0
WAITING_BYTES = 256 * 1024 * 1024
"""Requests beyond that, which the disk is too slow for, are lost and counted."""


class Waiting:
    """Many threads add, one takes, at most *most_bytes* at once, unless it is one request."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._change = threading.Condition()
        self._requests: list[tuple[bytes, int]] = []
        self._spans = 0
        self._bytes = 0
        self._added = self._taken = self._written = 0
        self._hurry = self._closed = False

    def add(self, raw: bytes, spans: int) -> bool:
        """Take a request; false when too much waits already, or nobody writes any more."""
        with self._change:
            if self._closed or (self._bytes and self._bytes + len(raw) > WAITING_BYTES):
                return False
            self._requests.append((raw, spans))
            self._spans += spans
            self._bytes += len(raw)
            self._added += 1
            if len(self._requests) == 1 or self._spans >= WRITE_AT_SPANS:
                self._change.notify_all()
            return True

    def take(self) -> tuple[list[bytes], int] | None:
        """Wait for requests, a moment also for those that follow; ``None`` when there will be no more."""
        with self._change:
            self._change.wait_for(lambda: self._requests or self._closed)
            self._change.wait_for(lambda: self._hurry or self._closed or self._spans >= WRITE_AT_SPANS, WRITE_S)
            if not self._requests:
                return None
            spans = size = count = 0
            for raw, of_raw in self._requests:
                if count and size + len(raw) > self._most_bytes:
                    break
                spans, size, count = spans + of_raw, size + len(raw), count + 1
            taken, self._requests = self._requests[:count], self._requests[count:]
            self._spans, self._bytes, self._taken = self._spans - spans, self._bytes - size, self._taken + count
            return [raw for raw, _ in taken], spans

    def done(self) -> None:
        """Tell that what was taken is written."""
        with self._change:
            self._written = self._taken
            self._change.notify_all()

    def settle(self) -> None:
        """Wait until everything added so far is written."""
        with self._change:
            wanted = self._added
            self._hurry = True
            self._change.notify_all()
            written = self._change.wait_for(lambda: self._written >= wanted, SETTLE_S)
            self._hurry = False
        if not written:
            raise CollectorError(f"spans are still not stored after {SETTLE_S:.0f} s")

    def close(self) -> None:
        """Take no more."""
        with self._change:
            self._closed = True
            self._change.notify_all()
