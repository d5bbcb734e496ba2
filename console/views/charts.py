"""Golden signals over time: the number now, and a picture of how it went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from console.views import format as fmt
from console.views.metrics import Metric, metrics, volumes
from console.views.spark import Spark, lines
from graph.course import Course
from graph.model import Protocol, Signals

LATENCIES = (("p50", "tcp"), ("p95", "warn"), ("p99", "accent"))
"""Quantiles and the tones of their lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One signal."""

    metric: Metric
    picture: Spark | None
    top: str
    """What the uppermost line stands for."""
    legend: tuple[tuple[str, str], ...] = ()
    """Tone and name of each line, where there are several."""
    points: tuple[tuple[int, str], ...] = ()
    """Each instant, and what was measured since the one before."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """The instants of a course, and where across a picture of the last ``span_s`` each belongs, 0-1."""

    at_ms: Sequence[int]
    span_s: int

    @property
    def places(self) -> list[float]:
        return [1 - (self.at_ms[-1] - at_ms) / (1000 * self.span_s) for at_ms in self.at_ms]


def charts(signals: Signals, course: Course, span_s: int, direction: str) -> tuple[Chart, ...]:
    """Requests, errors and latency, and bytes of TCP, over the last *span_s* s, whichever there were.

    *direction*: ``received`` or ``sent``.
    """
    axis = _Axis(course.at_ms, span_s)
    requests = _of_requests(signals, course, axis, direction) if signals.requests or any(course.rate) else ()
    volume = (signals.sent_bps, signals.received_bps, *course.sent_bps, *course.received_bps)
    return (*requests, *_of_bytes(signals, course, axis)) if any(volume) else requests


def _of_requests(signals: Signals, course: Course, axis: _Axis, direction: str) -> tuple[Chart, ...]:
    requests, errors, latency = metrics(signals, Course(), Protocol.HTTP, direction)
    failing = "error" if any(course.error_ratio) else "ok"
    return (
        _chart(requests, "accent", course.rate, axis, lambda value: f"{fmt.rate(value)} rps"),
        _chart(errors, failing, course.error_ratio, axis, fmt.percent),
        _of_latency(latency, course, axis),
    )


def _of_bytes(signals: Signals, course: Course, axis: _Axis) -> tuple[Chart, ...]:
    sent, received, opened = volumes(signals)
    return (
        _chart(sent, "tcp", course.sent_bps, axis, fmt.throughput),
        _chart(received, "tcp", course.received_bps, axis, fmt.throughput),
        Chart(metric=opened, picture=None, top=""),
    )


def _chart(
    metric: Metric, tone: str, values: Sequence[float | None], axis: _Axis, written: Callable[[float], str]
) -> Chart:
    """A chart of one line; one that never leaves zero has no scale."""
    top = written(_top(values)) if any(values) else ""
    text = f"{metric.label} over time, now {metric.value} {metric.unit}" + (f", at most {top}" if top else "")
    return Chart(
        metric=metric,
        picture=lines({tone: values}, axis.places, top=_top(values), text=text),
        top=top,
        points=tuple(
            (at_ms, fmt.NONE if value is None else written(value))
            for at_ms, value in zip(axis.at_ms, values, strict=True)
        ),
    )


def _of_latency(metric: Metric, course: Course, axis: _Axis) -> Chart:
    quantiles = (course.p50_ms, course.p95_ms, course.p99_ms)
    top = max(map(_top, quantiles))
    text = f"Latency over time, p95 now {metric.value} {metric.unit}, p99 at most {fmt.milliseconds(top)}"
    tones = (tone for _, tone in LATENCIES)
    picture = lines(dict(zip(tones, quantiles, strict=True)), axis.places, top=top, text=text)
    told = (
        " · ".join(f"{name} {fmt.milliseconds(value)}" for (name, _), value in zip(LATENCIES, values, strict=True))
        for values in zip(*quantiles, strict=True)
    )
    return Chart(
        metric=metric,
        picture=picture,
        top=fmt.milliseconds(top) if picture else "",
        legend=tuple((tone, name) for name, tone in LATENCIES) if picture else (),
        points=tuple(zip(axis.at_ms, told, strict=True)),
    )


def _top(values: Sequence[float | None]) -> float:
    return max((value for value in values if value is not None), default=0.0) or 1.0
