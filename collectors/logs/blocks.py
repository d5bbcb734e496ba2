"""A block: lines of one workload that follow each other, as one compressed blob. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson
import zstandard

from collectors.errors import CollectorError
from collectors.logs.matching import severity
from graph.model import WorkloadRef
from graph.ports import LogLine, LogSource

LEVEL = 3


def rows(lines: Iterable[LogLine]) -> list[bytes]:
    """Encode lines, each apart: what all of a block share is left out."""
    return [
        orjson.dumps(
            (one.at_ns, one.level, one.text, one.instance, one.trace_id, one.span_id, dict(one.attributes)),
            default=str,
        )
        for one in lines
    ]


def pack(encoded: Sequence[bytes]) -> bytes:
    """Compress encoded lines into one blob."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(b"\n".join(encoded))


def unpack(blob: bytes) -> list[bytes]:
    """Open a blob into encoded lines."""
    try:
        return zstandard.ZstdDecompressor().decompress(blob).split(b"\n")
    except zstandard.ZstdError as trouble:
        raise CollectorError(f"a block of the log store is damaged: {trouble}") from trouble


def decode(encoded: bytes, workload: WorkloadRef, source: LogSource) -> LogLine:
    """Read one line back."""
    try:
        at_ns, level, text, instance, trace_id, span_id, attributes = orjson.loads(encoded)
    except ValueError as trouble:
        raise CollectorError(f"a line of the log store is damaged: {trouble}") from trouble
    return LogLine(
        at_ns=at_ns,
        text=text,
        source=source,
        workload=workload,
        instance=instance,
        level=level,
        trace_id=trace_id,
        span_id=span_id,
        attributes=attributes,
    )


def levels(lines: Iterable[LogLine]) -> int:
    """Return the severities that occur, as bits."""
    found = 0
    for line in lines:
        found |= 1 << severity(line.level)
    return found
