"""Names in a sentence, however many there are."""

from __future__ import annotations

from collections.abc import Sequence


def enumerated(names: Sequence[str], most: int) -> str:
    """``a, b and 3 more``: so many are named at most."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
