"""Golden signals as tiles: the number, what it is of, and how it went."""

from __future__ import annotations

from dataclasses import dataclass

from console.views import format as fmt
from console.views.spark import Spark, spark
from graph.course import Course
from graph.model import Protocol, Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One golden signal."""

    label: str
    value: str
    unit: str
    hint: str
    picture: Spark | None


def metrics(signals: Signals, course: Course, protocol: Protocol, direction: str) -> tuple[Metric, ...]:
    """Requests, errors and latency; bytes for TCP."""
    if protocol is Protocol.TCP and not signals.requests:
        return volumes(signals)
    window = fmt.window(signals.window_s)
    failing = signals.errors > 0
    ratio, _, percent_unit = fmt.percent(signals.error_ratio).partition(" ")
    latency, _, latency_unit = fmt.milliseconds(signals.p95_ms).partition(" ")
    rate = fmt.rate(signals.rate)
    return (
        Metric(
            label="Requests",
            value=rate,
            unit="rps",
            hint=f"{fmt.count(signals.requests)} {direction} in {window}",
            picture=spark(course.rate, tone="accent", text=f"Requests over the window, now {rate} per second"),
        ),
        Metric(
            label="Errors",
            value=ratio,
            unit=percent_unit,
            hint=f"{fmt.count(signals.errors)} failed in {window}",
            picture=spark(
                course.error_ratio, tone="error" if failing else "ok", text=f"Errors over the window, now {ratio} %"
            ),
        ),
        Metric(
            label="Latency p95",
            value=latency,
            unit=latency_unit,
            hint=f"p50 {fmt.milliseconds(signals.p50_ms)} · p99 {fmt.milliseconds(signals.p99_ms)}",
            picture=spark(
                course.p95_ms, tone="warn", text=f"p95 latency over the window, now {latency} {latency_unit}"
            ),
        ),
    )


def volumes(signals: Signals) -> tuple[Metric, ...]:
    """Bytes both ways, and connections."""
    sent, _, unit = fmt.throughput(signals.sent_bps).partition(" ")
    received, _, back = fmt.throughput(signals.received_bps).partition(" ")
    return (
        Metric(label="Sent", value=sent, unit=unit, hint="from source to target", picture=None),
        Metric(label="Received", value=received, unit=back, hint="from target to source", picture=None),
        Metric(label="Connections", value=fmt.rate(signals.opened_rate), unit="opened/s", hint="", picture=None),
    )
