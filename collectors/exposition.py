"""Prometheus text pages to observations, remembering what each series means.

A proxy sends the same series in the same order on every scrape; only the numbers change. So a series is parsed once
and known by its text from then on, and a page that is laid out as the last one is only compared with it: no text is
hashed, and what did not change is not put together again.

An Envoy that gets a new listener forgets, once the old one is drained, every series that the new one has not used yet:
it vanishes from the page and begins again at zero, while its neighbours go on. So each series is followed by itself,
and what it had counted stays.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from io import StringIO
from typing import NamedTuple

import numpy as np

from collectors.counting import counters, observation
from collectors.dialects import Dialect, Identity, Labels
from collectors.errors import CollectorError
from collectors.layout import COMMENT, Followed, Layout, Meaning, Whose
from collectors.live_bytes import LiveBytes
from graph.arrays import Floats
from graph.model import Counters, Observation

LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"')
SAMPLE = re.compile(r'([ \t]*[a-zA-Z_:][\w:]*[ \t]*(?:\{(?:[^"}\n]|"(?:[^"\\]|\\.)*")*\}[ \t]*|(?<=[ \t])))(\S.*)')
"""A series with the blanks behind it, and its number with whatever follows."""
ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
NO_LABELS: Labels = {}
EXEMPLAR = " # {"
COMMENTED = ("#", "\n", "\r", "")
"""How lines without a sample begin."""

_Given = tuple[tuple[str, str], ...]
"""Labels of what was scraped that count for the dialect."""


class Exposition:
    """Reads pages in one dialect. Not for several threads at once."""

    def __init__(self, dialect: Dialect, *, cluster: str, most_series: int = 500_000) -> None:
        self.cluster = cluster
        self._dialect = dialect
        self._most_series = most_series
        self._known: dict[_Given, dict[str, Meaning]] = {}
        self._series = 0
        self._whose: dict[Identity, Whose] = {}
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
        given = self._given(target)
        last = self._last.get(instance)
        if last and last.epoch != epoch:
            last = None
        numbers = last.layout.numbers(page) if last and last.given == given else None
        if last is None or numbers is None:
            last, numbers = self._lay_out(page, given, epoch, origin, last)
        followed = last.layout.follow(_floats(numbers, last.layout, origin), last.followed)
        reading = self._last[instance] = self._assembled(last, followed, instance)
        return [
            observation(whose.identity, counted, instance=instance, epoch=epoch, at_ms=at_ms, origin=origin)
            for whose, counted in zip(reading.layout.whose, reading.counters, strict=True)
        ]

    def _given(self, target: Labels) -> _Given:
        return tuple((name, target[name]) for name in self._dialect.labels if target.get(name)) if target else ()

    def _lay_out(
        self, page: str, given: _Given, epoch: int, origin: str, last: _Reading | None
    ) -> tuple[_Reading, list[str]]:
        """Look every line up by its text."""
        if full := self._series > self._most_series:
            # Series of proxies long gone are in there, too: begin anew rather than grow for ever.
            self._known, self._whose, self._series = {}, {}, 0
        lines: list[tuple[str, Meaning]] = []
        numbers: list[str] = []
        for line in StringIO(page, newline="\n"):
            if line.lstrip(" \t")[:1] in COMMENTED:
                lines.append((line, COMMENT))
                continue
            series, number = _split(line, origin)
            lines.append((series, self._meaning(series, given)))
            numbers.append(number)
        gone = {series: self._meaning(series, given) for series in last.layout.gone(lines, forget=full)} if last else {}
        layout = Layout(lines, gone)
        followed = layout.take_over(last.layout, last.followed) if last and last.followed else None
        return _Reading(layout, given, epoch, followed, None, []), numbers

    def _meaning(self, series: str, given: _Given) -> Meaning:
        known = self._known.setdefault(given, {})
        try:
            return known[series]
        except KeyError:
            self._series += 1
            return known.setdefault(series, self._learn(series, given))

    def _learn(self, series: str, given: _Given) -> Meaning:
        metric, own = read_series(series)
        labels = {**dict(given), **own}
        meaning = self._dialect.read(metric, labels, self.cluster)
        if meaning is None:
            return self._dialect.read_listener(metric, labels)
        identity, measure = meaning
        return self._whose.setdefault(identity, Whose(identity)), measure

    def _assembled(self, last: _Reading, followed: Followed, instance: str) -> _Reading:
        """Put counters together, those of identities of which no number changed being the same objects as before."""
        layout = last.layout
        values = layout.sums(followed)
        flat = values.tolist()
        if last.values is None:
            counted = [plan.counters(flat) for plan in layout.plans]
        else:
            counted = list(last.counters)
            for number in layout.changed(last.values, values):
                counted[number] = layout.plans[number].counters(flat, counted[number])
        if layout.flowing:
            self._share(layout, flat, counted, instance, last.epoch)
        return last._replace(followed=followed, values=values, counters=counted)

    def _share(self, layout: Layout, flat: Sequence[float], counted: list[Counters], instance: str, epoch: int) -> None:
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


class _Reading(NamedTuple):
    """One page: how it was laid out and what it held."""

    layout: Layout
    given: _Given
    epoch: int
    followed: Followed | None
    values: Floats | None
    """What each slot has counted; ``None``: not of this layout yet."""
    counters: list[Counters]


def _split(line: str, origin: str) -> tuple[str, str]:
    """A sample's series with the blanks behind it, and its number with whatever follows."""
    end = line.rfind("} ") + 2
    if end > 1 and '"' not in line[end:] and EXEMPLAR not in line:
        return line[:end], line[end:].rstrip("\n")
    found = SAMPLE.match(line)
    if not found:
        raise CollectorError(f"{origin}: {line[:200]!r} is not a line of Prometheus' text format")
    return found[1], found[2]


def _floats(numbers: Sequence[str], layout: Layout, origin: str) -> Floats:
    try:
        return np.array(list(map(float, numbers)))
    except ValueError:
        return np.array([_float(number, layout, position, origin) for position, number in enumerate(numbers)])


def _float(text: str, layout: Layout, position: int, origin: str) -> float:
    """A number that an instant or an exemplar may follow."""
    try:
        return float(text.split(None, 1)[0])
    except (ValueError, IndexError):
        series = layout.series_at(position)
        raise CollectorError(f"{origin}: {text!r} is not a number, in series {series[:200]}") from None


def read_series(text: str) -> tuple[str, Labels]:
    """Take a series, as a page writes it, apart: its metric and its labels."""
    metric, _, rest = text.partition("{")
    return metric.strip(), dict(_labels(rest))


def escaped(value: str) -> str:
    """Write a label's value as pages do, without the quotes."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _labels(text: str) -> Iterator[tuple[str, str]]:
    for name, value in LABEL.findall(text):
        yield name, re.sub(r"\\.", lambda escape: ESCAPES.get(escape[0], escape[0]), value) if "\\" in value else value
