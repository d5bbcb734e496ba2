"""A mesh's own metrics that come by OTLP: a Collector has scraped its proxies and passes on what it read.

The series are put together again as the proxy's page had them, and read by the same dialect as that page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors.dialects import COLLECTED_BY, Dialect, known
from collectors.exposition import Exposition, escaped
from graph.model import Observation

TOTAL = "_total"
PARTS = ("_bucket", "_sum", "_count")
REMEMBERED = 10_000
IDLE_MS = 3_600_000
KINDS = ("sum", "histogram", "exponential")
ORIGIN = "OTLP metrics forwarded by a Collector"


class PointTime(NamedTuple):
    """Of which time a point is, by its sender's clock."""

    delta: bool
    """It counts what came since the last one."""
    started_ms: int
    """When its process, or its count, began."""
    at_ms: int


@dataclass(slots=True)
class _Page:
    """What one proxy counts, as it was last told."""

    started_ms: int
    heard_ms: int
    values: dict[str, float] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    """When each series was last told, by the sender's clock."""
    heard: bool = True

    def write(self, series: str, value: float, when: PointTime) -> None:
        """Take a value; the first of a process that has started again makes what the old one counted go."""
        before = self.values.get(series, 0.0)
        if value < before and not when.delta and self.told[series] < when.started_ms:
            self.told = {name: at_ms for name, at_ms in self.told.items() if at_ms >= when.started_ms}
            self.values = {name: self.values[name] for name in self.told}
        self.values[series] = before + value if when.delta else value
        self.told[series] = when.at_ms


class Forwarded:
    """Holds pages of at most *most* series together. Not for several threads at once."""

    def __init__(self, *, cluster: str, most: int, dialects: Iterable[Dialect] | None = None) -> None:
        self.refused = 0
        """Samples that found no room."""
        self._most = most
        self._cluster = cluster
        found = known().values() if dialects is None else dialects
        self._read = {one.name: (one, Exposition(one, cluster=cluster)) for one in found}
        self._pages: dict[tuple[str, str], _Page] = {}
        self._dialects: dict[str, tuple[str, ...]] = {}
        self.series = 0
        """How many series are held."""

    def reads(self, name: str, kind: str) -> bool:
        """Whether a dialect knows the metric."""
        return kind in KINDS and bool(self._dialects_of(f"{name}_bucket" if kind == "histogram" else _counter(name)))

    def take(
        self,
        labels: Mapping[str, str],
        resource: Mapping[str, str],
        samples: Iterable[tuple[str, str, float]],
        when: PointTime,
        *,
        now_ms: int,
    ) -> None:
        """Take samples of one point: name, ``le`` or nothing, and value."""
        page = None
        for name, bound, value in samples:
            metric = name if name.endswith(PARTS) else _counter(name)
            told = {**labels, "le": bound} if bound else labels
            if page is None and (dialect := self._speaker(metric, told)):
                page = self._page(dialect, labels, resource, when.started_ms, now_ms)
            if page is not None:
                self._write(page, _series(metric, told), value, when)
                page.heard, page.heard_ms = True, now_ms

    def _write(self, page: _Page, series: str, value: float, when: PointTime) -> None:
        if series not in page.values:
            if self.series >= self._most:
                self.refused += 1
                return
            self.series += 1
        page.write(series, value, when)

    def observations(self, now_ms: int) -> list[Observation]:
        """Read the pages that have been heard of since the last time."""
        self._pages = {key: page for key, page in self._pages.items() if now_ms - page.heard_ms <= IDLE_MS}
        self.series = sum(len(page.values) for page in self._pages.values())
        found: list[Observation] = []
        for (dialect, instance), page in self._pages.items():
            if page.heard:
                page.heard = False
                text = "\n".join(f"{series} {value!r}" for series, value in page.values.items())
                found += self._read[dialect][1].read(
                    text, instance=instance, epoch=page.started_ms, at_ms=page.heard_ms, origin=ORIGIN
                )
        return found

    def _page(
        self, dialect: str, labels: Mapping[str, str], resource: Mapping[str, str], started_ms: int, now_ms: int
    ) -> _Page:
        scraped = {"instance": resource.get("service.instance.id", ""), "pod": resource.get("k8s.pod.name", "")}
        namespace = {"namespace": resource["k8s.namespace.name"]} if resource.get("k8s.namespace.name") else {}
        instance = self._read[dialect][0].instance({**scraped, **namespace, **labels}) or "otlp"
        return self._pages.setdefault((dialect, instance), _Page(started_ms, now_ms))

    def _speaker(self, metric: str, labels: Mapping[str, str]) -> str:
        """Name the dialect that understands a series: several meshes share Envoy's names, and differ by labels."""
        if COLLECTED_BY.items() <= labels.items():
            return ""  # our own page, that a Collector has scraped
        candidates = self._dialects_of(metric)
        return next((one for one in candidates if self._read[one][0].read(metric, labels, self._cluster)), "")

    def _dialects_of(self, metric: str) -> tuple[str, ...]:
        found = self._dialects.get(metric)
        if found is None:
            found = tuple(name for name, (one, _) in self._read.items() if _reads(one, metric))
            if len(self._dialects) < REMEMBERED:
                self._dialects[metric] = found
        return found


def _reads(dialect: Dialect, metric: str) -> bool:
    return metric in dialect.metrics or bool(dialect.metric_pattern and re.fullmatch(dialect.metric_pattern, metric))


def _counter(name: str) -> str:
    """Give a counter the suffix that Collectors may have taken away."""
    return name if name.endswith(TOTAL) else f"{name}{TOTAL}"


def _series(name: str, labels: Mapping[str, str]) -> str:
    pairs = (f'{key}="{escaped(value)}"' for key, value in labels.items())
    return f"{name}{{{','.join(pairs)}}}"
