"""DestinationRule: how a service is called once a route has chosen it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mesh_runtime.api.spec import Flaw, Many, Spec, not_yet, repeated
from mesh_runtime.api.values import Count, DnsLabel, Duration, HeaderName, Host, Labels

Percentage = Annotated[int, Field(ge=0, le=100)]
Simple = Literal["UNSPECIFIED", "LEAST_CONN", "RANDOM", "ROUND_ROBIN", "LEAST_REQUEST"]
"""``LEAST_CONN`` is the old name of ``LEAST_REQUEST``, which is what ``UNSPECIFIED`` means."""


class HTTPCookie(Spec):
    """A cookie to hash; made where a ttl is given and the request has none."""

    later = frozenset({"attributes"})

    name: HeaderName
    path: str = ""
    ttl: Duration | None = None


class RingHash(Spec):
    """Ketama."""

    minimum_ring_size: Annotated[int, Field(ge=1, le=8 * 1024 * 1024)] = 1024


class MagLev(Spec):
    """Google's Maglev; the size must be a prime."""

    table_size: Annotated[int, Field(ge=3, le=5_000_011)] = 65_537

    def flaws(self) -> Iterator[Flaw]:
        """Envoy needs a prime."""
        size = self.table_size
        if any(size % factor == 0 for factor in range(2, int(size**0.5) + 1)):
            yield Flaw(("tableSize",), f"{size} is not a prime number", "use one, such as 65537")


class ConsistentHash(Spec):
    """The same key goes to the same instance."""

    later = frozenset({"minimumRingSize"})

    http_header_name: HeaderName | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool = False
    http_query_parameter_name: str | None = Field(default=None, min_length=1, max_length=256)
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None

    def flaws(self) -> Iterator[Flaw]:
        """One key, one algorithm."""
        yield from self.one_of("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name")
        yield from self.one_of("ring_hash", "maglev", needed=False)


class LoadBalancer(Spec):
    """Which instance is next."""

    later = frozenset({"localityLbSetting", "warmupDurationSecs", "warmup"})

    simple: Annotated[Simple, not_yet("PASSTHROUGH")] | None = None
    consistent_hash: ConsistentHash | None = None

    def flaws(self) -> Iterator[Flaw]:
        """One of the two."""
        yield from self.one_of("simple", "consistent_hash")


class TcpKeepalive(Spec):
    """Probes of silent connections."""

    probes: Count | None = None
    time: Duration | None = None
    interval: Duration | None = None


class TCPSettings(Spec):
    """Limits of all connections."""

    max_connections: Count | None = None
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: Duration | None = None


class HTTPSettings(Spec):
    """Limits of HTTP connections."""

    later = frozenset({"useClientProtocol"})

    http1_max_pending_requests: Count | None = None
    http2_max_requests: Count | None = None
    max_requests_per_connection: Count | None = None
    max_retries: Count | None = None
    idle_timeout: Duration | None = None
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] = "DEFAULT"
    max_concurrent_streams: Count | None = None


class ConnectionPool(Spec):
    """How much at once."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


class OutlierDetection(Spec):
    """When an instance is left alone for a while. A count of 0 switches that reason off."""

    later = frozenset({"consecutiveErrors"})

    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: Count | None = None
    consecutive_gateway_errors: Count | None = None
    consecutive_5xx_errors: Count | None = Field(default=None, alias="consecutive5xxErrors")
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: Percentage | None = None
    min_health_percent: Percentage | None = None


class ClientTLS(Spec):
    """How the caller secures the connection."""

    later = frozenset(
        {
            "clientCertificate",
            "privateKey",
            "caCertificates",
            "credentialName",
            "subjectAltNames",
            "sni",
            "insecureSkipVerify",
            "caCrl",
        }
    )

    mode: Annotated[Literal["DISABLE", "ISTIO_MUTUAL"], not_yet("SIMPLE", "MUTUAL")] = "DISABLE"


class TrafficPolicy(Spec):
    """Everything about the calls."""

    later = frozenset({"portLevelSettings", "tunnel", "proxyProtocol", "retryBudget"})

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None


class Subset(Spec):
    """A named part of a service's instances; its policy's parts replace those of the rule."""

    name: DnsLabel
    labels: Labels = Field(default_factory=dict)
    traffic_policy: TrafficPolicy | None = None


class DestinationRule(Spec):
    """Subsets and policy of a host."""

    later: ClassVar[frozenset[str]] = frozenset({"exportTo", "workloadSelector"})

    host: Host
    traffic_policy: TrafficPolicy | None = None
    subsets: Many[Subset] = ()

    def flaws(self) -> Iterator[Flaw]:
        """A subset's name is unique."""
        for index, name in repeated([subset.name for subset in self.subsets]):
            yield Flaw(("subsets", index, "name"), f"the subset {name} is there twice", "rename or remove one")
