"""VirtualService: where requests for a host go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from mesh_runtime.api.hosts import matches
from mesh_runtime.api.spec import Flaw, Many, Some, Spec, repeated, text
from mesh_runtime.api.values import (
    Authority,
    DnsLabel,
    Duration,
    GatewayName,
    HeaderName,
    HeaderValue,
    Host,
    Labels,
    MatchedHeader,
    OperatedHeader,
    Percent,
    Port,
    RequiredMatch,
    StringMatch,
    Subnet,
)

MESH = "mesh"
"""The gateway's name that stands for all sidecars."""

RETRY_ON = frozenset(
    {
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "envoy-ratelimited",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    }
)

GrpcStatus = Literal[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]
"""gRPC's codes; the position is the number."""


def _retry_on(value: str) -> str | None:
    for policy in value.split(","):
        name = policy.strip()
        if name not in RETRY_ON and not (name.isascii() and name.isdecimal() and 200 <= int(name[:4]) <= 599):
            return f'"{name}" is neither a retry policy nor a status code'
    return None


def _path(value: str) -> str | None:
    return None if value and not any(char.isspace() for char in value) else f'"{value}" is not a path'


Path = Annotated[str, Field(max_length=2048), AfterValidator(text(_path, "write it without spaces"))]
HttpStatus = Annotated[int, Field(ge=200, le=599)]
ParameterName = Annotated[str, Field(min_length=1, max_length=256)]
Weight = Annotated[int, Field(ge=0, le=1_000_000)]


class PortSelector(Spec):
    """A port of the destination."""

    number: Port


class Destination(Spec):
    """A service, or a subset of it."""

    host: Host
    subset: DnsLabel = ""
    port: PortSelector | None = None

    def flaws(self) -> Iterator[Flaw]:
        """A destination is one service."""
        if self.host.startswith("*"):
            yield Flaw(("host",), f"{self.host} is not one service", "name the service")


class HeaderOperations(Spec):
    """Headers to overwrite, to append and to take away."""

    set: dict[OperatedHeader, HeaderValue] = Field(default_factory=dict)
    add: dict[OperatedHeader, HeaderValue] = Field(default_factory=dict)
    remove: Many[HeaderName] = ()


class Headers(Spec):
    """What happens to headers on the way there and back."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class HTTPRouteDestination(Spec):
    """One destination and its share."""

    destination: Destination
    weight: Weight = 0
    """Counts only where there are several destinations."""
    headers: Headers | None = None


class HTTPMatchRequest(Spec):
    """All that is set must hold."""

    later = frozenset({"withoutHeaders", "statPrefix"})

    name: str = ""
    uri: RequiredMatch | None = None
    scheme: RequiredMatch | None = None
    method: RequiredMatch | None = None
    authority: RequiredMatch | None = None
    headers: dict[MatchedHeader, StringMatch] = Field(default_factory=dict)
    port: Port | None = None
    source_labels: Labels = Field(default_factory=dict)
    gateways: Many[GatewayName] = ()
    query_params: dict[ParameterName, StringMatch] = Field(default_factory=dict)
    ignore_uri_case: bool = False
    source_namespace: DnsLabel = ""


class HTTPRedirect(Spec):
    """Answer with a redirection."""

    later = frozenset({"derivePort"})

    uri: Path = ""
    authority: Authority = ""
    port: Port | None = None
    scheme: Literal["http", "https", ""] = ""
    redirect_code: Literal[301, 302, 303, 307, 308] = 301

    def flaws(self) -> Iterator[Flaw]:
        """Somewhere else it must go."""
        if not self.has("uri", "authority", "port", "scheme"):
            yield Flaw((), "redirects nowhere", "add uri, authority, port or scheme")


class HTTPBody(Spec):
    """A body to answer with."""

    later = frozenset({"bytes"})

    string: str = Field(max_length=4096)


class HTTPDirectResponse(Spec):
    """Answer without asking anyone."""

    status: HttpStatus
    body: HTTPBody | None = None


class HTTPRewrite(Spec):
    """Change path or authority; where the match is a prefix, only the prefix is replaced."""

    later = frozenset({"uriRegexRewrite"})

    uri: Path = ""
    authority: Authority = ""

    def flaws(self) -> Iterator[Flaw]:
        """Something must be rewritten."""
        if not (self.uri or self.authority):
            yield Flaw((), "rewrites nothing", "add uri or authority")


class HTTPRetry(Spec):
    """When and how often to try again."""

    later = frozenset({"retryRemoteLocalities", "retryIgnorePreviousHosts"})

    attempts: Annotated[int, Field(ge=0, le=1000)]
    per_try_timeout: Duration | None = None
    retry_on: Annotated[str, AfterValidator(text(_retry_on, "use names such as 5xx,connect-failure,503"))] = ""
    """Empty: Istio's default."""
    backoff: Duration | None = None

    def flaws(self) -> Iterator[Flaw]:
        """Without attempts there is nothing to configure."""
        if self.attempts == 0 and self.has("per_try_timeout", "retry_on", "backoff"):
            yield Flaw(("attempts",), "is 0, so no retry is made", "raise it, or remove the other fields")


class Delay(Spec):
    """Wait before passing on."""

    later = frozenset({"exponentialDelay", "percent"})

    fixed_delay: Duration
    percentage: Percent | None = None
    """Absent: none, as in Istio."""


class Abort(Spec):
    """Answer with an error."""

    later = frozenset({"http2Error", "percent"})

    http_status: HttpStatus | None = None
    grpc_status: GrpcStatus | None = None
    percentage: Percent | None = None
    """Absent: none, as in Istio."""

    def flaws(self) -> Iterator[Flaw]:
        """One error."""
        yield from self.one_of("http_status", "grpc_status")


class HTTPFaultInjection(Spec):
    """Errors and delays made on purpose."""

    delay: Delay | None = None
    abort: Abort | None = None

    def flaws(self) -> Iterator[Flaw]:
        """Some fault."""
        if not (self.delay or self.abort):
            yield Flaw((), "injects nothing", "add delay or abort")


class HTTPMirrorPolicy(Spec):
    """A destination that gets copies, and of how many requests."""

    destination: Destination
    percentage: Percent | None = None
    """Absent: all."""


class HTTPRoute(Spec):
    """A rule: the first that matches is used."""

    later = frozenset({"delegate", "corsPolicy", "mirrorPercent"})

    name: str = ""
    match: Many[HTTPMatchRequest] = ()
    """Any of these; empty: every request."""
    route: Many[HTTPRouteDestination] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirror_percentage: Percent | None = None
    """Absent: all."""
    mirrors: Many[HTTPMirrorPolicy] = ()
    headers: Headers | None = None

    def flaws(self) -> Iterator[Flaw]:
        """One outcome, and nothing that could not apply to it."""
        yield from self.one_of("route", "redirect", "direct_response")
        if "route" in self.model_fields_set:
            yield from weight_flaws([item.weight for item in self.route])
        if self.redirect or self.direct_response:
            outcome = "redirect" if self.redirect else "directResponse"
            for name in self.has("fault", "rewrite"):
                yield Flaw((name,), f"cannot be combined with {outcome}", f"remove {name}")
        if self.mirror and self.mirrors:
            yield Flaw(("mirrors",), "cannot be combined with mirror", "keep mirrors")


class L4MatchAttributes(Spec):
    """What is known of a TCP connection."""

    later = frozenset({"sourceSubnet"})

    destination_subnets: Many[Subnet] = ()
    port: Port | None = None
    source_labels: Labels = Field(default_factory=dict)
    gateways: Many[GatewayName] = ()
    source_namespace: DnsLabel = ""


class TLSMatchAttributes(L4MatchAttributes):
    """What is known of a TLS connection that is passed on as it is."""

    sni_hosts: Some[Host]
    """Names in the client's greeting; each is, or is covered by, one of the VirtualService's hosts."""


class RouteDestination(Spec):
    """One destination and its share of connections."""

    destination: Destination
    weight: Weight = 0


class TCPRoute(Spec):
    """A rule for TCP connections."""

    match: Many[L4MatchAttributes] = ()
    route: Some[RouteDestination]

    def flaws(self) -> Iterator[Flaw]:
        """Weights add up."""
        yield from weight_flaws([item.weight for item in self.route])


class TLSRoute(Spec):
    """A rule for TLS connections that are passed on as they are."""

    match: Some[TLSMatchAttributes]
    route: Some[RouteDestination]

    def flaws(self) -> Iterator[Flaw]:
        """Weights add up."""
        yield from weight_flaws([item.weight for item in self.route])


class VirtualService(Spec):
    """Routes for hosts, in sidecars (``mesh``) and gateways."""

    later: ClassVar[frozenset[str]] = frozenset({"exportTo"})

    hosts: Some[Host]
    gateways: Many[GatewayName] = (MESH,)
    http: Many[HTTPRoute] = ()
    tls: Many[TLSRoute] = ()
    tcp: Many[TCPRoute] = ()

    def flaws(self) -> Iterator[Flaw]:
        """Some rule, and hosts that make sense."""
        if not (self.http or self.tls or self.tcp):
            yield Flaw((), "has no rule", "add http, tls or tcp with at least one route")
        yield from self._uncovered_names()
        for index, name in repeated(self.hosts):
            yield Flaw(("hosts", index), f"{name} is there twice", "remove one")
        if "*" in self.hosts and MESH in (self.gateways or (MESH,)):
            yield Flaw(
                ("hosts", self.hosts.index("*")),
                "* is only allowed at a gateway",
                "name the hosts, or name gateways without mesh",
            )

    def _uncovered_names(self) -> Iterator[Flaw]:
        for index, rule in enumerate(self.tls):
            for at, match in enumerate(rule.match):
                for place, name in enumerate(match.sni_hosts):
                    if not any(name == host or matches(host, name) for host in self.hosts):
                        steps = ("tls", index, "match", at, "sniHosts", place)
                        yield Flaw(steps, f"{name} is none of the hosts", "add it to hosts, or remove it")


def weight_flaws(weights: Sequence[int]) -> Iterator[Flaw]:
    """Complain where several destinations do not share 100 percent."""
    if not weights:
        yield Flaw(("route",), "is empty", "add a destination")
    elif len(weights) > 1 and sum(weights) != 100:
        yield Flaw(
            ("route",),
            f"the weights {' + '.join(map(str, weights[:12]))} add up to {sum(weights)}, not 100",
            "change them so that they add up to 100",
        )
