"""A mesh's metrics as a table: which metrics count what, and which labels name whom.

Most dialects are such a table and, where names are packed into one label, one function that unpacks them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from collectors.dialects.dialect import (
    Dialect,
    Gap,
    Identity,
    Labels,
    Latency,
    LatencyBucket,
    LatencySum,
    Measure,
    Need,
    Part,
    Requests,
    Tcp,
    first_known,
)
from graph.model import PEER_PREFIX, UNKNOWN, EdgeKey, Outcome, Protocol, Reporter, Security, ServiceRef, WorkloadRef

NO_RESPONSE = "0"
NO_FLAGS = "-"
FINE = "ok"
"""The code of requests of which only this is told: that they did not fail."""

GRPC_NAMES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""gRPC's statuses by number."""
GRPC_NUMBERS = {name: str(number) for number, name in enumerate(GRPC_NAMES)}
RANDOM = "[bcdfghjklmnpqrstvwxz2456789]"
"""What Kubernetes makes random names of."""
POD = re.compile(rf"(?P<owner>.+?)(?:(?:-{RANDOM}{{6,10}})?-{RANDOM}{{5}}|-\d+)")
"""Pods of a Deployment, a DaemonSet or Job, a StatefulSet."""
TCP_FIELDS = ("sent_bytes", "received_bytes", "opened", "closed")


class Unit(StrEnum):
    """What latencies are measured in."""

    MS = "ms"
    S = "s"

    @property
    def ms(self) -> float:
        """How many milliseconds it is."""
        return 1000.0 if self is Unit.S else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Labels that name one end of an edge; of each tuple the first that says something counts."""

    workload: tuple[str, ...] = ()
    namespace: tuple[str, ...] = ()
    app: tuple[str, ...] = ()
    """Without one that says something: the workload."""
    version: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()
    principal: tuple[str, ...] = ()
    pod: tuple[str, ...] = ()
    """Where no label names the workload: the pod's name, less what Kubernetes appended to its owner's."""
    kind: tuple[str, ...] = ()
    """Labels that say ``database``, ``queue`` or ``external``: then it is a peer that sends no telemetry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """Labels that name the service that was asked for."""

    name: tuple[str, ...] = ()
    namespace: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The table. A metric that no field names is none of the mesh's."""

    requests: tuple[str, ...] = ()
    """Counters of requests that ended, or of all requests where ``parts`` says how they ended."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Counters of some of these requests, by the code that they ended with; the rest ended like ``whole``."""
    whole: str = NO_RESPONSE
    grpc_metrics: tuple[str, ...] = ()
    """Those of ``requests`` and ``latencies`` that count gRPC only."""
    latencies: tuple[str, ...] = ()
    """Histograms, by their names without ``_bucket``."""
    unit: Unit = Unit.MS
    tcp: Mapping[str, str] = field(default_factory=dict)
    """Counters of TCP, by what they count: ``sent_bytes`` (by the source), ``received_bytes``, ``opened``, ``closed``."""
    carriers: bool = False
    """TCP counters count the connections that carry requests, too."""
    source: End = End()
    target: End = End()
    service: Called = Called()
    reporter: tuple[str, ...] = ()
    """Labels that tell who counted."""
    reporters: Mapping[str, Reporter] = field(default_factory=dict)
    """What their values mean; a series with any other value is not read."""
    told_by: Reporter = Reporter.SOURCE
    """Who counted, where no label tells."""
    code: tuple[str, ...] = ()
    """Labels with the HTTP status: ``503``, ``5xx`` or ``5``."""
    grpc: tuple[str, ...] = ()
    """Labels with gRPC's status, as a number or a name."""
    flags: tuple[str, ...] = ()
    """Labels with Envoy's response flags, or what comes near."""
    failed: tuple[str, ...] = ()
    """Labels that say ``true`` of failures, where no code tells."""
    protocol: tuple[str, ...] = ()
    """Labels that tell the protocol: ``http``, ``grpc`` or ``tcp``, and what begins so."""
    mtls: Mapping[str, Mapping[str, Security]] = field(default_factory=dict)
    """Per label what its values say of the connection."""
    only: Mapping[str, str] = field(default_factory=dict)
    """Per label a regular expression of its whole value: other series are not read."""
    unpack: Callable[[str, Labels], tuple[str, Labels] | None] | None = None
    """Turns metric and labels into those that the table is about; ``None``: not about an edge."""
    reads: tuple[str, ...] = ()
    """Labels that ``unpack`` reads."""
    makes: tuple[str, ...] = ()
    """Labels that only ``unpack`` makes: no series has them."""

    def dialect(
        self,
        *,
        name: str,
        title: str,
        stats_filter: str = "",
        metrics: tuple[str, ...] = (),
        metric_pattern: str = "",
        probe: tuple[str, ...] = (),
        latency: Latency = Latency.NONE,
        gaps: tuple[Gap, ...] = (),
        requires: tuple[Need, ...] = (),
        instance_labels: tuple[str, ...] | None = None,
        sample_tells: bool = False,
        covered_by: tuple[str, ...] = (),
    ) -> Dialect:
        """Make the dialect that reads by this table."""
        made = Dialect(
            name=name,
            title=title,
            read=_Reader(self).read,
            stats_filter=stats_filter,
            metrics=metrics or (() if metric_pattern else self.metrics),
            metric_pattern=metric_pattern,
            labels=self.labels,
            selector=",".join(_matcher(label, value) for label, value in self.only.items()),
            probe=probe,
            latency=latency,
            gaps=gaps,
            requires=requires,
            sample_tells=sample_tells,
            covered_by=covered_by,
        )
        return made if instance_labels is None else made.named_by(instance_labels)

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics that the table names, as a page has them."""
        return (
            *self.requests,
            *self.parts,
            *(f"{name}_{of}" for name in self.latencies for of in ("bucket", "sum")),
            *self.tcp,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that the table reads."""
        named = [
            *(name for end in (self.source, self.target) for name in _labels_of(end)),
            *(*self.service.name, *self.service.namespace, *self.service.cluster),
            *(
                *self.reporter,
                *self.code,
                *self.grpc,
                *self.flags,
                *self.failed,
                *self.protocol,
                *self.mtls,
                *self.only,
                *self.reads,
            ),
            *(["le"] if self.latencies else []),
        ]
        return tuple(name for name in dict.fromkeys(named) if name not in self.makes)


class _Reader:
    """Reads series by a table."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._only = {label: re.compile(value) for label, value in words.only.items()}
        self._grpc = frozenset(words.grpc_metrics)
        self._latencies = {f"{name}_{of}": name for name in words.latencies for of in ("bucket", "sum")}

    def read(self, metric: str, labels: Labels, cluster: str) -> tuple[Identity, Measure] | None:
        words = self._words
        if any(not value.fullmatch(labels.get(label, "")) for label, value in self._only.items()):
            return None
        if words.unpack is not None:
            unpacked = words.unpack(metric, labels)
            if unpacked is None:
                return None
            metric, labels = unpacked
        measure = self._measure(metric, labels)
        reporter = self._reporter(labels)
        if measure is None or reporter is None:
            return None
        edge = self._edge(metric, labels, cluster)
        if edge is None:
            return None
        return Identity(
            edge=edge,
            reporter=reporter,
            security=self._security(labels),
            source_principal=first_known(labels, words.source.principal),
            destination_principal=first_known(labels, words.target.principal),
            carrier=words.carriers and metric in words.tcp,
        ), measure

    def _measure(self, metric: str, labels: Labels) -> Measure | None:
        words = self._words
        if metric in words.requests:
            told = not words.parts or first_known(labels, words.failed)
            return Requests(self._outcome(labels) if told else Outcome(words.whole, "", NO_FLAGS))
        if metric in words.parts:
            if first_known(labels, words.failed):
                return None
            return Part(Outcome(words.parts[metric], "", NO_FLAGS), of=Outcome(words.whole, "", NO_FLAGS))
        if metric in words.tcp:
            return Tcp(words.tcp[metric])
        if metric not in self._latencies:
            return None
        if metric.endswith("_sum"):
            return LatencySum(words.unit.ms)
        return LatencyBucket(round(float(labels["le"]) * words.unit.ms, 6)) if "le" in labels else None

    def _outcome(self, labels: Labels) -> Outcome:
        words = self._words
        grpc = first_known(labels, words.grpc)
        code = first_known(labels, words.code)
        if len(code) == 1 and code.isdigit() and code != NO_RESPONSE:
            code = f"{code}xx"
        if not code and words.failed:
            code = NO_RESPONSE if first_known(labels, words.failed) == "true" else FINE
        flags = first_known(labels, words.flags)
        if not code and grpc:
            code = NO_RESPONSE if flags else "200"
        return Outcome(code or NO_RESPONSE, GRPC_NUMBERS.get(grpc.upper(), grpc), flags or NO_FLAGS)

    def _reporter(self, labels: Labels) -> Reporter | None:
        words = self._words
        return words.reporters.get(first_known(labels, words.reporter)) if words.reporters else words.told_by

    def _edge(self, metric: str, labels: Labels, cluster: str) -> EdgeKey | None:
        words = self._words
        source = _workload(words.source, labels, cluster)
        target = _workload(words.target, labels, cluster, near=source)
        service = _service(words.service, labels, source.cluster if source else cluster)
        if source is None and target is None and service is None:
            return None
        return EdgeKey(
            source or WorkloadRef(cluster, UNKNOWN, UNKNOWN, UNKNOWN, ""),
            service,
            target,
            self._protocol(metric, labels),
        )

    def _protocol(self, metric: str, labels: Labels) -> Protocol:
        words = self._words
        if metric in words.tcp:
            return Protocol.TCP
        told = first_known(labels, words.protocol).lower()
        for protocol in Protocol:
            if told.startswith(protocol):
                return protocol
        base = self._latencies.get(metric, metric)
        return Protocol.GRPC if base in self._grpc or first_known(labels, words.grpc) else Protocol.HTTP

    def _security(self, labels: Labels) -> Security:
        for label, meanings in self._words.mtls.items():
            if (value := labels.get(label, "")) in meanings:
                return meanings[value]
        return Security.UNKNOWN


def _workload(end: End, labels: Labels, cluster: str, near: WorkloadRef | None = None) -> WorkloadRef | None:
    workload = first_known(labels, end.workload) or owner_of(first_known(labels, end.pod))
    app = first_known(labels, end.app) or workload
    if not app:
        return None
    cluster = first_known(labels, end.cluster) or cluster
    kind = first_known(labels, end.kind)
    namespace = first_known(labels, end.namespace)
    for prefix, meaning in PEER_PREFIX.items():
        if kind == meaning:
            return WorkloadRef(cluster, namespace or (near.namespace if near else UNKNOWN), "", f"{prefix}:{app}", "")
    return WorkloadRef(cluster, namespace or UNKNOWN, workload or app, app, first_known(labels, end.version))


def _service(called: Called, labels: Labels, cluster: str) -> ServiceRef | None:
    name = first_known(labels, called.name)
    if not name:
        return None
    namespace = first_known(labels, called.namespace)
    return ServiceRef(first_known(labels, called.cluster) or cluster, namespace or UNKNOWN, name)


def owner_of(pod: str) -> str:
    """Name the workload whose pod this is, by how Kubernetes makes pods' names; ``""`` for no pod."""
    found = POD.fullmatch(pod)
    return found["owner"] if found else pod


def _labels_of(end: End) -> tuple[str, ...]:
    return (*end.workload, *end.namespace, *end.app, *end.version, *end.cluster, *end.principal, *end.pod, *end.kind)


def _matcher(label: str, value: str) -> str:
    """Write a matcher of PromQL."""
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{label}{"=" if re.escape(value) == value else "=~"}"{quoted}"'
