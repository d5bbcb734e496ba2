"""What the graph needs from the outside, in the graph's own words."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from graph.model import GraphType, Observation, Snapshot, WorkloadRef


class Clock(Protocol):
    """Time as a dependency, so that tests turn it themselves."""

    def now_ms(self) -> int:
        """Unix milliseconds UTC. May leap, forward or back, when somebody sets the machine's clock."""
        ...

    def steady_ms(self) -> int:
        """Milliseconds since some instant, for pauses and ages within this process: nobody sets it."""
        ...

    def every(self, interval_s: float) -> AsyncIterator[int]:
        """Yield the present instant now and then once per interval; late ticks are skipped, never bunched."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class MetricsSource(Protocol):
    """Cumulative counters of a mesh's proxies."""

    name: str

    async def observe(self) -> Sequence[Observation]:
        """Read every proxy once. A proxy that does not answer is left out and counted, never guessed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span as a store gives it back. Times are Unix nanoseconds."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    """``internal``, ``server``, ``client``, ``producer`` or ``consumer``."""
    start_ns: int
    end_ns: int
    error: bool
    status_message: str
    cluster: str
    namespace: str
    workload: str
    app: str
    version: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    resource: Mapping[str, str] = field(default_factory=dict)
    events: tuple[tuple[int, str, Mapping[str, str]], ...] = ()
    """``(at_ns, name, attributes)``"""
    links: tuple[tuple[str, str], ...] = ()
    """``(trace_id, span_id)`` of spans that led to this one without being its parent."""
    scope: str = ""
    """The instrumentation library's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """One line of a trace list."""

    trace_id: str
    root_name: str
    root_app: str
    start_ns: int
    duration_ns: int
    spans: int
    errors: int
    apps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceQuery:
    """What a user searches for; empty fields do not restrict. ``tag`` is ``key=value`` or ``key``."""

    namespace: str = ""
    app: str = ""
    version: str = ""
    peer_app: str = ""
    """Only traces in which ``app`` calls this app."""
    peer_version: str = ""
    """Of ``peer_app``: only calls to this version."""
    operation: str = ""
    tag: str = ""
    errors_only: bool = False
    min_duration_ms: float = 0.0
    max_duration_ms: float = 0.0
    since_ms: int = 0
    until_ms: int = 0
    limit: int = 50
    tags: tuple[str, ...] = ()
    """Further tags; one span must have all of them."""
    kind: str = ""
    """As in :class:`Span`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceStoreState:
    """What the store holds and what it had to let go."""

    traces: int
    spans: int
    bytes: int
    capacity_bytes: int
    oldest_ms: int
    dropped_spans: int
    """Let go because of age, or to make room."""
    backend: str = "embedded"
    """Who keeps the traces; only an embedded store knows how full it is."""
    lost_spans: int = 0
    """Taken, but never stored."""
    error: str = ""
    """What is wrong with it now, and the way out."""


class Operation(NamedTuple):
    """A span name of an app."""

    name: str
    kind: str
    """As in :class:`Span`; empty: not known."""


class Dependency(NamedTuple):
    """How often one app called another."""

    caller: str
    callee: str
    calls: int


class TraceStore(Protocol):
    """Where spans rest."""

    async def search(self, query: TraceQuery) -> Sequence[TraceSummary]:
        """Newest first, at most ``query.limit``."""
        ...

    async def trace(self, trace_id: str) -> Sequence[Span]:
        """All spans of a trace ordered by start; empty when it is not (or no longer) here."""
        ...

    async def state(self) -> TraceStoreState:
        """How full it is."""
        ...

    async def apps(self) -> Sequence[str]:
        """Whose spans are here, in order."""
        ...

    async def operations(self, app: str) -> Sequence[Operation]:
        """Which span names an app uses, in order."""
        ...

    async def dependencies(self, since_ms: int, until_ms: int) -> Sequence[Dependency]:
        """Who called whom, told by the spans that started then."""
        ...


LOG_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
"""From the least to the most severe."""


class LogSource(StrEnum):
    """Where a line was written."""

    OUTPUT = "output"
    """By the application, to its standard output or error."""
    PROXY = "proxy"
    """By the proxy, about itself."""
    ACCESS = "access"
    """By the proxy, about a request or connection."""
    OTLP = "otlp"
    """By the application, through OpenTelemetry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a log, or one log record."""

    at_ns: int
    """Unix nanoseconds: when it says it was written, else when it was read."""
    text: str
    source: LogSource
    workload: WorkloadRef
    instance: str = ""
    """Which copy of the workload."""
    level: str = ""
    """One of :data:`LOG_LEVELS`; empty: it does not say."""
    trace_id: str = ""
    """32 hexadecimal digits, where the line names a trace."""
    span_id: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """What a user searches for; empty fields do not restrict."""

    namespace: str = ""
    workload: str = ""
    """A workload or an app."""
    instance: str = ""
    sources: frozenset[LogSource] = frozenset()
    text: str = ""
    """Must be in the line or in one of its attributes, in whatever case."""
    pattern: str = ""
    """A regular expression (Rust's syntax, which takes no longer for any pattern than the text is long)."""
    level: str = ""
    """This one or a more severe one."""
    trace_id: str = ""
    since_ms: int = 0
    until_ms: int = 0
    limit: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """What a search found."""

    lines: Sequence[LogLine]
    """The newest that match, ordered by time."""
    complete: bool = True
    """False: the search took too long and did not look at what is older than ``reached_ms``."""
    reached_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNews:
    """Lines that were just written."""

    lines: Sequence[LogLine]
    missed: int = 0
    """Lines before these that the reader was too slow for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStoreState:
    """What the store holds and what it had to let go."""

    lines: int
    bytes: int
    capacity_bytes: int
    oldest_ms: int
    workloads: int
    dropped_lines: int
    """Let go for want of room or of age."""
    lost_lines: int
    """Never stored: more came than could be written, or the disk failed."""
    error: str = ""


class LogStore(Protocol):
    """Where logs rest."""

    async def search(self, query: LogQuery) -> LogPage:
        """Find the newest ``query.limit`` lines; raises a ``ValueError`` that names what is wrong with the query."""
        ...

    def follow(self, query: LogQuery) -> AsyncGenerator[LogNews, None]:
        """Yield matching lines as they come, from now on; times and limit of the query do not count."""
        ...

    async def workloads(self) -> Mapping[WorkloadRef, Sequence[LogSource]]:
        """Who has logs, and of which kind."""
        ...

    async def state(self) -> LogStoreState:
        """How full it is."""
        ...


class Kept(NamedTuple):
    """One frame of the history (:mod:`graph.frames`), without what is inside."""

    at_ms: int
    run: int
    """The instant at which the process that counted began to; only frames of one run have a common zero."""
    key_ms: int
    """The frame that this one is the difference to; its own instant where it is complete."""
    size: int
    """Bytes."""


class SnapshotStore(Protocol):
    """History on disk: frames, finer for the recent past, coarser for the old."""

    async def append(self, kept: Kept, body: bytes) -> None:
        """Keep a frame, and let go those that are too many; never one that another is the difference to."""
        ...

    async def index(self) -> Sequence[Kept]:
        """Say what there is, oldest first."""
        ...

    async def bodies(self, instants: Collection[int]) -> Mapping[int, bytes]:
        """Read frames by their instants; those let go meanwhile are missing."""
        ...


class GraphHistory(Protocol):
    """The graph of the past, from whoever remembers it."""

    async def snapshot(self, kind: GraphType, window_s: int, at_ms: int) -> Snapshot | None:
        """Return the window that ends at the instant; ``None`` where nothing is known of it.

        The snapshot's ``at_ms`` is the instant at which its window really ends, and its signals' ``covered_s`` the
        part of the window for which there is data.
        """
        ...

    async def reach(self) -> tuple[int, int] | None:
        """Return the oldest and the newest instant that can be asked for; ``None`` while there are none."""
        ...
