"""Figures with as many digits as are shown: what find compares is what people see, on both sides of the wire."""

from __future__ import annotations

from graph.model import Signals


def rate(signals: Signals) -> float:
    """Return the requests per second."""
    return round(signals.rate, 4)


def error_ratio(signals: Signals) -> float:
    """Return the share of requests that failed, 0 to 1."""
    return round(signals.error_ratio, 6)


def error_percent(signals: Signals) -> float:
    """Return the same of a hundred."""
    return round(100 * error_ratio(signals), 4)


def sent(signals: Signals) -> float:
    """Return the bytes per second to the target."""
    return round(signals.sent_bps, 1)


def received(signals: Signals) -> float:
    """Return the bytes per second from the target."""
    return round(signals.received_bps, 1)


def thousandths(value: float | None) -> float | None:
    """Return a latency in milliseconds, or a share; ``None``: not measured."""
    return None if value is None else round(value, 3)
