"""What the API answers about the graph."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from console.web.answers.shape import Answer
from graph.compare import Verdict
from graph.model import GraphType, Health, NodeKind, Presence, Protocol, Reporter

Pair = tuple[str, str]


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
