"""Lengths of time as people read them: one way of writing them, wherever the console speaks."""

from __future__ import annotations

YEAR_S = 31_536_000
"""Of 365 days."""


def milliseconds(value: float) -> str:
    """A latency; seconds from one second on."""
    if value >= 10_000:
        return f"{value / 1000:.0f} s"
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def duration(seconds: float) -> str:
    """A length of time in its largest sensible unit."""
    seconds = max(0, round(seconds))
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    if seconds < 129_600:
        return f"{round(seconds / 3600)} h"
    if seconds < 2 * YEAR_S:
        return f"{round(seconds / 86_400)} days"
    return f"{round(seconds / YEAR_S)} years"
