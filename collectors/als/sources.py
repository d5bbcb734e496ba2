"""Access logs on their way into the tap, whichever way they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from collectors.als.ends import request_of
from collectors.als.tap import Tap
from collectors.logs import access
from collectors.logs.access import Access
from collectors.peers import Peers
from graph.model import WorkloadRef
from graph.ports import LogLine

Logged = tuple[Access | None, WorkloadRef | None]
"""What a log says, and whose proxy wrote it; ``None``: it cannot be read; its own address tells."""


class AccessLogs:
    """Reads access logs into a tap; may be called from any thread."""

    def __init__(self, tap: Tap, peers: Callable[[], Peers]) -> None:
        self.tap = tap
        self._peers = peers

    def room_for(self, count: int) -> int:
        """Return how many of so many may be brought now."""
        return self.tap.room_for(count)

    def lines(self, found: Sequence[LogLine]) -> None:
        """Take lines of proxies' output."""
        room = self.tap.room_for(len(found))
        self._record((access.of_line(one.text), one.workload) for one in found[:room])

    def entries(self, found: Iterable[Logged]) -> None:
        """Take decoded logs, for which there was room."""
        self._record(found)

    def _record(self, found: Iterable[Logged]) -> None:
        peers, now_ns = self._peers(), time.time_ns()
        known = list(found)
        readable = [(one, who) for one, who in known if one is not None]
        self.tap.unreadable(len(known) - len(readable))
        self.tap.record([request_of(one, peers, reporter=who, now_ns=now_ns) for one, who in readable])
