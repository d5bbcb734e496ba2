"""Prometheus text pages to observations, remembering what each series means.

A proxy sends the same series on every scrape, in which only the number after the last space changes. So a
series is parsed once and looked up by its text from then on, which is two orders of magnitude faster than
parsing its twenty-six labels again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterator

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
        self._known: dict[str, tuple[_Whose, Measure] | ListenerBytes | None] = {}
        self._whose: dict[Identity, _Whose] = {}
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
        sums: dict[_Whose, dict[Measure, float]] = {}
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
            whose, measure = meaning
            values = sums.get(whose)
            if values is None:
                values = sums[whose] = {}
            values[measure] = values.get(measure, 0.0) + value
        if flowing:
            live = self._live.get(instance)
            if live is None or live.epoch != epoch:
                live = self._live[instance] = LiveBytes(epoch)
            live.share({whose.identity: values for whose, values in sums.items() if whose.identity.listener}, flowing)
        return [
            Observation(
                edge=whose.identity.edge,
                reporter=whose.identity.reporter,
                instance=instance,
                epoch=epoch,
                at_ms=at_ms,
                counters=_counters(values),
                security=whose.identity.security,
                source_principal=whose.identity.source_principal,
                destination_principal=whose.identity.destination_principal,
                origin=origin,
            )
            for whose, values in sums.items()
        ]

    def _learn(self, series: str) -> tuple[_Whose, Measure] | ListenerBytes | None:
        if len(self._known) >= self._most_series:
            # Series of proxies long gone are in here, too: begin anew rather than grow for ever.
            self._known.clear()
            self._whose.clear()
        metric, _, rest = series.partition("{")
        labels = dict(_labels(rest))
        meaning = self._dialect.read(metric, labels, self.cluster)
        if meaning is None:
            flowing = self._known[series] = self._dialect.read_listener(metric, labels)
            return flowing
        identity, measure = meaning
        whose = self._whose.setdefault(identity, _Whose(identity))
        known = self._known[series] = (whose, measure)
        return known


class _Whose:
    """An identity that is compared and hashed as an object: there is one of each."""

    __slots__ = ("identity",)

    def __init__(self, identity: Identity) -> None:
        self.identity = identity


def _labels(text: str) -> Iterator[tuple[str, str]]:
    for name, value in LABEL.findall(text):
        yield name, re.sub(r"\\.", lambda escape: ESCAPES.get(escape[0], escape[0]), value) if "\\" in value else value


def _counters(values: dict[Measure, float]) -> Counters:
    requests = {}
    buckets = {}
    tcp = {}
    total = 0.0
    for measure, value in values.items():
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
