"""What one identity has counted, from the sums of its measures. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from collectors.dialects import Amount, Identity, LatencyBucket, LatencySum, Measure, Part, Requests, Tcp
from graph.model import Counters, Histogram, Observation, Outcome


class Plan:
    """Where the counters of one identity lie among the slots: outcomes, then buckets by bound, then the rest."""

    __slots__ = ("_bounds", "_outcomes", "_rest", "begin", "measures")

    def __init__(self, begin: int, measures: Iterable[Measure]) -> None:
        known = list(measures)
        outcomes = [one for one in known if isinstance(one, Requests)]
        buckets = sorted((one for one in known if isinstance(one, LatencyBucket)), key=lambda one: one.bound_ms)
        rest = [one for one in known if not isinstance(one, Requests | LatencyBucket)]
        self.begin = begin
        self.measures: tuple[Measure, ...] = (*outcomes, *buckets, *rest)
        self._outcomes = tuple(one.outcome for one in outcomes)
        self._bounds = tuple(one.bound_ms for one in buckets)
        self._rest = tuple(rest)

    def measured(self, flat: Sequence[float]) -> Iterator[tuple[Measure, float]]:
        """Every measure with its sum."""
        return zip(self.measures, flat[self.begin : self.begin + len(self.measures)], strict=True)

    def counters(self, flat: Sequence[float], before: Counters | None = None) -> Counters:
        """Put the counters together."""
        buckets = self.begin + len(self._outcomes)
        rest = buckets + len(self._bounds)
        requests = dict(zip(self._outcomes, flat[self.begin : buckets], strict=True))
        match self._rest:
            case ():
                scaled = 0.0
            case (LatencySum(scale),):
                scaled = flat[rest] * scale
            case _:
                return counters(list(self.measured(flat)), before)
        latency = (
            Histogram(self._bounds, tuple(flat[buckets:rest]), scaled)
            if self._bounds and self._bounds[-1] == math.inf
            else None
        )
        return Counters(requests=requests, latency_ms=latency)


def counters(values: Collection[tuple[Measure, float]], before: Counters | None = None) -> Counters:
    """Put together what one identity has counted; measures that count the same must have been added up.

    ``before`` is what the same series counted at the last reading: with it no count falls only because a proxy wrote
    a whole and its parts at different moments.
    """
    requests: dict[Outcome, float] = {}
    parts: dict[Part, float] = {}
    buckets = {}
    fields = {}
    total = 0.0
    for measure, value in values:
        match measure:
            case Requests():
                requests[measure.outcome] = value
            case Part():
                parts[measure] = value
            case LatencyBucket():
                buckets[measure.bound_ms] = value
            case LatencySum():
                total = value * measure.scale
            case Tcp() | Amount():
                fields[measure.field] = value
    if parts:
        _take_apart(requests, parts, before.requests if before else {})
    return Counters(requests=requests, latency_ms=_histogram(buckets, total), **fields)


def _take_apart(requests: dict[Outcome, float], parts: Mapping[Part, float], before: Mapping[Outcome, float]) -> None:
    """Take the parts out of the wholes; what is left of a whole does not fall while the whole does not."""
    for whole in {part.of for part in parts}:
        told = {part.outcome: value for part, value in parts.items() if part.of == whole}
        counted = requests.get(whole, 0.0)
        rest = max(0.0, counted - sum(told.values()))
        was = before.get(whole, 0.0) + sum(before.get(outcome, 0.0) for outcome in told)
        requests[whole] = max(rest, before.get(whole, 0.0)) if counted >= was else rest
        requests.update(told)


def _histogram(buckets: dict[float, float], total: float) -> Histogram | None:
    if math.inf not in buckets:
        return None
    bounds = tuple(sorted(buckets))
    return Histogram(bounds, tuple(buckets[bound] for bound in bounds), total)


def observation(
    identity: Identity, counted: Counters, *, instance: str, epoch: int, at_ms: int, origin: str
) -> Observation:
    """Say what one process has counted of one identity's traffic."""
    return Observation(
        edge=identity.edge,
        reporter=identity.reporter,
        instance=instance,
        epoch=epoch,
        at_ms=at_ms,
        counters=counted,
        security=identity.security,
        source_principal=identity.source_principal,
        destination_principal=identity.destination_principal,
        origin=origin,
        operation=identity.operation,
        host=identity.host,
        carrier=identity.carrier,
    )
