"""What a page of Prometheus' text format tells of the process that publishes it."""

from __future__ import annotations

import re

UPTIME = re.compile(r"^envoy_server_uptime(?:\{[^}]*\})? (\S+)", re.MULTILINE)
START = re.compile(r"^process_start_time_seconds(?:\{[^}]*\})? (\S+)", re.MULTILINE)
RESTARTED_MS = 10_000
"""Beginnings that differ by less are one: Envoy says its age in whole seconds, and tells it up to 5 s late."""


def began_ms(page: str, at_ms: int, known_ms: int = 0) -> int:
    """Say when the process behind a page began to count, 0 where it does not tell; *known_ms* is what it said before.

    On pages of several processes, as Istio's agent merges them, the proxy's word counts before the others'.
    """
    try:
        if found := UPTIME.search(page):
            began = at_ms - round(1000 * float(found[1]))
        elif found := START.search(page):
            began = round(1000 * float(found[1]))
        else:
            return 0
    except (ValueError, OverflowError):
        return 0
    return known_ms if abs(began - known_ms) < RESTARTED_MS else began
