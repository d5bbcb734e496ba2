"""Figures with as many digits as are shown: what find compares is what people see, on both sides of the wire."""

from __future__ import annotations

import numpy as np

from graph.arrays import Floats
from graph.model import Signals
from graph.records import Values

RATE, SHARE, BYTES, MEASURED = 4, 6, 1, 3
"""Digits behind the point: of what happens per second, of shares of requests, of bytes per second, of the rest."""


def rate(signals: Signals) -> float:
    """Return the requests per second."""
    return _shown(signals.rate, RATE)


def error_ratio(signals: Signals) -> float:
    """Return the share of requests that failed, 0 to 1."""
    return _shown(signals.error_ratio, SHARE)


def error_percent(signals: Signals) -> float:
    """Return the same of a hundred."""
    return round(100 * error_ratio(signals), 4)


def sent(signals: Signals) -> float:
    """Return the bytes per second to the target."""
    return _shown(signals.sent_bps, BYTES)


def received(signals: Signals) -> float:
    """Return the bytes per second from the target."""
    return _shown(signals.received_bps, BYTES)


def of_bodies(signals: Signals) -> float:
    """Return the bytes per second of requests' and responses' bodies together."""
    return _shown(signals.request_bps, RATE) + _shown(signals.response_bps, RATE)


def thousandths(value: float | None) -> float | None:
    """Return a latency in milliseconds, or a share; ``None``: not measured."""
    return None if value is None else _shown(value, MEASURED)


def column(values: Values, digits: int) -> Floats:
    """Return a whole column as the functions above would; NaN: not measured."""
    scale = 10.0**digits
    return np.rint(np.array(values, np.float64) * scale) / scale


def _shown(value: float, digits: int) -> float:
    """Round as :func:`column` does, which is not always as ``round(value, digits)`` does."""
    scale = 10.0**digits
    return round(value * scale) / scale
