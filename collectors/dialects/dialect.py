"""What a dialect is: the metrics that a mesh writes, and what each series of them counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from graph.model import EdgeKey, Outcome, Reporter, Security

Labels = Mapping[str, str]

NOTHING_SAID = frozenset({"", "-", "unknown"})
"""Values of labels that say nothing."""

COLLECTED_BY: Labels = {"collected_by": "meshscope"}
"""The label of what meshscope publishes, and of proxies that it tells others of: it has counted all that already."""

REPLICA_LABELS = ("prometheus_replica", "__replica__", "receive_replica", "rule_replica")
"""External labels that tell replicas of one Prometheus apart, as its operator, Mimir and Thanos write them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose traffic a series counts: all of it that one reporter tells apart."""

    edge: EdgeKey
    reporter: Reporter
    security: Security
    source_principal: str
    destination_principal: str
    carrier: bool = False
    """It counts connections that may carry what another reporter counts as requests: of the two one is shown."""
    listener: str = ""
    """TCP: the listener that the traffic came through, for proxies that count live bytes per listener."""
    operation: str = ""
    host: str = ""
    """As in :class:`graph.model.Observation`."""


@dataclass(frozen=True, slots=True)
class Requests:
    """The series counts requests that ended like this."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Part:
    """The series counts some of the requests that another one counts as ``of``: those that ended like ``outcome``."""

    outcome: Outcome
    of: Outcome


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
    """The series counts into this field of :class:`graph.model.Counters`: bytes, connections, messages."""

    field: str


@dataclass(frozen=True, slots=True)
class Amount:
    """The series adds up messages or bytes of requests into this field of :class:`graph.model.Counters`."""

    field: str


@dataclass(frozen=True, slots=True)
class ListenerBytes:
    """The series counts bytes of all connections of a listener as they flow, whoever they belong to."""

    listener: str
    field: str


Measure = Requests | Part | LatencyBucket | LatencySum | Tcp | Amount


class Latency(StrEnum):
    """When the clock of a mesh's latency stops."""

    NONE = "none"
    """The mesh does not measure it."""
    FIRST_BYTE = "first byte"
    LAST_BYTE = "last byte"


class Sign(NamedTuple):
    """Series by which a mode of a mesh is known, such as Istio's ambient mode."""

    metric: str
    matcher: str
    """Of PromQL: ``component="ztunnel"``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What a mesh cannot tell, why, and what a user can do about it."""

    signal: str
    """``edges``, ``requests``, ``latency``, ``tcp``, ``mtls``, ``version`` …"""
    reason: str
    remedy: str
    """Empty: nothing helps."""
    beside: Sign | None = None
    """Whoever holds no such series is not concerned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What must be there for edges to be drawn."""

    metric: str
    """The metric that must exist; a regular expression that matches its whole name."""
    labels: tuple[str, ...] = ()
    """Labels of which some series of it must carry at least one with a value."""
    reason: str
    remedy: str
    """The setting or relabelling to paste, as YAML or a command."""
    beside: Sign | None = None
    """Whoever holds no such series does without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One mesh's words for one request.

    ``read(metric, labels, cluster)`` says whose traffic a series counts, and what of it; ``None`` where
    the series is about something else. ``cluster`` is the reporting proxy's, for series that name none.

    ``read_listener(metric, labels)`` does so for live bytes, which proxies know per listener only.
    """

    name: str
    read: Callable[[str, Labels, str], tuple[Identity, Measure] | None]
    read_listener: Callable[[str, Labels], ListenerBytes | None] = lambda _metric, _labels: None
    title: str = ""
    """What people call it."""
    stats_filter: str = ""
    """Regular expression for Envoy's admin: only the series that the dialect reads."""
    metrics: tuple[str, ...] = ()
    """Exact names of the metrics that it reads."""
    metric_pattern: str = ""
    """Regular expression (whole names, RE2) of further metrics, where names are made up as traffic flows."""
    labels: tuple[str, ...] = ()
    """Labels that it reads, ``le`` included: all that an aggregated query has to keep apart."""
    selector: str = ""
    """Further matchers of PromQL, without braces: ``direction="outbound"``."""
    probe: tuple[str, ...] = ()
    """Metrics of which one is there wherever this mesh is."""
    sample_tells: bool = False
    """Other meshes write metrics of these names, too: only the labels of a series tell which mesh it is."""
    covered_by: tuple[str, ...] = ()
    """Dialects that count the same requests better: beside one of them this one is not read."""
    latency: Latency = Latency.NONE
    gaps: tuple[Gap, ...] = ()
    requires: tuple[Need, ...] = ()
    instance_labels: tuple[str, ...] = ("pod", "kubernetes_pod_name", "pod_name", "instance")
    """Labels that name the process that counts, the best first.

    A pod comes before the address that was scraped: a sidecar's page is often read at two ports, and its series,
    equal but for ``instance`` and ``job``, are one count (take the larger, never the sum).
    """
    replica_labels: tuple[str, ...] = REPLICA_LABELS
    """Labels to be dropped before anything is summed: series that differ in these only are the same count, twice."""

    def named_by(self, instance_labels: tuple[str, ...]) -> Dialect:
        """Read the same, of processes that other labels name."""
        return replace(self, instance_labels=instance_labels)

    def instance(self, labels: Labels) -> str:
        """Name the process whose count a series of Prometheus is; ``""`` when no label tells."""
        for name in self.instance_labels:
            if value := labels.get(name, ""):
                scope = first_known(labels, ["namespace", "kubernetes_namespace"])
                return f"{scope}/{value}" if scope and name != "instance" else value
        return ""


def first_known(labels: Labels, names: Iterable[str]) -> str:
    """Return the first of these labels with a value that says something; ``""`` when none does."""
    for name in names:
        value = labels.get(name, "")
        if value not in NOTHING_SAID:
            return value
    return ""
