"""Numbers with the units that the page shows them with: ``250ms``, ``1.5 s``, ``10k``, ``2 MB/s``, ``5%``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*(.*?)\s*", re.IGNORECASE | re.ASCII)


class Unit(NamedTuple):
    """What an operand's number can be written in; without any it is in the first."""

    kind: str
    """What such a number is, with examples."""
    factors: Mapping[str, float] = {}
    """By unit, in small letters, how many of the operand's own one of it is."""

    def read(self, text: str) -> float | None:
        """Read a number; ``None``: it is none, or has a unit of something else."""
        number = _NUMBER.fullmatch(text)
        factor = {"": 1.0, **self.factors}.get(number[2].lower()) if number else None
        return None if number is None or factor is None else float(number[1]) * factor


COUNT = Unit("a number, as in 5 or 0.5")
PERCENT = Unit("a percentage, as in 5 or 0.5%", {"%": 1.0})
MILLISECONDS = Unit(
    "a length of time, as in 250, 250ms or 1.5s", {"ms": 1.0, "us": 0.001, "µs": 0.001, "s": 1e3, "min": 6e4}
)
PER_SECOND = Unit("a rate per second, as in 500, 10k or 1.5M", {"/s": 1.0, "k": 1e3, "m": 1e6, "k/s": 1e3, "m/s": 1e6})
BYTES_PER_SECOND = Unit(
    "bytes per second, as in 500, 64kB or 1.5MB/s",
    {
        f"{prefix}{byte}{per}": factor
        for prefix, factor in {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}.items()
        for byte in ("b", "")
        for per in ("/s", "")
        if prefix or byte or per
    },
)
