"""Histograms as OpenTelemetry sends them, and what one reading adds to the one before. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BUCKETS = 2000
"""More buckets than any SDK makes (160 to 320)."""


@dataclass(frozen=True, slots=True)
class Explicit:
    """Counts between bounds: ``counts[i]`` in ``(bounds[i-1], bounds[i]]``, and one above the last bound."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    def since(self, before: Distribution) -> Explicit | None:
        """Return what was added since; ``None``: that cannot be, it began anew."""
        if not isinstance(before, Explicit) or before.bounds != self.bounds:
            return None
        added = tuple(now - then for now, then in zip(self.counts, before.counts, strict=True))
        return Explicit(self.bounds, added) if min(added, default=0.0) >= 0 else None

    def samples(self) -> Sequence[tuple[float, float]]:
        """Return pairs of an upper bound and the samples just below it."""
        return [pair for pair in zip((*self.bounds, math.inf), self.counts, strict=True) if pair[1]]


@dataclass(frozen=True, slots=True)
class Exponential:
    """Counts per power of ``2 ** 2 ** -scale``: ``counts[i]`` in ``(base**i, base**(i+1)]``, and those near zero."""

    scale: int
    zeros: float
    counts: Mapping[int, float]

    def since(self, before: Distribution) -> Exponential | None:
        """Return what was added since, in the coarser of the two scales; ``None``: it began anew."""
        if not isinstance(before, Exponential):
            return None
        scale = min(self.scale, before.scale)
        now, then = _coarser(self, scale), _coarser(before, scale)
        added = {index: now.get(index, 0.0) - then.get(index, 0.0) for index in now.keys() | then.keys()}
        zeros = self.zeros - before.zeros
        return Exponential(scale, zeros, added) if min(added.values(), default=0.0) >= 0 and zeros >= 0 else None

    def samples(self) -> Sequence[tuple[float, float]]:
        """Return pairs of the middle of a bucket and the samples in it."""
        width = 2.0**-self.scale
        near_zero = [(0.0, self.zeros)] if self.zeros else []
        return near_zero + [(_power((index + 0.5) * width), count) for index, count in self.counts.items() if count]


Distribution = Explicit | Exponential


def _coarser(spread: Exponential, scale: int) -> Mapping[int, float]:
    found: dict[int, float] = {}
    for index, count in spread.counts.items():
        place = index >> (spread.scale - scale)
        found[place] = found.get(place, 0.0) + count
    return found


def _power(exponent: float) -> float:
    return math.exp2(min(max(exponent, -1000.0), 1000.0))
