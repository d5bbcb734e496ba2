"""Alert rules over the graph: what holds now, for how long, and what that changes.

:func:`evaluate` is a fold. Its state is all it remembers, so keeping the state (:func:`state_json`) keeps alerts
through a restart: none fires twice, none is forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from graph.arrays import Flags, Floats
from graph.durations import duration, milliseconds
from graph.model import Edge, Health, Node, Presence, Signals, Snapshot
from graph.query import Query, parse
from graph.query.whole import Whole
from graph.records import Objects, column, table_of
from graph.rows import by_column, some

FORGET_TRAFFIC_MS = 86_400_000
"""Traffic that has been gone for a day is no longer missed."""


class RuleKind(StrEnum):
    """What a rule watches."""

    ERROR_RATIO = "error_ratio"
    P99 = "p99"
    TRAFFIC_GONE = "traffic_gone"
    MTLS_LOST = "mtls_lost"
    CERTIFICATE_EXPIRY = "certificate_expiry"
    CONFIG_REJECTED = "config_rejected"
    FIND = "find"
    """Whatever an expression of the find language speaks of."""


@lru_cache(maxsize=1000)
def _condition(text: str) -> Query:
    parsed = parse(text)
    if isinstance(parsed, Query):
        return parsed
    raise ValueError(f"find: {parsed.message} (at character {parsed.position + 1})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One condition. ``threshold``: a share for errors and mTLS, milliseconds for p99, seconds for certificates.

    Raises ``ValueError`` where ``find`` is no expression, or there is one and the rule is of another kind.
    """

    name: str
    kind: RuleKind
    threshold: float = 0.0
    for_s: float = 0.0
    """How long the condition must hold before the alert fires."""
    namespace: str = ""
    """Only what is about this namespace; ``""``: all."""
    app: str = ""
    min_requests: float = 5.0
    """With fewer requests in the window error ratios and quantiles say nothing."""
    severity: str = "warning"
    find: str = ""
    """Of a rule of this kind: what to find, as in ``http > 1 and %err > 5`` or ``dead``."""

    def __post_init__(self) -> None:
        if bool(self.find.strip()) != (self.kind is RuleKind.FIND):
            raise ValueError(f'{self.name}: kind = "find" and find = "an expression" go together')
        _condition(self.find)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A workload's certificate as the authority knows it."""

    identity: str
    namespace: str
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy's word on the config it was sent; ``rejected`` is its reason, ``""`` if it took everything."""

    name: str
    namespace: str
    app: str = ""
    rejected: str = ""


class Columns(NamedTuple):
    """Of the edges side by side what rules go by; NaN: not measured. Edges are made of those only that a rule finds."""

    ids: Objects
    live: Flags
    stale: Flags
    idle: Flags
    requests: Floats
    error_ratio: Floats
    p99_ms: Floats
    mtls: Floats


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything rules look at."""

    snapshot: Snapshot
    certificates: Sequence[Certificate] = ()
    proxies: Sequence[Proxy] = ()

    @cached_property
    def columns(self) -> Columns:
        """The edges by the column."""
        edges = by_column(Edge, self.snapshot.edges)
        signals = table_of(Signals, edges["signals"])
        figures = (np.array(signals[name], np.float64) for name in ("requests", "error_ratio", "p99_ms", "mtls"))
        live, stale = (
            np.array([one is presence for one in edges["presence"]], bool)
            for presence in (Presence.LIVE, Presence.STALE)
        )
        idle = np.array([one is Health.IDLE for one in edges["health"]], bool)
        return Columns(column(edges["id"]), live, stale, idle, *figures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule about one subject. ``fingerprint`` is the same whenever they are."""

    fingerprint: str
    rule: str
    kind: RuleKind
    subject: str
    """An edge's or a node's id, a certificate's identity or a proxy's name."""
    namespace: str
    severity: str
    summary: str
    value: float
    threshold: float
    since_ms: int
    """When the condition began to hold."""
    fired_ms: int = 0
    """0: not yet."""
    resolved_ms: int = 0

    @property
    def firing(self) -> bool:
        """Whether it has fired and still holds."""
        return self.fired_ms > 0 and self.resolved_ms == 0


class Event(NamedTuple):
    """An alert began or ended; ``status`` as in Alertmanager."""

    status: str
    alert: Alert


@dataclass(frozen=True, slots=True)
class State:
    """The alerts that hold (pending or firing), and where traffic was last seen."""

    alerts: Mapping[str, Alert] = field(default_factory=dict)
    traffic_ms: Mapping[str, int] = field(default_factory=dict)
    """Per edge that had traffic, when."""


class _Finding(NamedTuple):
    """A condition holds (or, ``known=False``, cannot be judged now)."""

    subject: str
    namespace: str
    summary: str
    value: float
    known: bool = True


Check = Callable[[Rule, Facts, State, int], Iterator[_Finding]]

DEFAULT_RULES = (
    Rule(name="High error ratio", kind=RuleKind.ERROR_RATIO, threshold=0.05, for_s=10, severity="critical"),
    Rule(name="Slow responses", kind=RuleKind.P99, threshold=1000, for_s=30),
    Rule(name="Traffic gone", kind=RuleKind.TRAFFIC_GONE, for_s=60),
    Rule(name="mTLS lost", kind=RuleKind.MTLS_LOST, threshold=1.0, for_s=10, severity="critical"),
    Rule(name="Certificate expires soon", kind=RuleKind.CERTIFICATE_EXPIRY, threshold=600, severity="critical"),
    Rule(name="Config rejected by a proxy", kind=RuleKind.CONFIG_REJECTED, severity="critical"),
)
"""What a console watches unless told otherwise."""


def evaluate(rules: Iterable[Rule], facts: Facts, previous: State, now_ms: int) -> tuple[State, tuple[Event, ...]]:
    """Fold the facts into the state; the events are what began to fire and what was resolved.

    What cannot be judged now (its reporters are silent) stays as it was: no data neither fires nor resolves.
    """
    alerts: dict[str, Alert] = {}
    events: list[Event] = []
    for rule in rules:
        for finding in _CHECKS[rule.kind](rule, facts, previous, now_ms):
            mark = fingerprint(rule, finding.subject)
            known = previous.alerts.get(mark)
            if not finding.known:
                if known:
                    alerts[mark] = known
                continue
            alert = _held(rule, finding, known, now_ms)
            alerts[mark] = alert
            if alert.firing and not (known and known.firing):
                events.append(Event("firing", alert))
    events += [
        Event("resolved", replace(alert, resolved_ms=now_ms))
        for mark, alert in previous.alerts.items()
        if mark not in alerts and alert.firing
    ]
    return State(alerts, _traffic(facts, previous, now_ms)), tuple(events)


def fingerprint(rule: Rule, subject: str) -> str:
    """The identity of an alert, the same in every run and process."""
    return hashlib.sha256(f"{rule.kind}\n{rule.name}\n{subject}".encode()).hexdigest()[:16]


def state_json(state: State) -> dict[str, Any]:
    """The state as a plain dict."""
    return asdict(state)


def state_of(data: Mapping[str, Any]) -> State:
    """The state out of what :func:`state_json` gave."""
    alerts = {mark: Alert(**{**alert, "kind": RuleKind(alert["kind"])}) for mark, alert in data["alerts"].items()}
    return State(alerts, dict(data["traffic_ms"]))


def _held(rule: Rule, finding: _Finding, known: Alert | None, now_ms: int) -> Alert:
    since = min(known.since_ms, now_ms) if known else now_ms
    fired = known.fired_ms if known else 0
    if not fired and now_ms - since >= 1000 * rule.for_s:
        fired = now_ms
    return Alert(
        fingerprint=fingerprint(rule, finding.subject),
        rule=rule.name,
        kind=rule.kind,
        subject=finding.subject,
        namespace=finding.namespace,
        severity=rule.severity,
        summary=finding.summary,
        value=finding.value,
        threshold=rule.threshold,
        since_ms=since,
        fired_ms=fired,
    )


def _edges(rule: Rule, facts: Facts, wanted: Flags) -> Iterator[tuple[Edge, Node, Node]]:
    """Those of the edges that the rule is about, with both ends. An edge belongs to the namespace that it leads to."""
    edges = some(facts.snapshot.edges, facts.columns.ids[wanted].tolist())
    nodes = some(facts.snapshot.nodes, {end for edge in edges.values() for end in (edge.source, edge.target)})
    for edge in edges.values():
        source, target = nodes[edge.source], nodes[edge.target]
        if _is_about(rule, target):
            yield edge, source, target


def _is_about(rule: Rule, node: Node) -> bool:
    return rule.namespace in {"", node.namespace} and rule.app in {"", node.app, node.service}


def _judged(rule: Rule, facts: Facts, value: Floats) -> Iterator[tuple[Edge, str, str, bool]]:
    """The edges whose value is beyond the threshold, where there are requests enough; and those that are silent."""
    beyond = (value > rule.threshold) & (facts.columns.requests >= rule.min_requests)
    for edge, source, target in _edges(rule, facts, beyond | facts.columns.stale):
        yield edge, f"{source.title} → {target.title}", target.namespace, edge.presence is not Presence.STALE


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _error_ratio(rule: Rule, facts: Facts, _state: State, _now_ms: int) -> Iterator[_Finding]:
    for edge, words, namespace, known in _judged(rule, facts, facts.columns.error_ratio):
        ratio = edge.signals.error_ratio
        summary = f"{words}: {_percent(ratio)} of requests fail (limit {_percent(rule.threshold)})"
        yield _Finding(edge.id, namespace, summary, ratio, known)


def _p99(rule: Rule, facts: Facts, _state: State, _now_ms: int) -> Iterator[_Finding]:
    for edge, words, namespace, known in _judged(rule, facts, facts.columns.p99_ms):
        p99 = edge.signals.p99_ms or 0.0
        summary = f"{words}: p99 is {milliseconds(p99)} (limit {milliseconds(rule.threshold)})"
        yield _Finding(edge.id, namespace, summary, p99, known)


def _traffic_gone(rule: Rule, facts: Facts, state: State, now_ms: int) -> Iterator[_Finding]:
    missed = np.array([id_ in state.traffic_ms for id_ in facts.columns.ids], bool) & facts.columns.idle
    for edge, source, target in _edges(rule, facts, missed):
        gone_s = (now_ms - state.traffic_ms[edge.id]) / 1000
        summary = f"{source.title} → {target.title}: no traffic for {duration(gone_s)}"
        yield _Finding(edge.id, target.namespace, summary, 0.0, edge.presence is not Presence.STALE)
    for id_ in state.traffic_ms.keys() - facts.snapshot.edges.keys():
        # Both ends are still there, but nobody reports on the edge any more.
        if all(end in facts.snapshot.nodes for end in id_.split(">")[:2]):
            yield _Finding(id_, "", "", 0.0, known=False)


def _mtls_lost(rule: Rule, facts: Facts, _state: State, _now_ms: int) -> Iterator[_Finding]:
    for edge, source, target in _edges(rule, facts, facts.columns.mtls < rule.threshold):
        share = edge.signals.mtls
        if share is not None and _in_mesh(source) and _in_mesh(target):
            summary = f"{source.title} → {target.title}: {_percent(share)} of the traffic over mutual TLS"
            yield _Finding(edge.id, target.namespace, summary, share, edge.presence is not Presence.STALE)


def _in_mesh(node: Node) -> bool:
    """Whether mutual TLS is to be expected of it: it has an identity."""
    return bool(node.principals)


def _certificate_expiry(rule: Rule, facts: Facts, _state: State, now_ms: int) -> Iterator[_Finding]:
    for certificate in facts.certificates:
        left_s = (certificate.expires_ms - now_ms) / 1000
        if left_s < rule.threshold and rule.namespace in {"", certificate.namespace}:
            summary = f"the certificate of {certificate.identity} " + (
                f"expires in {duration(left_s)}" if left_s > 0 else "has expired"
            )
            yield _Finding(certificate.identity, certificate.namespace, summary, left_s)


def _config_rejected(rule: Rule, facts: Facts, _state: State, _now_ms: int) -> Iterator[_Finding]:
    for proxy in facts.proxies:
        if proxy.rejected and rule.namespace in {"", proxy.namespace} and rule.app in {"", proxy.app}:
            yield _Finding(proxy.name, proxy.namespace, f"{proxy.name} rejected its config: {proxy.rejected}", 1.0)


def _found(rule: Rule, facts: Facts, _state: State, _now_ms: int) -> Iterator[_Finding]:
    whole, condition = Whole(facts.snapshot), _condition(rule.find)
    for node in facts.snapshot.nodes.values():
        if _is_about(rule, node) and condition.matches_node(node, whole):
            yield _Finding(node.id, node.namespace, f"{node.title}: {rule.find}", 1.0)
    for edge, source, target in _edges(rule, facts, np.full(len(facts.columns.ids), True)):
        silent = edge.presence is Presence.STALE
        matches = condition.matches_edge(edge, whole)
        # Old figures decide nothing; that they are old may be what is looked for.
        known = not silent or (matches and not condition.matches_edge(edge._replace(presence=Presence.LIVE), whole))
        if matches or not known:
            yield _Finding(edge.id, target.namespace, f"{source.title} → {target.title}: {rule.find}", 1.0, known)


_CHECKS: Mapping[RuleKind, Check] = {
    RuleKind.ERROR_RATIO: _error_ratio,
    RuleKind.P99: _p99,
    RuleKind.TRAFFIC_GONE: _traffic_gone,
    RuleKind.MTLS_LOST: _mtls_lost,
    RuleKind.CERTIFICATE_EXPIRY: _certificate_expiry,
    RuleKind.CONFIG_REJECTED: _config_rejected,
    RuleKind.FIND: _found,
}


def _traffic(facts: Facts, previous: State, now_ms: int) -> dict[str, int]:
    """When each edge last had traffic."""
    seen = {id_: min(at, now_ms) for id_, at in previous.traffic_ms.items() if now_ms - at < FORGET_TRAFFIC_MS}
    return seen | dict.fromkeys(facts.columns.ids[facts.columns.live].tolist(), now_ms)
