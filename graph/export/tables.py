"""Comma-separated values (RFC 4180), for spreadsheets and data frames."""

from __future__ import annotations

import csv as rfc4180
import io
from collections.abc import Iterable

from graph.export.words import printable
from graph.health import status
from graph.model import Edge, Node, Signals, Snapshot
from graph.query import Found
from graph.wire import NO_FLAGS

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Texts that begin so are formulas to spreadsheets: they are written with an apostrophe in front (OWASP's advice)."""
ENDS = ("cluster", "namespace", "label", "version", "kind")
NUMBERS = tuple(name for name in Signals._fields if name != "outcomes")
HEADER = (
    *(f"{end}_{fact}" for end in ("source", "target") for fact in ENDS),
    *("protocol", "service", "operation", "host", "health", "presence"),
    *NUMBERS,
    *("codes", "flags", "reporter", "at_ms", "found"),
)


def csv(snapshot: Snapshot, found: Found) -> str:
    """One row per edge, with a header; what is not measured is empty."""
    rows = [_row(edge, snapshot, is_found=edge.id in found.edges) for edge in snapshot.edges.values()]
    written = io.StringIO(newline="")
    table = rfc4180.DictWriter(written, HEADER)
    table.writeheader()
    table.writerows({name: _harmless(cell) for name, cell in row.items()} for row in rows)
    return written.getvalue()


def _row(edge: Edge, snapshot: Snapshot, *, is_found: bool) -> dict[str, object]:
    return {
        **_end("source", snapshot.nodes[edge.source]),
        **_end("target", snapshot.nodes[edge.target]),
        "protocol": edge.protocol.value,
        "service": edge.service,
        "operation": edge.operation,
        "host": edge.host,
        "health": edge.health.value,
        "presence": edge.presence.value,
        **{name: getattr(edge.signals, name) for name in NUMBERS},
        "codes": _counts((status(edge.protocol, outcome), count) for outcome, count in edge.signals.outcomes.items()),
        "flags": _counts(
            (outcome.flags, count) for outcome, count in edge.signals.outcomes.items() if outcome.flags not in NO_FLAGS
        ),
        "reporter": edge.evidence[0].reporter.value if edge.evidence else "",
        "at_ms": edge.at_ms,
        "found": int(is_found),
    }


def _end(end: str, node: Node) -> dict[str, str]:
    return {f"{end}_{fact}": str(getattr(node, fact)) for fact in ENDS}


def _counts(counts: Iterable[tuple[str, float]]) -> str:
    """Write ``200:90 503:10``."""
    sums: dict[str, float] = {}
    for name, count in counts:
        sums[name] = sums.get(name, 0.0) + count
    return " ".join(f"{name}:{count:g}" for name, count in sorted(sums.items()))


def _harmless(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    text = printable(cell)
    return f"'{text}" if text.startswith(FORMULA) else text
