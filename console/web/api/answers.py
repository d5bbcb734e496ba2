"""What the API answers with, as its OpenAPI says it: the shapes of the JSON that the routes write.

Handlers write plain dicts, which costs less than models by the thousand; these say what is in them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from collectors.als.tap import TapState
from console.state.deliveries import State
from graph.alerts import Rule, RuleKind
from graph.compare import Verdict
from graph.model import GraphType, Health, NodeKind, Presence, Protocol, Reporter
from graph.ports import LogSource, LogStoreState, TraceStoreState
from wizards.analyzers.findings import Level

Pair = tuple[str, str]


class Plain(BaseModel):
    """An object whose fields are all there, and no others."""

    model_config = ConfigDict(extra="forbid")


class Answer(Plain):
    """One whose fields are named in camel case, as JSON's mostly are."""

    model_config = ConfigDict(alias_generator=to_camel)


class Problem(Answer):
    """What is wrong with one field."""

    object: str
    path: str
    message: str
    fix: str


class Refusal(BaseModel):
    """Why a request was not done: a sentence that names the field and the way out, and details where there are some."""

    error: str
    problems: list[Problem] = []


# The graph


class Traffic(Answer):
    """The golden signals: rates and bytes per second, quantiles in milliseconds, shares 0-1; null: not known."""

    rate: float
    requests: float
    errors: float
    error_ratio: float
    p50: float | None
    p95: float | None
    p99: float | None
    sent: float
    received: float


class Signals(Traffic):
    """The same, and the share that mutual TLS protected."""

    mtls: float | None


class Node(Answer):
    """One node."""

    id: str
    kind: NodeKind
    cluster: str
    namespace: str
    label: str
    app: str
    version: str
    workload: str
    service: str
    parent: str | None
    health: Health
    inbound: Signals | None = Field(alias="in")
    outbound: Signals | None = Field(alias="out")
    replicas: int | None
    badges: list[str]
    principals: list[str]
    reason: str
    hosts: list[str]
    labels: dict[str, str]
    tolerances: str


class Evidence(Answer):
    """Who counted."""

    reporter: Reporter
    instances: int
    requests: float
    at: int
    origin: str


class Edge(Signals):
    """One edge; ``source`` and ``target`` are nodes' ids."""

    id: str
    source: str
    target: str
    protocol: Protocol
    service: str
    health: Health
    presence: Presence
    reason: str
    at: int
    mean: float | None
    opened: float
    operation: str
    host: str
    principals: list[Pair]
    throughput: tuple[float, float]
    messages: tuple[float, float]
    codes: dict[str, float]
    flags: dict[str, float]
    covered: float
    evidence: list[Evidence]


class Box(Answer):
    """A namespace that holds nodes."""

    id: str
    label: str
    kind: Literal["namespace"]


class Group(Answer):
    """What belongs together; ``parent`` is the group around it."""

    id: str
    label: str
    kind: Literal["cluster", "namespace", "app"]
    parent: str | None
    nodes: list[str]


class Found(Answer):
    """Ids of what an expression speaks of."""

    nodes: list[str]
    edges: list[str]


class Graph(Answer):
    """One projection of the graph, at Unix milliseconds ``at``; ``found``: where something is looked for."""

    type: Literal["snapshot"]
    graph: GraphType
    window: int
    revision: int
    at: int
    nodes: list[Node]
    edges: list[Edge]
    boxes: list[Box]
    groups: list[Group]
    found: Found | None


class Moment(Answer):
    """A window: when it ends, how long it is, and for how much of it there is data, in seconds."""

    at: int
    window: int
    covered: float


class Change(Answer):
    """What is different about an edge or a node."""

    id: str
    label: str
    verdicts: list[Verdict]
    before: Traffic | None
    after: Traffic | None
    health: tuple[Health, Health] | None
    replicas: tuple[int | None, int | None] | None


class Comparison(Answer):
    """Two moments, the most pressing changes first."""

    type: Literal["comparison"]
    graph: GraphType
    before: Moment = Field(alias="from")
    to: Moment
    edges: list[Change]
    nodes: list[Change]
    undecided: int
    same: int


# Config


class Key(Answer):
    """Names an object."""

    group: str
    kind: str
    namespace: str
    name: str


class Objects(Answer):
    """Manifests, of one revision."""

    revision: int
    items: list[dict[str, Any]]


class Object(Answer):
    """A manifest, and the revision that last changed it; 0: an agent leases it."""

    revision: int
    manifest: dict[str, Any]
    yaml: str


class Done(Key):
    """What became of an object."""

    action: Literal["created", "configured", "unchanged", "deleted"]


class Settled(BaseModel):
    """What the proxies said to a revision."""

    acknowledged: list[str]
    waiting: list[str]
    rejected: dict[str, str]
    elapsed_ms: float


class Written(Answer):
    """A revision that was written, or would be."""

    revision: int
    dry_run: bool
    changed: list[Done]
    settled: Settled | None


class Difference(Answer):
    """How an object differs from the live one."""

    object: Key
    unified: str


class Differences(Answer):
    """Those objects that differ."""

    diff: list[Difference]


class Revision(Answer):
    """A line of the history."""

    revision: int
    at: str
    author: str
    reason: str
    changed: list[Key]


class History(Answer):
    """Revisions, newest first."""

    items: list[Revision]


class Sides(Difference):
    """An object before and after; empty: it was not there."""

    old: str
    new: str


class Changes(BaseModel):
    """What a revision changed."""

    revision: int
    changes: list[Sides]


# Proxies


class ResourceState(Answer):
    """How far a proxy is with one type of resources."""

    sent: str | int
    acked: str | int
    rejected: str
    at: str


class Proxy(Answer):
    """One proxy."""

    node: str
    instance: str
    namespace: str
    workload: str
    role: str
    connected: bool
    revision_acked: int
    in_sync: bool
    problem: str
    notes: list[str]
    types: dict[str, ResourceState]


class Proxies(Answer):
    """Every proxy, and the revision that they should have."""

    revision: int
    items: list[Proxy]


class ProxyConfig(Answer):
    """What a proxy was sent, as Envoy's JSON."""

    node: str
    resources: Any


class Certificates(Answer):
    """The certificates in use, and how far the rotation of the root is."""

    items: list[dict[str, Any]]
    rotation: dict[str, Any]


# Traces


class TraceLine(Answer):
    """One line of a list of traces."""

    trace_id: str
    name: str
    app: str
    start: str
    duration_ms: float
    spans: int
    errors: int
    apps: list[str]


class Traces(Plain):
    """Traces, newest first."""

    items: list[TraceLine]
    store: TraceStoreState


class Link(Answer):
    """A span that led to another one without being its parent."""

    trace_id: str
    span_id: str


class SpanEvent(Answer):
    """What happened within a span."""

    at_ns: str
    name: str
    attributes: dict[str, str]


class Span(Answer):
    """One span; nanoseconds are text, since JSON's numbers do not hold them."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start_ns: str
    end_ns: str
    error: bool
    status_message: str
    cluster: str
    namespace: str
    workload: str
    app: str
    version: str
    attributes: dict[str, str]
    resource: dict[str, str]
    scope: str
    links: list[Link]
    events: list[SpanEvent]


class Trace(Answer):
    """All spans of a trace, by their start."""

    trace_id: str
    spans: list[Span]


# Logs and the tap


class Workload(Answer):
    """One version of one application."""

    cluster: str
    namespace: str
    workload: str
    app: str
    version: str


class LogLine(Workload):
    """One line."""

    at: str
    at_ns: str
    level: str
    source: LogSource
    text: str
    instance: str
    trace_id: str
    span_id: str
    attributes: dict[str, str]


class Logs(Plain):
    """Lines by time; not complete: older ones than ``reached`` were not looked at."""

    items: list[LogLine]
    complete: bool
    reached: str
    store: LogStoreState


class LoggingWorkload(Workload):
    """Who has logs."""

    sources: list[LogSource]


class LoggingWorkloads(Answer):
    """Everybody who has logs."""

    items: list[LoggingWorkload]


class Service(Answer):
    """A name that callers use."""

    cluster: str
    namespace: str
    name: str


class Request(Answer):
    """A request as a proxy logged it."""

    at: str
    at_ns: str
    source: Workload | None
    target: Workload | None
    service: Service | None
    reporter: str
    protocol: Protocol
    method: str
    path: str
    authority: str
    code: int
    grpc: str
    flags: str
    details: str
    duration_ms: float
    received_bytes: int
    sent_bytes: int
    request_id: str
    trace_id: str
    user_agent: str
    failed: bool


class Hint(Answer):
    """What to apply where no proxy tells."""

    message: str
    manifest: str


class Tapped(Plain):
    """The newest requests, by time."""

    items: list[Request]
    state: TapState
    hint: Hint | None


# Alerts


class Alert(Answer):
    """One rule about one subject; times are empty while they have not come."""

    fingerprint: str
    rule: str
    kind: RuleKind
    subject: str
    namespace: str
    severity: str
    summary: str
    value: float
    threshold: float
    since: str
    fired: str
    resolved: str


class AlertEvent(Answer):
    """An alert began or ended."""

    id: int | str
    at: str
    status: str
    alert: Alert


class Alerts(Answer):
    """What fires, what is about to, and what began and ended."""

    firing: list[Alert]
    pending: list[Alert]
    events: list[AlertEvent]


class Rules(Plain):
    """The rules."""

    items: list[Rule]


class Delivery(Answer):
    """One message to one endpoint."""

    number: int
    id: str
    endpoint: str
    type: str
    state: State
    attempts: int
    created: str
    next: str
    finished: str
    last: str


class Attempt(Answer):
    """One attempt to deliver."""

    at: str
    took_ms: int
    status: int
    problem: str


class DeliveryWhole(Delivery):
    """A delivery with what was sent, and every attempt."""

    body: str
    attempt_log: list[Attempt]


class Deliveries(Answer):
    """Deliveries, newest first; endpoints that are delivered to no more, with the reason; how many are in which state."""

    items: list[Delivery]
    disabled: dict[str, str]
    counts: dict[str, int]


class Replayed(Answer):
    """A delivery that will be made again."""

    number: int
    state: Literal["pending"]


# Signals


class Advice(Answer):
    """A way out, and what to paste where it says."""

    text: str
    paste: str


class Signal(Answer):
    """One source or sink."""

    area: str
    name: str
    text: str
    presence: Literal["present", "off", "missing", "stale", "failing"]
    advice: list[Advice]
    counters: dict[str, float]
    ok: bool


class AllSignals(Answer):
    """Every source and sink."""

    items: list[Signal]


class Alive(Answer):
    """The loop turns."""

    ok: bool


class Ready(Alive):
    """Whether every part works; those that do not, with the reason."""

    failing: dict[str, str]


# Wizards


class Intent(Answer):
    """How requests are to be shared, in percent by subset."""

    namespace: str
    service: str
    gateway: str
    weights: dict[str, int]
    versions: dict[str, str]


class Reading(BaseModel):
    """What the live config says: shares, none, or something that the wizard did not write."""

    kind: Literal["split", "unsplit", "foreign"]
    weights: dict[str, int] = {}
    reason: str = ""
    object: str = ""


class Finding(Answer):
    """What a check found."""

    code: str
    level: Level
    kind: str
    namespace: str
    name: str
    message: str
    path: str


class ObjectChange(Answer):
    """An object before and after."""

    key: list[str]
    old: str
    new: str
    diff: str


class Plan(Answer):
    """A change, thought through; ``plannedOn`` goes back with the apply."""

    title: str
    intent: Intent
    now: Reading
    changes: list[ObjectChange]
    diff: str
    findings: list[Finding]
    appliable: bool
    revision: int
    planned_on: list[tuple[str, str, str, str, int]]


class Option(Answer):
    """A subset that can get a share; ``facts``: what runs of it."""

    subset: str
    version: str
    weight: int
    exists: bool
    facts: dict[str, Any] | None


class Situation(Answer):
    """Where a user starts from."""

    namespace: str
    service: str
    gateway: str
    gateways: list[str]
    now: Reading
    options: list[Option]


class Settlement(BaseModel):
    """How a revision reached the proxies: how many have it, and which not."""

    acknowledged: int
    waiting: list[str]
    rejected: list[str]
    elapsed_ms: float


class Applied(BaseModel):
    """A change that was made."""

    at: str
    id: str
    revision: int
    author: str
    reason: str
    title: str
    intent: dict[str, Any]
    settled: Settlement
    readback_ok: bool
    undoes: str


class AppliedChanges(Answer):
    """What wizards did, newest first."""

    items: list[Applied]
