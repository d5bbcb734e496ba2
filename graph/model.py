"""The graph's vocabulary: who talks to whom, what was observed, and what it amounts to.

Every stored edge is the finest one (:class:`EdgeKey`); graph types are projections of it
(:mod:`graph.types`). Instants are Unix milliseconds UTC (``at_ms``), shares are 0-1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

UNKNOWN = "unknown"
"""The field's word for an end of an edge that nobody could name."""

OPERATIONS = 100
"""Most operations, and most hosts, of one target that are told apart."""

OTHER = "other"
"""The operation, or host, that stands for all beyond them."""

PRINCIPALS = 8
"""Most pairs of principals that are shown of one edge."""

PEER_PREFIX: Mapping[str, str] = {"db": "database", "queue": "queue", "ext": "external"}
"""Peers that only traces know are ``WorkloadRef(cluster, caller's namespace, "", app, "")``.

``app`` is one of these prefixes, a colon, the peer's name and, where several may share the name, ``@address``:
``db:redis@127.64.0.9:6379``, ``queue:orders``, ``ext:api.example.com``. The values are :class:`NodeKind` values.
"""


class Protocol(StrEnum):
    """What a request is counted as. Database and messaging edges are known from traces only."""

    HTTP = "http"
    GRPC = "grpc"
    TCP = "tcp"


class Reporter(StrEnum):
    """Who counted. One request is seen by several reporters; a window uses one, in this order."""

    SOURCE = "source"
    DESTINATION = "destination"
    WAYPOINT = "waypoint"
    """A proxy on the way that stands in for the callee's."""
    APPLICATION = "application"
    """The caller's own metrics, by OpenTelemetry: every call, but only what its libraries know of the other end."""
    TRACE = "trace"


class WorkloadRef(NamedTuple):
    """One version of one application: what runs. ``version`` is ``""`` when it has none."""

    cluster: str
    namespace: str
    workload: str
    app: str
    version: str


class ServiceRef(NamedTuple):
    """A name that callers use. Names outside the mesh have the namespace that declared them."""

    cluster: str
    namespace: str
    name: str


class EdgeKey(NamedTuple):
    """The finest edge. ``target=None``: never reached a workload; ``service=None``: no known service."""

    source: WorkloadRef
    service: ServiceRef | None
    target: WorkloadRef | None
    protocol: Protocol


class Outcome(NamedTuple):
    """How a request ended, in Istio's words. ``code`` "0": no response; ``grpc`` "": not gRPC."""

    code: str
    grpc: str
    flags: str


class Security(StrEnum):
    """What protected the connection, as its reporter saw it."""

    MUTUAL_TLS = "mutual_tls"
    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative counts per upper bound, as Prometheus buckets: ``counts[i]`` samples ≤ ``bounds[i]``.

    The last bound is ``inf``; ``total`` is the sum of all sampled values, in milliseconds.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Everything one reporter's instance has counted on one edge since its epoch began."""

    requests: Mapping[Outcome, float] = field(default_factory=dict)
    latency_ms: Histogram | None = None
    sent_bytes: float = 0.0
    """TCP bytes from source to target."""
    received_bytes: float = 0.0
    """TCP bytes from target to source."""
    opened: float = 0.0
    closed: float = 0.0
    """TCP connections."""
    request_messages: float = 0.0
    """gRPC messages from source to target."""
    response_messages: float = 0.0
    """gRPC messages from target to source."""
    request_bytes: float = 0.0
    """Bodies of HTTP and gRPC requests, where the mesh counts them."""
    response_bytes: float = 0.0
    """Bodies of HTTP and gRPC answers, where the mesh counts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One cumulative reading of one series, complete: what is left out counts as zero.

    A series is what one instance counts on one edge as one reporter under one security, one pair of principals, one
    operation and one host; a reader gives one observation per series and instant. A new epoch, or a counter that falls,
    means that the instance started again.
    """

    edge: EdgeKey
    reporter: Reporter
    instance: str
    """Which process counted (proxy node id, or the span source); replicas count separately."""
    epoch: int
    """Unix ms when the instance began to count. One that began before the graph was watching is counted from its
    first reading on; any other from zero."""
    at_ms: int
    counters: Counters
    security: Security = Security.UNKNOWN
    source_principal: str = ""
    destination_principal: str = ""
    origin: str = ""
    """Where the number comes from, to show a user: an admin socket, a query, a receiver."""
    operation: str = ""
    """What was asked for, where it is told: ``GET /cart/{id}``, a span's name, ``request_operation``; ``""``: not told.

    Readers name at most :data:`OPERATIONS` per target and count the rest as :data:`OTHER`.
    """
    host: str = ""
    """The host that was asked for, where it is not the name of the edge's service; bounded as operations are."""
    carrier: bool = False
    """It counts connections that may carry requests which another reporter counts: sources pass one of the two on."""


class Health(StrEnum):
    """Kiali's scale; the order of priority is failure, degraded, not ready, healthy, idle."""

    FAILURE = "failure"
    DEGRADED = "degraded"
    NOT_READY = "not_ready"
    HEALTHY = "healthy"
    IDLE = "idle"
    """No traffic, so nothing to judge."""


class Presence(StrEnum):
    """Whether an edge's numbers can be believed now. Absent is a value."""

    LIVE = "live"
    STALE = "stale"
    """Its reporters have not been heard for longer than three of their intervals."""
    IDLE = "idle"
    """Reporters are heard, no traffic in the window."""


class Evidence(NamedTuple):
    """One reporter's word on an edge within the window: the provenance that a user can look up."""

    reporter: Reporter
    instances: int
    requests: float
    at_ms: int
    origin: str


NO_OUTCOMES: Mapping[Outcome, float] = {}


class Signals(NamedTuple):
    """The golden signals of one edge or node in one window. Rates are per second."""

    window_s: int
    covered_s: float
    """The part of the window for which there is data; rates are per covered second."""
    requests: float = 0.0
    """Requests in the window, exact where the source is."""
    rate: float = 0.0
    errors: float = 0.0
    """Requests in the window that failed: 5xx, no response, or a gRPC status other than 0."""
    error_ratio: float = 0.0
    outcomes: Mapping[Outcome, float] = NO_OUTCOMES
    """Requests in the window by outcome."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    sent_bps: float = 0.0
    received_bps: float = 0.0
    """Bytes per second."""
    opened_rate: float = 0.0
    mtls: float | None = None
    """Share of the traffic over mutual TLS; ``None`` where no reporter could tell.

    Where there are requests and TCP bytes, both kinds weigh alike: bytes would outweigh any request.
    """
    request_messages: float = 0.0
    response_messages: float = 0.0
    """gRPC messages per second."""
    request_bps: float = 0.0
    response_bps: float = 0.0
    """Bytes of bodies per second, where the mesh counts them."""


class NodeKind(StrEnum):
    """What a node stands for, which decides its icon and shape."""

    WORKLOAD = "workload"
    APP = "app"
    SERVICE = "service"
    GATEWAY = "gateway"
    DATABASE = "database"
    QUEUE = "queue"
    OPERATION = "operation"
    """What callers ask of a workload."""
    EXTERNAL = "external"
    """A host that somebody declared."""
    PASSTHROUGH = "passthrough"
    """Hosts that nobody declared, and that proxies pass on to."""
    BLACK_HOLE = "blackhole"
    """Hosts that nobody declared, and that proxies refuse."""
    PROBE = "probe"
    """Callers that ask whether something lives."""
    SCRAPER = "scraper"
    """Callers that fetch metrics."""
    OUTSIDE = "outside"
    """Clients outside the mesh."""
    UNKNOWN = "unknown"


STRANGERS = frozenset({NodeKind.PROBE, NodeKind.SCRAPER, NodeKind.OUTSIDE, NodeKind.UNKNOWN})
"""Callers that no label names."""
UNDECLARED = frozenset({NodeKind.PASSTHROUGH, NodeKind.BLACK_HOLE})
"""Nodes that stand for every host that nobody declared."""
OUTSIDE_HOSTS = frozenset({NodeKind.EXTERNAL, *UNDECLARED})
"""Nodes that stand for hosts outside the mesh; a client there is :attr:`NodeKind.OUTSIDE`."""


class GraphType(StrEnum):
    """Kiali's graph types, by Kiali's names."""

    APP = "app"
    VERSIONED_APP = "versionedApp"
    WORKLOAD = "workload"
    SERVICE = "service"
    OPERATION = "operation"
    """Workloads, and between caller and callee what was asked for, where it is told."""
    FINEST = "finest"
    """Every edge by itself: caller, service, callee, protocol, operation and host; for machines."""


class Node(NamedTuple):
    """One node of a projection. ``id`` is stable across revisions and readable in a URL."""

    id: str
    kind: NodeKind
    cluster: str
    namespace: str
    label: str
    app: str = ""
    version: str = ""
    workload: str = ""
    service: str = ""
    replicas: int | None = None
    badges: tuple[str, ...] = ()
    """From the config: ``virtual-service``, ``gateway-api``, ``request-routing``, ``traffic-shifting``,
    ``tcp-traffic-shifting``, ``circuit-breaker``, ``fault-injection``, ``timeout``, ``mirroring``, ``service-entry``;
    of a Service: ``no-endpoints``;
    of what runs: ``no-sidecar``, ``ambient``, ``waypoint``, ``workload-entry``."""
    principals: tuple[str, ...] = ()
    tolerances: str = ""
    """The annotation by which its health is judged, where it has one of its own."""
    reason: str = ""
    """Of traffic that nobody could name: why it is taken for what ``kind`` says, and the way out."""
    hosts: tuple[str, ...] = ()
    """Of a gateway: the hosts that it serves; of a host outside: what was declared."""
    labels: tuple[tuple[str, str], ...] = ()
    """As the inventory knows them."""
    health: Health = Health.IDLE
    """What follows from numbers comes last: :mod:`graph.snapshots` completes what a projection knows."""
    inbound: Signals | None = None
    outbound: Signals | None = None
    """``None``: no traffic in that direction."""

    @property
    def title(self) -> str:
        """The label with the version, unless the label says it already, as a workload's does."""
        says_it = not self.version or self.label.endswith(f"-{self.version}")
        return self.label if says_it else f"{self.label} {self.version}"


class Edge(NamedTuple):
    """One edge of a projection; ``source`` and ``target`` are node ids."""

    id: str
    source: str
    target: str
    protocol: Protocol
    signals: Signals
    health: Health
    presence: Presence
    evidence: tuple[Evidence, ...]
    """The reporter whose numbers are shown comes first."""
    keys: tuple[EdgeKey, ...]
    """The finest edges that this one sums up."""
    at_ms: int
    """When its newest number was read."""
    service: str = ""
    """``namespace/name`` of the service called, where it is one service."""
    reason: str = ""
    """Why it is stale, or will be unless its source recovers, and the way out; empty where nothing is known but silence.
    An edge that is still live has one as soon as all who are heard of it are in doubt: its numbers are as last read."""
    operation: str = ""
    host: str = ""
    """As observed; only graph types that tell operations or hosts apart have them."""
    principals: tuple[tuple[str, str], ...] = ()
    """Who called whom by certificate: pairs of source and destination, at most :data:`PRINCIPALS`."""
    latency_ms: Histogram | None = None
    """In the finest graph: the samples, from which those of any group of edges follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One projection at one moment; immutable, replaced as a whole."""

    type: GraphType
    window_s: int
    revision: int
    at_ms: int
    nodes: Mapping[str, Node]
    edges: Mapping[str, Edge]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Nodes that belong together: a cluster, a namespace of it, an app of which there are several nodes."""

    id: str
    label: str
    kind: str
    """``cluster``, ``namespace`` or ``app``."""
    parent: str | None
    """The group around it."""
    nodes: tuple[str, ...]
    """All that are in it, in order; those of the groups within it, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What changed between two snapshots of one projection."""

    source: int
    """The revision this starts from."""
    target: int
    at_ms: int
    nodes: Mapping[str, Node]
    edges: Mapping[str, Edge]
    gone_nodes: tuple[str, ...]
    gone_edges: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    gone_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is known to exist, traffic or not: one workload of the inventory."""

    ref: WorkloadRef
    kind: NodeKind
    replicas: int
    service_account: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    badges: tuple[str, ...] = ()
    """As of :class:`Node`."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    """Of a gateway: the hosts that config has it serve."""
    entries: tuple[str, ...] = ()
    """The WorkloadEntries behind it."""
    available: int | None = None
    """Replicas that can serve; ``None``: not told."""
    desired: int | None = None
    """Replicas that are asked for; ``None``: not told."""
    synced: int = -1
    """Proxies that have their config; below 0: not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service of the inventory. ``kind`` is ``EXTERNAL`` for a host outside the mesh, ``DATABASE`` where one is."""

    ref: ServiceRef
    kind: NodeKind
    hosts: tuple[str, ...]
    workloads: tuple[WorkloadRef, ...]
    ports: Mapping[int, str] = field(default_factory=dict)
    """Port number to protocol."""
    badges: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    location: str = ""
    """Of a ServiceEntry: ``MESH_EXTERNAL`` or ``MESH_INTERNAL``."""
    entry: str = ""
    """The ServiceEntry that declares it."""
    routes: tuple[str, ...] = ()
    """The hosts of the routes that lead to it."""
    addresses: tuple[str, ...] = ()
    """Where it is reached from outside its cluster; of a ServiceEntry: where config says that its hosts are."""
    endpoints: int | None = None
    """Those who answer for it, ready or not; ``None``: not told."""
    ready: int | None = None
    """How many of its endpoints are ready; ``None``: not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Everything that exists according to the registry and the config."""

    workloads: Mapping[WorkloadRef, Workload] = field(default_factory=dict)
    services: Mapping[ServiceRef, Service] = field(default_factory=dict)
