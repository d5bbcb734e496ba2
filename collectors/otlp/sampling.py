"""How many spans one that was kept stands for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

HEX = frozenset("0123456789abcdef")
THRESHOLD_DIGITS = 14
"""Of a rejection threshold: 56 bits of randomness in hexadecimal (OpenTelemetry, *tracestate probability sampling*)."""
NEVER = 63
"""The exponent ``p`` that stands for probability zero."""
ALL = 2**56
BELIEVED = 2.0**24
"""Who says to have kept fewer than one span in so many is not believed: one such span would drown all others."""


@lru_cache(maxsize=4096)
def weight_of_state(tracestate: bytes) -> float:
    """Read ``ot=th:…`` or the older ``ot=p:…`` of a W3C tracestate; 1 where neither says that spans were left out."""
    for member in tracestate.decode("ascii", errors="replace").split(","):
        vendor, _, values = member.strip().partition("=")
        if vendor == "ot":
            said = dict(part.partition(":")[::2] for part in values.split(";"))
            return _of_threshold(said["th"]) if "th" in said else _of_exponent(said.get("p", ""))
    return 1.0


def weight_of_attributes(attributes: Mapping[str, str]) -> float:
    """Read ``sampling.probability`` (a share) or ``SampleRate`` (one in so many); 1 where neither is there."""
    share = _number(attributes.get("sampling.probability", ""))
    return _believed(1 / share if 0 < share <= 1 else _number(attributes.get("SampleRate", "")))


def _of_threshold(digits: str) -> float:
    if not 1 <= len(digits) <= THRESHOLD_DIGITS or not HEX.issuperset(digits):
        return 1.0
    return _believed(ALL / (ALL - int(digits.ljust(THRESHOLD_DIGITS, "0"), 16)))


def _of_exponent(digits: str) -> float:
    exponent = int(digits) if digits.isdecimal() and len(digits) <= 2 else 0
    return _believed(2.0**exponent if exponent < NEVER else 1.0)


def _believed(weight: float) -> float:
    return weight if 1 <= weight <= BELIEVED else 1.0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
