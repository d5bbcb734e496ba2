"""How each mesh words its telemetry: one module per mesh, data plus a small function, nothing that waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from graph.model import EdgeKey, Outcome, Reporter, Security

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose traffic a series counts: all of it that one reporter tells apart."""

    edge: EdgeKey
    reporter: Reporter
    security: Security
    source_principal: str
    destination_principal: str
    listener: str = ""
    """TCP: the listener that the traffic came through, for proxies that count live bytes per listener."""


@dataclass(frozen=True, slots=True)
class Requests:
    """The series counts requests that ended like this."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class LatencyBucket:
    """The series counts requests that took at most this many milliseconds."""

    bound_ms: float


@dataclass(frozen=True, slots=True)
class LatencySum:
    """The series sums up latencies; ``scale`` turns its unit into milliseconds."""

    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Tcp:
    """The series counts into this field of :class:`graph.model.Counters`."""

    field: str


@dataclass(frozen=True, slots=True)
class ListenerBytes:
    """The series counts bytes of all connections of a listener as they flow, whoever they belong to."""

    listener: str
    field: str


Measure = Requests | LatencyBucket | LatencySum | Tcp


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One mesh's words for one request.

    ``read(metric, labels, cluster)`` says whose traffic a series counts, and what of it; ``None`` where
    the series is about something else. ``cluster`` is the reporting proxy's, for series that name none.

    ``read_listener(metric, labels)`` does so for live bytes, which proxies know per listener only.
    """

    name: str
    stats_filter: str
    """Regular expression for Envoy's admin: only the series that the dialect reads."""
    read: Callable[[str, Labels, str], tuple[Identity, Measure] | None]
    read_listener: Callable[[str, Labels], ListenerBytes | None] = lambda _metric, _labels: None


def first_known(labels: Labels, names: Iterable[str]) -> str:
    """Return the first of these labels with a value that says something; ``""`` when none does."""
    for name in names:
        value = labels.get(name, "")
        if value not in {"", "-", "unknown"}:
            return value
    return ""
