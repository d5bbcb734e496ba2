"""What questions about the graph are answered with, as the API's OpenAPI says it. Shares are 0-1, times milliseconds."""

from __future__ import annotations

from console.web.answers.shape import Answer
from graph.analysis.words import Quantile, Weakness
from graph.model import GraphType


class Named(Answer):
    """A node."""

    id: str
    namespace: str
    label: str
    version: str


class Share(Answer):
    """A share, and what the counters allow at least and at most."""

    least: float
    likely: float
    most: float


class Of(Answer):
    """Which graph was asked: its type, its window in seconds, and Unix milliseconds at its end."""

    graph: GraphType
    window: int
    at: int


class Entry(Named):
    """Where traffic begins, with its requests per second."""

    rate: float
    share: Share


class Caller(Named):
    """Who calls what failed, over so many calls."""

    share: Share
    hops: int


class BlastRadius(Of):
    """What the failure of some nodes means."""

    failed: list[Named]
    share: Share
    entry_rate: float
    entries: list[Entry]
    callers: list[Caller]
    starved: list[Named]
    unharmed: int


class SinglePoint(Named):
    """One single point of failure."""

    weaknesses: list[Weakness]
    share: Share
    cut_off: list[Named]
    replicas: int | None
    stand_ins: list[Named]


class SinglePoints(Of):
    """Those that most hangs on first."""

    items: list[SinglePoint]


class Cycle(Answer):
    """One circle of calls; ``edges`` are edges' ids."""

    nodes: list[Named]
    edges: list[str]
    way: list[Named]
    rate: float


class Cycles(Of):
    """The busiest first."""

    items: list[Cycle]


class Step(Answer):
    """One call of a chain."""

    edge: str
    source: Named
    target: Named
    ms: float
    added_ms: float
    share: float


class Chain(Answer):
    """One way through the graph."""

    ms: float
    steps: list[Step]


class Chains(Of):
    """The slowest first."""

    quantile: Quantile
    items: list[Chain]


class PathSpan(Answer):
    """A span of a trace."""

    span_id: str
    name: str
    app: str
    version: str
    duration_ms: float


class Waited(PathSpan):
    """A span, the time in which none of its children ran, and of its own work what the answer waited for."""

    self_ms: float
    critical_ms: float


class Segment(Answer):
    """A part of the path; since the root began."""

    span_id: str
    start_ms: float
    end_ms: float


class TracePath(Answer):
    """The critical path of a trace."""

    trace_id: str
    root: PathSpan
    segments: list[Segment]
    spans: list[Waited]
    apart: int


class Between(Answer):
    """What two ends exchange, each a node or a group that stands for its nodes: quantiles of all requests."""

    source: str
    target: str
    protocol: str
    edges: list[str]
    p50: float
    p95: float
    p99: float


class Latencies(Of):
    """How long requests to and from groups took."""

    items: list[Between]
