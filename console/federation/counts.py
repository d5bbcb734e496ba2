"""Everything that was counted since the server began, added up over instances, as counters that never fall."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from console.federation.text import Family, Sample, labels, number
from console.federation.words import labels_of, outcome_of
from graph.columns import Bucket, Column, Field, Requests
from graph.frames import Frame
from graph.series import SeriesKey

COUNTERS: Mapping[Field, tuple[str, str]] = {
    # Istio's proxies count from the listener's side: what they received is what the caller sent (istio/istio#32399).
    Field.RECEIVED: ("istio_tcp_sent_bytes_total", "Bytes of TCP that callees sent."),
    Field.SENT: ("istio_tcp_received_bytes_total", "Bytes of TCP that callees received."),
    Field.OPENED: ("istio_tcp_connections_opened_total", "TCP connections that were opened."),
    Field.CLOSED: ("istio_tcp_connections_closed_total", "TCP connections that were closed."),
    Field.REQUEST_MESSAGES: ("istio_request_messages_total", "gRPC messages that callers sent."),
    Field.RESPONSE_MESSAGES: ("istio_response_messages_total", "gRPC messages that callees sent."),
}
BODIES: Mapping[Field, tuple[str, str]] = {
    Field.REQUEST_BYTES: ("istio_request_bytes", "Bodies of requests, in bytes."),
    Field.RESPONSE_BYTES: ("istio_response_bytes", "Bodies of answers, in bytes."),
}


Totals = dict[str, dict[Column, float]]
"""By labels and column."""


class Cumulative:
    """Adds frames up. What an instance counted stays in the sum when the graph forgets the instance.

    Belongs to one thread at a time.
    """

    def __init__(self) -> None:
        self._last: Frame | None = None
        self._labels: dict[SeriesKey, str] = {}
        self._forgotten: Totals = {}

    def families(self, frame: Frame) -> list[Family]:
        """Write a frame as Istio's standard metrics."""
        totals = self.totals(frame)
        return [
            Family(
                name="istio_requests_total",
                kind="counter",
                help="Requests, by how they ended.",
                samples=_requests(totals),
            ),
            Family(
                name="istio_request_duration_milliseconds",
                kind="histogram",
                help="How long requests took, in milliseconds.",
                samples=_durations(totals),
            ),
            *(
                Family(name=name, kind="counter", help=what, samples=_counter(totals, field))
                for field, (name, what) in COUNTERS.items()
            ),
            *(
                Family(name=name, kind="summary", help=what, samples=_bodies(totals, field))
                for field, (name, what) in BODIES.items()
            ),
        ]

    def totals(self, frame: Frame) -> Totals:
        """Add up what has been counted; frames come in the order of their instants."""
        last, self._last = self._last, frame
        self._labels = {
            series.key: self._labels.get(series.key) or labels(labels_of(series.key)) for series in frame.series
        }
        if last is not None and last.series is not frame.series:
            self._forget(last, frame)
        totals = _added(frame, range(len(frame.series)), self._labels)
        for text, counts in self._forgotten.items():
            for column, value in counts.items():
                totals[text][column] += value
        return totals

    def _forget(self, last: Frame, frame: Frame) -> None:
        """Keep what series had counted that are gone, or have begun anew, as long as others count for their labels."""
        now = {series.key: total for series, total in zip(frame.series, _sums(frame), strict=True)}
        gone = [
            number
            for number, (series, total) in enumerate(zip(last.series, _sums(last), strict=True))
            if now.get(series.key, -1.0) < total
        ]
        known = self._labels | {last.series[one].key: labels(labels_of(last.series[one].key)) for one in gone}
        wanted = set(self._labels.values())
        for text, counts in _added(last, gone, known).items():
            kept = self._forgotten.setdefault(text, {})
            for column, value in counts.items():
                kept[column] = kept.get(column, 0.0) + value
        self._forgotten = {text: counts for text, counts in self._forgotten.items() if text in wanted}


def _sums(frame: Frame) -> Sequence[float]:
    sums: list[float] = np.bincount(frame.cell_series, frame.values, len(frame.series)).tolist()
    return sums


def _added(frame: Frame, series: Iterable[int], known: Mapping[SeriesKey, str]) -> Totals:
    """Add up the cells of some series by label set."""
    groups: dict[str, int] = {}
    group_of = np.full(len(frame.series), -1, np.int64)
    for one in series:
        text = known[frame.series[one].key]
        group_of[one] = groups.setdefault(text, len(groups))
    width = len(frame.columns)
    homes = group_of[frame.cell_series]
    wanted = homes >= 0
    cells, where = np.unique(homes[wanted] * width + frame.cell_column[wanted], return_inverse=True)
    values = np.bincount(where, weights=frame.values[wanted], minlength=len(cells))
    totals: Totals = {text: defaultdict(float) for text in groups}
    names = list(groups)
    for cell, value in zip(cells.tolist(), values.tolist(), strict=True):
        totals[names[cell // width]][frame.columns[cell % width]] = value
    return totals


def _requests(totals: Totals) -> Iterator[Sample]:
    for text, counts in totals.items():
        for column, value in counts.items():
            if isinstance(column, Requests):
                yield Sample(f"{text},{labels(outcome_of(column))}", value)


def _durations(totals: Totals) -> Iterator[Sample]:
    for text, counts in totals.items():
        buckets = sorted((column.high, value) for column, value in counts.items() if isinstance(column, Bucket))
        if not buckets:
            continue
        merged: dict[float, float] = {math.inf: 0.0}
        for high, value in buckets:
            merged[high] = merged.get(high, 0.0) + value
        below = 0.0
        for high in sorted(merged):
            below += merged[high]
            yield Sample(f'{text},le="{number(high)}"', below, "_bucket")
        yield Sample(text, counts.get(Field.LATENCY, 0.0), "_sum")
        yield Sample(text, below, "_count")


def _counter(totals: Totals, field: Field) -> Iterator[Sample]:
    for text, counts in totals.items():
        if field in counts:
            yield Sample(text, counts[field])


def _bodies(totals: Totals, field: Field) -> Iterator[Sample]:
    """A summary: the graph has no histogram of sizes, but Istio's sum and count."""
    for text, counts in totals.items():
        if field in counts:
            yield Sample(text, counts[field], "_sum")
            yield Sample(text, sum(value for one, value in counts.items() if isinstance(one, Requests)), "_count")
