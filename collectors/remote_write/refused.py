"""What of a request is not taken, and why."""

from __future__ import annotations

from enum import StrEnum

AHEAD_MS = 600_000
SETTLED_MS = 60_000
"""So long after a process' first sample its series may still arrive that were there before: senders have several queues."""


class Refused(StrEnum):
    """Why samples were not taken."""

    OUT_OF_ORDER = "are older than what was sent before"
    AHEAD = "are more than 10 minutes ahead of our clock"
    FULL = "are of series beyond the limit (remote_write.most_series)"
