"""Traces beside something else: the page does without them when their store cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.errors import CollectorError
from console.context import Console
from graph.ports import TraceQuery, TraceSummary


async def recent(console: Console, query: TraceQuery) -> Sequence[TraceSummary]:
    """Find traces; none when the store cannot be asked, which is then told among the signals."""
    try:
        return await console.traces.search(query)
    except CollectorError:
        return ()
