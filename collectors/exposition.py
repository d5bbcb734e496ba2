"""Prometheus text pages to observations, remembering what each series means.

A proxy sends the same series on every scrape, in which only the number after the last space changes. So a
series is parsed once and looked up by its text from then on, which is two orders of magnitude faster than
parsing its twenty-six labels again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Container, Iterator, Mapping

from collectors.dialects import Dialect, Identity, LatencyBucket, LatencySum, ListenerBytes, Measure, Requests, Tcp
from collectors.errors import CollectorError
from collectors.live_bytes import LiveBytes
from graph.model import Counters, Histogram, Observation

LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class Exposition:
    """Reads pages in one dialect. Not for several threads at once."""

    def __init__(self, dialect: Dialect, *, cluster: str, most_series: int = 500_000) -> None:
        self.cluster = cluster
        self._dialect = dialect
        self._most_series = most_series
        self._known: dict[str, _Meaning] = {}
        self._whose: dict[Identity, _Whose] = {}
        self._parts: dict[Measure, _Part] = {}
        self._live: dict[str, LiveBytes] = {}

    @property
    def series(self) -> int:
        """How many series are remembered."""
        return len(self._known)

    def retain(self, instances: Container[str]) -> None:
        """Forget what was counted for any other instance."""
        self._live = {name: live for name, live in self._live.items() if name in instances}

    def read(self, page: str, *, instance: str, epoch: int, at_ms: int, origin: str) -> list[Observation]:
        """Turn one proxy's page into one observation per identity.

        A line that is not a sample of the text format is an error, since the numbers beside it cannot be
        trusted either.
        """
        if len(self._known) > self._most_series:
            # Series of proxies long gone are in there, too: begin anew rather than grow for ever.
            self._known, self._whose = {}, {}
        sums: dict[_Whose, dict[_Part, float]] = {}
        flowing: dict[tuple[str, str], float] = {}
        known = self._known
        for line in page.splitlines():
            if not line or line[0] == "#":
                continue
            series, _, number = line.rpartition(" ")
            try:
                meaning = known[series]
            except KeyError:
                meaning = self._learn(series)
            if meaning is None:
                continue
            try:
                value = float(number)
            except ValueError:
                raise CollectorError(f"{origin}: {number!r} is not a number, in series {series[:200]}") from None
            if isinstance(meaning, ListenerBytes):
                key = (meaning.listener, meaning.field)
                flowing[key] = flowing.get(key, 0.0) + value
                continue
            whose, part = meaning
            values = sums.get(whose)
            if values is None:
                values = sums[whose] = {}
            values[part] = values.get(part, 0.0) + value
        shared = self._share(sums, flowing, instance, epoch) if flowing else {}
        return [
            Observation(
                edge=whose.identity.edge,
                reporter=whose.identity.reporter,
                instance=instance,
                epoch=epoch,
                at_ms=at_ms,
                counters=counters(shared.get(whose) or [(part.measure, value) for part, value in values.items()]),
                security=whose.identity.security,
                source_principal=whose.identity.source_principal,
                destination_principal=whose.identity.destination_principal,
                origin=origin,
            )
            for whose, values in sums.items()
        ]

    def _share(
        self,
        sums: Mapping[_Whose, Mapping[_Part, float]],
        flowing: Mapping[tuple[str, str], float],
        instance: str,
        epoch: int,
    ) -> Mapping[_Whose, Collection[tuple[Measure, float]]]:
        """Give those behind a listener their share of its live bytes."""
        live = self._live.get(instance)
        if live is None or live.epoch != epoch:
            live = self._live[instance] = LiveBytes(epoch)
        behind = {
            whose: {part.measure: value for part, value in values.items()}
            for whose, values in sums.items()
            if whose.identity.listener
        }
        live.share({whose.identity: values for whose, values in behind.items()}, flowing)
        return {whose: values.items() for whose, values in behind.items()}

    def _learn(self, series: str) -> _Meaning:
        metric, _, rest = series.partition("{")
        labels = dict(_labels(rest))
        meaning = self._dialect.read(metric, labels, self.cluster)
        if meaning is None:
            flowing = self._known[series] = self._dialect.read_listener(metric, labels)
            return flowing
        identity, measure = meaning
        whose = self._whose.setdefault(identity, _Whose(identity))
        part = self._parts.setdefault(measure, _Part(measure))
        known = self._known[series] = (whose, part)
        return known


class _Whose:
    """An identity that is compared and hashed as an object: there is one of each."""

    __slots__ = ("identity",)

    def __init__(self, identity: Identity) -> None:
        self.identity = identity


class _Part:
    """A measure that is compared and hashed as an object: there is one of each."""

    __slots__ = ("measure",)

    def __init__(self, measure: Measure) -> None:
        self.measure = measure


_Meaning = tuple[_Whose, _Part] | ListenerBytes | None


def _labels(text: str) -> Iterator[tuple[str, str]]:
    for name, value in LABEL.findall(text):
        yield name, re.sub(r"\\.", lambda escape: ESCAPES.get(escape[0], escape[0]), value) if "\\" in value else value


def counters(values: Collection[tuple[Measure, float]]) -> Counters:
    """Put together what one identity has counted; measures that count the same must have been added up."""
    requests = {}
    buckets = {}
    tcp = {}
    total = 0.0
    for measure, value in values:
        match measure:
            case Requests():
                requests[measure.outcome] = value
            case LatencyBucket():
                buckets[measure.bound_ms] = value
            case LatencySum():
                total = value * measure.scale
            case Tcp():
                tcp[measure.field] = value
    return Counters(requests=requests, latency_ms=_histogram(buckets, total), **tcp)


def _histogram(buckets: dict[float, float], total: float) -> Histogram | None:
    if math.inf not in buckets:
        return None
    bounds = tuple(sorted(buckets))
    return Histogram(bounds, tuple(buckets[bound] for bound in bounds), total)
