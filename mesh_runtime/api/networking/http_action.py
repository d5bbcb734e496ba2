"""What an HTTP rule does with its requests."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mesh_runtime.api import regex
from mesh_runtime.api.networking.destination import Destination, Weight
from mesh_runtime.api.spec import Flaw, Many, Spec, refused, text
from mesh_runtime.api.values import (
    Authority,
    Duration,
    HeaderName,
    HeaderValue,
    OperatedHeader,
    Percent,
    Port,
    Regex,
    StringMatch,
)

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

MAX_BODY = 1024 * 1024
_AUTHORITY = frozenset({"host", ":authority"})


def _retry_on(value: str) -> str | None:
    for policy in value.split(","):
        name = policy.strip()
        if name not in RETRY_ON and not (name.isascii() and name.isdecimal() and 200 <= int(name[:4]) <= 599):
            return f'"{name}" is neither a retry policy nor a status code'
    return None


def _path(value: str) -> str | None:
    return None if value and not any(char.isspace() for char in value) else f'"{value}" is not a path'


def _too_long(value: str) -> str | None:
    return f"is longer than {MAX_BODY} bytes" if len(value.encode()) > MAX_BODY else None


def _base64(value: str) -> str:
    try:
        decoded = base64.b64decode(value, validate=True)
    except binascii.Error:
        raise refused("is not base64", "encode the bytes, as with the command base64") from None
    if len(decoded) > MAX_BODY:
        raise refused(f"is longer than {MAX_BODY} bytes")
    return value


def _removed_header(value: str) -> str | None:
    return f"{value} cannot be removed: every request has one" if value.lower() == "host" else None


Path = Annotated[str, Field(max_length=2048), AfterValidator(text(_path, "write it without spaces"))]
HttpStatus = Annotated[int, Field(ge=200, le=599)]
RemovedHeader = Annotated[HeaderName, AfterValidator(text(_removed_header))]
Bytes = Annotated[str, AfterValidator(_base64)]
WholePercent = Annotated[int, Field(ge=0, le=100)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"]


class HeaderOperations(Spec):
    """Headers to overwrite, to append and to take away."""

    set: dict[OperatedHeader, HeaderValue] = Field(default_factory=dict)
    add: dict[OperatedHeader, HeaderValue] = Field(default_factory=dict)
    remove: Many[RemovedHeader] = ()

    @property
    def authorities(self) -> tuple[str, ...]:
        """What the request's host is set to, by whichever name; the first counts."""
        written = (*self.set.items(), *self.add.items())
        return tuple(value for name, value in written if name.lower() in _AUTHORITY)


class Headers(Spec):
    """What happens to headers on the way there and back."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None

    def flaws(self) -> Iterator[Flaw]:
        """A request has one host; a response has none."""
        if self.request and len(self.request.authorities) > 1:
            yield Flaw(("request",), "sets the host more than once", "keep one of Host and :authority")
        if self.response and self.response.authorities:
            yield Flaw(("response",), "a response has no host", "set it in request")


class HTTPRouteDestination(Spec):
    """One destination and its share."""

    destination: Destination
    weight: Weight = 0
    """Relative to the sum; counts only where there are several destinations."""
    headers: Headers | None = None


class HTTPRedirect(Spec):
    """Answer with a redirection."""

    uri: Path = ""
    prefix_rewrite: Path = ""
    """Replaces the matched prefix only."""
    authority: Authority = ""
    port: Port | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    scheme: Literal["http", "https", ""] = ""
    redirect_code: Literal[301, 302, 303, 307, 308] = 301

    def flaws(self) -> Iterator[Flaw]:
        """Somewhere else it must go, and in one way."""
        if not self.has("uri", "prefix_rewrite", "authority", "port", "derive_port", "scheme"):
            yield Flaw((), "redirects nowhere", "add uri, prefixRewrite, authority, port, derivePort or scheme")
        yield from self.one_of("uri", "prefix_rewrite", needed=False)
        yield from self.one_of("port", "derive_port", needed=False)


class HTTPBody(Spec):
    """A body to answer with."""

    string: Annotated[str, AfterValidator(text(_too_long))] | None = None
    bytes: Bytes | None = None
    """In base64."""

    def flaws(self) -> Iterator[Flaw]:
        """One body."""
        yield from self.one_of("string", "bytes")


class HTTPDirectResponse(Spec):
    """Answer without asking anyone."""

    status: HttpStatus
    body: HTTPBody | None = None


class RegexRewrite(Spec):
    r"""Replace what a regular expression finds in the path; ``\1`` stands for its first group."""

    match: Regex
    rewrite: Path

    def flaws(self) -> Iterator[Flaw]:
        """What is put in refers to groups that there are."""
        complaint = regex.rewrite_complaint(self.match, self.rewrite)
        if complaint:
            yield Flaw(("rewrite",), complaint, "write \\\\ for a backslash, \\0 for all that was found")


class HTTPRewrite(Spec):
    """Change path or authority; where the match is a prefix, only the prefix is replaced."""

    uri: Path = ""
    authority: Authority = ""
    uri_regex_rewrite: RegexRewrite | None = None

    def flaws(self) -> Iterator[Flaw]:
        """Something must be rewritten, the path in one way."""
        yield from self.one_of("uri", "uri_regex_rewrite", needed=False)
        if not (self.uri or self.authority or self.uri_regex_rewrite):
            yield Flaw((), "rewrites nothing", "add uri, uriRegexRewrite or authority")


class HTTPRetry(Spec):
    """When and how often to try again."""

    attempts: Annotated[int, Field(ge=0, le=1000)] = 0
    per_try_timeout: Duration | None = None
    retry_on: Annotated[str, AfterValidator(text(_retry_on, "use names such as 5xx,connect-failure,503"))] = ""
    """Empty: Istio's default."""
    backoff: Duration | None = None
    retry_remote_localities: bool = False
    retry_ignore_previous_hosts: bool | None = None
    """Absent: yes, unless hashing binds requests to a host."""

    def flaws(self) -> Iterator[Flaw]:
        """Without attempts there is nothing to configure."""
        if self.attempts == 0 and self.has("per_try_timeout", "retry_on", "backoff", "retry_remote_localities"):
            yield Flaw(("attempts",), "is 0, so no retry is made", "raise it, or remove the other fields")


class Delay(Spec):
    """Wait before passing on."""

    fixed_delay: Duration | None = None
    exponential_delay: Duration | None = None
    percentage: Percent | None = None
    percent: WholePercent = 0
    """What counts where ``percentage`` is absent; none, where both are."""

    def flaws(self) -> Iterator[Flaw]:
        """Envoy knows fixed delays."""
        if self.exponential_delay is not None:
            yield Flaw(("exponentialDelay",), "no proxy of Istio makes exponential delays", "use fixedDelay")
        elif self.fixed_delay is None:
            yield Flaw((), "fixedDelay is needed", "add fixedDelay")

    @property
    def share(self) -> Percent:
        """Of how many requests."""
        return self.percentage or Percent(value=self.percent)


class Abort(Spec):
    """Answer with an error."""

    http_status: HttpStatus | None = None
    grpc_status: GrpcStatus | None = None
    http2_error: str | None = None
    percentage: Percent | None = None
    """Absent: none, as in Istio."""

    def flaws(self) -> Iterator[Flaw]:
        """One error, of those that Envoy makes."""
        if self.http2_error is not None:
            yield Flaw(("http2Error",), "no proxy of Istio makes HTTP/2 errors", "use httpStatus or grpcStatus")
        else:
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


class OriginMatch(StringMatch):
    """Which web pages may call."""

    def flaws(self) -> Iterator[Flaw]:
        """Exactly one way of comparing."""
        yield from self.one_of("exact", "prefix", "regex")
        if self.exact == "":
            yield Flaw(("exact",), "is empty", "write an origin such as https://example.com")


class CorsPolicy(Spec):
    """What web pages of other origins may ask for."""

    allow_origins: Many[OriginMatch] | None = None
    allow_origin: Many[str] = ()
    """Exact origins; counts where ``allowOrigins`` is absent."""
    allow_methods: Many[Method] = ()
    allow_headers: Many[HeaderName] = ()
    expose_headers: Many[HeaderName] = ()
    max_age: Duration | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] = "UNSPECIFIED"

    def flaws(self) -> Iterator[Flaw]:
        """Browsers count in seconds."""
        if self.max_age and self.max_age.ms % 1000:
            yield Flaw(("maxAge",), f"{self.max_age} is not a whole number of seconds", "round it")

    @property
    def origins(self) -> tuple[StringMatch, ...]:
        """Whose calls are allowed."""
        if self.allow_origins is not None:
            return self.allow_origins
        return tuple(StringMatch(exact=origin) for origin in self.allow_origin)


class Delegate(Spec):
    """The VirtualService that says what becomes of the requests."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    namespace: str = ""
    """Empty: that of the VirtualService that delegates."""
