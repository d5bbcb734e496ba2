"""Numbers and instants as people read them. The same rules as ``assets/js/format.js``."""

from __future__ import annotations

from datetime import UTC, datetime

from graph import durations

NONE = "–"
UNITS = ((86_400, "days"), (3600, "h"), (60, "min"), (1, "s"))
MOST_UNITS = 2

duration = durations.duration


def rate(value: float | None) -> str:
    """Per second, three digits at most."""
    if not value:
        return "0"
    if value >= 10_000:
        return f"{value / 1000:.0f}k"
    if value >= 1000:
        return f"{value / 1000:.1f}k"
    if value >= 100:
        return f"{value:.0f}"
    if value >= 1:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.01 else "<0.01"


def percent(ratio: float | None) -> str:
    """A share as a percentage; never rounds trouble down to nothing."""
    if ratio is None:
        return NONE
    value = ratio * 100
    if value == 0:
        return "0 %"
    if value >= 99.95:
        return "100 %"
    if value >= 9.95:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if value >= 0.1 else "<0.1 %"


def mutual_tls(share: float | None) -> str:
    """How much of the traffic mutual TLS protects."""
    if share is None:
        return "not measured"
    return "all traffic" if share >= 0.9995 else f"{percent(share)} of traffic"


def milliseconds(value: float | None) -> str:
    """A latency; a dash where none was measured."""
    return NONE if value is None else durations.milliseconds(value)


def nanoseconds(value: int) -> str:
    """A span's duration."""
    if value < 1_000_000:
        return f"{value / 1000:.0f} µs"
    return milliseconds(value / 1_000_000)


def size(count: float) -> str:
    """A number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def throughput(value: float) -> str:
    """Bytes per second."""
    return f"{size(value)}/s"


def count(value: float) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def plural(number: int, one: str, many: str = "") -> str:
    """``1 edge``, ``3 edges``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def ago(at_ms: int, now_ms: int) -> str:
    """How long ago an instant was."""
    return "just now" if now_ms - at_ms < 1500 else f"{duration((now_ms - at_ms) / 1000)} ago"


def clock(at_ms: int) -> str:
    """The time of day, where the server is."""
    return _local(at_ms).strftime("%H:%M:%S")


def moment(at_ms: int) -> str:
    """Date and time, where the server is."""
    return _local(at_ms).strftime("%-d %b %Y, %H:%M:%S")


def window(seconds: int) -> str:
    """A window's name, with two units at most: ``1 min 30 s``, ``24 h``."""
    parts: list[str] = []
    for size, unit in UNITS if seconds >= 2 * 86_400 else UNITS[1:]:
        if seconds >= size and len(parts) < MOST_UNITS:
            parts.append(f"{seconds // size} {unit}")
            seconds %= size
    return " ".join(parts)


def _local(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone()
