"""Tables and ages as kubectl prints them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from textwrap import shorten

from mesh_runtime.xds.refusals import some

GAP = "   "
REASON_WIDTH = 300


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Align columns; the last one is not padded."""
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_json(value: object) -> str:
    """Print for programs."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def rejections(reasons: Mapping[str, str]) -> str:
    """Name one proxy for each reason why its config was refused, and say how many more gave the same."""
    proxies: dict[str, list[str]] = {}
    for proxy, reason in reasons.items():
        proxies.setdefault(shorten(reason, REASON_WIDTH, placeholder=" …"), []).append(proxy)
    return ", ".join(f"{some(named)} ({reason})" for reason, named in proxies.items())


def age(at: str) -> str:
    """Tell how long ago an RFC 3339 instant was: ``12s``, ``5m``, ``3h``, ``2d``."""
    if not at:
        return "-"
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"
