"""Logs: who has some, and what can be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graph.model import WorkloadRef
from graph.ports import LOG_LEVELS, LogSource

SOURCES: Mapping[str, str] = {
    "": "All",
    LogSource.OUTPUT: "Output",
    LogSource.ACCESS: "Requests",
    LogSource.PROXY: "Proxy",
    LogSource.OTLP: "OpenTelemetry",
}
LEVELS: Mapping[str, str] = {level: f"{level.capitalize()} or worse" for level in reversed(LOG_LEVELS)}
SPANS: Mapping[str, str] = {
    "-5m": "Last 5 min",
    "-15m": "Last 15 min",
    "-1h": "Last 1 h",
    "-6h": "Last 6 h",
    "-24h": "Last 24 h",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What is asked for, as the address says it."""

    workload: str
    """``namespace/workload``, or empty."""
    source: str
    text: str
    is_pattern: bool
    level: str
    since: str
    trace: str
    live: bool
    workloads: tuple[str, ...]
    """Who can be chosen, ``namespace/workload``."""


def filters(parameters: Mapping[str, str], known: Iterable[WorkloadRef]) -> Filters:
    """Read the address."""
    namespace, workload = parameters.get("namespace", ""), parameters.get("workload", "")
    chosen = f"{namespace}/{workload}" if workload else ""
    names = {f"{ref.namespace}/{ref.workload}" for ref in known}
    return Filters(
        workload=chosen,
        source=parameters.get("source", ""),
        text=parameters.get("regex") or parameters.get("grep", ""),
        is_pattern="regex" in parameters,
        level=parameters.get("level", ""),
        since=parameters.get("since", ""),
        trace=parameters.get("trace", ""),
        live=parameters.get("live") != "no",
        workloads=tuple(sorted(names | ({chosen} if chosen else set()))),
    )
