"""What a trace store takes spans through."""

from __future__ import annotations

from typing import Protocol


class SpanSink(Protocol):
    """Where whole spans rest. Everything dear happens in a thread of the store's own."""

    def append(self, raw: bytes, spans: int) -> None:
        """Take one ``ExportTraceServiceRequest`` as it came, well-formed, with so many usable spans.

        Costs the caller next to nothing, never waits and never raises; from any thread. What it takes is on disk within
        a second, and what the store cannot keep it counts itself.
        """
        ...

    def flush(self) -> None:
        """Wait until everything appended so far is on disk and can be searched.

        Raises :class:`CollectorError` when some of it is lost. Nobody has to call it: for shutdown and for tests.
        """
        ...
