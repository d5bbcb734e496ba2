"""Prometheus text pages to observations, remembering what each series means.

A proxy sends the same series in the same order on every scrape; only the numbers change. So a series is parsed once
and known by its text from then on, and a page that is laid out as the last one is only compared with it: no text is
hashed, and what did not change is not put together again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from collectors.dialects import (
    Amount,
    Dialect,
    Identity,
    Labels,
    LatencyBucket,
    LatencySum,
    ListenerBytes,
    Measure,
    Part,
    Requests,
    Tcp,
)
from collectors.errors import CollectorError
from collectors.live_bytes import LiveBytes
from graph.merge import Floats, Ints
from graph.model import Counters, Histogram, Observation, Outcome

LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
NO_LABELS: Labels = {}
EXEMPLAR = " # {"


class Exposition:
    """Reads pages in one dialect. Not for several threads at once."""

    def __init__(self, dialect: Dialect, *, cluster: str, most_series: int = 500_000) -> None:
        self.cluster = cluster
        self._dialect = dialect
        self._most_series = most_series
        self._known: dict[tuple[tuple[str, str], ...], dict[str, _Meaning]] = {}
        self._series = 0
        self._whose: dict[Identity, _Whose] = {}
        self._last: dict[str, _Reading] = {}
        self._live: dict[str, LiveBytes] = {}

    @property
    def series(self) -> int:
        """How many series are remembered."""
        return self._series

    def retain(self, instances: Container[str]) -> None:
        """Forget what was counted for any other instance."""
        self._live = {name: live for name, live in self._live.items() if name in instances}
        self._last = {name: last for name, last in self._last.items() if name in instances}

    def read(
        self, page: str, *, instance: str, epoch: int, at_ms: int, origin: str, target: Labels = NO_LABELS
    ) -> list[Observation]:
        """Turn one proxy's page into one observation per identity.

        ``target`` are labels of what was scraped (``namespace``, ``pod``, ``app``), as Prometheus would add them: a
        series' own labels count more. A line that is not a sample of the text format is an error, since the numbers
        beside it cannot be trusted either.
        """
        last = self._last.get(instance)
        given = self._given(target)
        numbers = last.layout.numbers(page) if last and last.given == given else None
        if last is None or numbers is None:
            layout, numbers = self._lay_out(page, given, origin)
            last = _Reading(layout, given, None, [], epoch)
        values = last.layout.sums(_floats(numbers, last.layout, origin))
        reading = self._last[instance] = self._assembled(last, values, instance, epoch)
        return [
            observation(whose.identity, counted, instance=instance, epoch=epoch, at_ms=at_ms, origin=origin)
            for whose, counted in zip(reading.layout.whose, reading.counters, strict=True)
        ]

    def _given(self, target: Labels) -> tuple[tuple[str, str], ...]:
        return tuple((name, target[name]) for name in self._dialect.labels if target.get(name)) if target else ()

    def _lay_out(self, page: str, given: tuple[tuple[str, str], ...], origin: str) -> tuple[_Layout, list[str]]:
        """Look every line up by its text."""
        if self._series > self._most_series:
            # Series of proxies long gone are in there, too: begin anew rather than grow for ever.
            self._known, self._whose, self._last, self._series = {}, {}, {}, 0
        known = self._known.setdefault(given, {})
        lines: list[str] = []
        meanings: list[_Meaning] = []
        numbers: list[str] = []
        for line in page.splitlines(keepends=True):
            if line[0] == "#" or line.isspace():
                lines.append(line)
                meanings.append(COMMENT)
                continue
            series, number = _split(line, origin)
            try:
                meaning = known[series]
            except KeyError:
                meaning = known[series] = self._learn(series, given)
                self._series += 1
            lines.append(series)
            meanings.append(meaning)
            numbers.append(number)
        return _Layout(lines, meanings), numbers

    def _learn(self, series: str, given: tuple[tuple[str, str], ...]) -> _Meaning:
        metric, own = read_series(series)
        labels = {**dict(given), **own}
        meaning = self._dialect.read(metric, labels, self.cluster)
        if meaning is None:
            return self._dialect.read_listener(metric, labels)
        identity, measure = meaning
        return self._whose.setdefault(identity, _Whose(identity)), measure

    def _assembled(self, last: _Reading, values: Floats, instance: str, epoch: int) -> _Reading:
        """Put counters together, those of identities of which no number changed being the same objects as before."""
        layout = last.layout
        flat = values.tolist()
        if last.values is None or last.epoch != epoch:
            counted = [plan.counters(flat) for plan in layout.plans]
        else:
            counted = list(last.counters)
            for number in layout.changed(last.values, values):
                counted[number] = layout.plans[number].counters(flat, counted[number])
        if layout.flowing:
            self._share(layout, flat, counted, instance, epoch)
        return last._replace(values=values, counters=counted, epoch=epoch)

    def _share(
        self, layout: _Layout, flat: Sequence[float], counted: list[Counters], instance: str, epoch: int
    ) -> None:
        """Give those behind a listener their share of its live bytes."""
        live = self._live.get(instance)
        if live is None or live.epoch != epoch:
            live = self._live[instance] = LiveBytes(epoch)
        behind = {
            number: dict(plan.measured(flat))
            for number, (whose, plan) in enumerate(zip(layout.whose, layout.plans, strict=True))
            if whose.identity.listener
        }
        live.share(
            {layout.whose[number].identity: measured for number, measured in behind.items()},
            {key: flat[slot] for key, slot in layout.flowing.items()},
        )
        for number, measured in behind.items():
            counted[number] = counters(measured.items())


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


class _Whose:
    """An identity that is compared and hashed as an object: there is one of each."""

    __slots__ = ("identity",)

    def __init__(self, identity: Identity) -> None:
        self.identity = identity


class _Comment:
    """A line without a number."""


COMMENT = _Comment()
_Meaning = tuple[_Whose, Measure] | ListenerBytes | _Comment | None


class _Layout:
    """Which series a page has, in which order, and where each number goes.

    Numbers that count the same are added up in one *slot*; the slots of one identity lie side by side.
    """

    def __init__(self, lines: Sequence[str], meanings: Sequence[_Meaning]) -> None:
        self.lines = [(line, len(line), meaning is not COMMENT) for line, meaning in zip(lines, meanings, strict=True)]
        slots: dict[_Whose, dict[Measure, list[int]]] = {}
        flowing: dict[tuple[str, str], list[int]] = {}
        position = -1
        for meaning in meanings:
            position += meaning is not COMMENT
            if isinstance(meaning, ListenerBytes):
                flowing.setdefault((meaning.listener, meaning.field), []).append(position)
            elif isinstance(meaning, tuple):
                slots.setdefault(meaning[0], {}).setdefault(meaning[1], []).append(position)
        self.whose = list(slots)
        self.plans: list[_Plan] = []
        places: list[list[int]] = []
        for measures in slots.values():
            plan = _Plan(len(places), measures)
            self.plans.append(plan)
            places.extend(measures[measure] for measure in plan.measures)
        self.flowing = {key: len(places) + number for number, key in enumerate(flowing)}
        places.extend(flowing.values())
        self.wanted: Ints = np.array([position for place in places for position in place], np.int64)
        self._starts: Ints = np.cumsum([0, *map(len, places[:-1])]) if places else np.zeros(0, np.int64)
        self._single = all(len(place) == 1 for place in places)
        self._begins: Ints = np.array([plan.begin for plan in self.plans], np.int64)
        self.texts: list[str] = []

    def numbers(self, page: str) -> list[str] | None:
        """The page's numbers as text; ``None`` when it has other series."""
        found = []
        at, startswith, find = 0, page.startswith, page.find
        for text, size, numbered in self.lines:
            if not startswith(text, at):
                return None
            at += size
            if numbered:
                end = find("\n", at)
                if end < 0:
                    end = len(page)
                found.append(page[at:end])
                at = end + 1
        return found if at >= len(page) else None

    def series_at(self, position: int) -> str:
        """The text of the series whose number has this position."""
        return [text for text, _, numbered in self.lines if numbered][position]

    def sums(self, numbers: Floats) -> Floats:
        """What each slot has counted."""
        wanted = numbers[self.wanted]
        return wanted if self._single or not len(wanted) else np.add.reduceat(wanted, self._starts)

    def changed(self, before: Floats, now: Floats) -> Iterable[int]:
        """The identities of which a number differs."""
        if not self.plans:
            return ()
        differs = np.not_equal(before, now)[: len(now) - len(self.flowing)]
        return np.flatnonzero(np.logical_or.reduceat(differs, self._begins)).tolist()


class _Reading(NamedTuple):
    """One page: how it was laid out and what it held."""

    layout: _Layout
    given: tuple[tuple[str, str], ...]
    values: Floats | None
    counters: list[Counters]
    epoch: int


class _Plan:
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


def _split(line: str, origin: str) -> tuple[str, str]:
    """A sample's series with the space behind it, and its number with whatever follows."""
    if EXEMPLAR in line:
        line = line[: line.rindex(EXEMPLAR)]
    brace = line.rfind("} ")
    end = brace + 2 if brace >= 0 else line.find(" ") + 1
    if not end:
        raise CollectorError(f"{origin}: {line[:200]!r} is not a line of Prometheus' text format")
    return line[:end], line[end:].rstrip("\n")


def _floats(numbers: Sequence[str], layout: _Layout, origin: str) -> Floats:
    try:
        return np.array(list(map(float, numbers)))
    except ValueError:
        return np.array([_float(number, layout, position, origin) for position, number in enumerate(numbers)])


def _float(text: str, layout: _Layout, position: int, origin: str) -> float:
    """A number that an instant or an exemplar may follow."""
    try:
        return float(text.split(None, 1)[0])
    except (ValueError, IndexError):
        series = layout.series_at(position)
        raise CollectorError(f"{origin}: {text!r} is not a number, in series {series[:200]}") from None


def read_series(text: str) -> tuple[str, Labels]:
    """Take a series, as a page writes it, apart: its metric and its labels."""
    metric, _, rest = text.rstrip().partition("{")
    return metric, dict(_labels(rest))


def _labels(text: str) -> Iterator[tuple[str, str]]:
    for name, value in LABEL.findall(text):
        yield name, re.sub(r"\\.", lambda escape: ESCAPES.get(escape[0], escape[0]), value) if "\\" in value else value


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
