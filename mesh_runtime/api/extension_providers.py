"""What MeshConfig names for policies and Telemetry to use: who decides about requests, and who hears of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from mesh_runtime.api.log_format import TEXT_FORMAT
from mesh_runtime.api.problems import quoted
from mesh_runtime.api.providers import (
    EnvoyFileAccessLog,
    EnvoyFluentd,
    EnvoyOtelAls,
    OpenTelemetry,
    Prometheus,
    Remote,
    Zipkin,
)
from mesh_runtime.api.spec import Flaw, Many, Spec, text
from mesh_runtime.api.values import DnsLabel, Duration, HeaderName, Port, dns_label, dns_name, one_line

_STATUSES: Final = frozenset(
    {100, 226, 421, 422, 423, 424, 426, 428, 429, 431, 510, 511, 307, 308}
    | {*range(200, 209), *range(300, 306), *range(400, 418), *range(500, 509)}
)
"""Those that Envoy knows."""


def _service(value: str) -> str | None:
    namespace, slash, host = value.rpartition("/")
    if dns_name(host) is None and (not slash or dns_label(namespace) is None):
        return None
    return f"{quoted(value)} is not the full name of a service"


def _status(value: str) -> str | None:
    known = value.isascii() and value.isdecimal() and len(value) <= len("500") and int(value) in _STATUSES
    return None if known else f"{quoted(value)} is not an HTTP status that Envoy knows"


def _pattern(value: str) -> str | None:
    if value in ("", "*"):
        return "must name a header, or some by a * at one end"
    return None


def _path(value: str) -> str | None:
    return None if value.startswith("/") and value.isprintable() else f"{quoted(value)} does not begin with /"


HeaderPattern = Annotated[str, AfterValidator(text(_pattern))]


class RequestBody(Spec):
    """How much of a request's body the server is shown."""

    max_request_bytes: int = Field(ge=1, le=2**32 - 1)
    allow_partial_message: bool = False
    pack_as_bytes: bool = False


class _ExternalAuthorizer(Spec):
    """A service of the mesh that is asked."""

    service: Annotated[str, AfterValidator(text(_service, "write host or namespace/host"))]
    port: Port
    timeout: Duration | None = None
    """600s, as in Istio."""
    fail_open: bool = False
    """Requests pass when the server does not answer."""
    clear_route_cache: bool = False
    status_on_error: Annotated[str, AfterValidator(text(_status))] | None = None
    """403."""
    include_request_body_in_check: RequestBody | None = None

    @property
    def host(self) -> str:
        """The service's full name."""
        return self.service.rpartition("/")[2]


class EnvoyExtAuthzHttp(_ExternalAuthorizer):
    """Asked with HTTP: 200 allows."""

    path_prefix: Annotated[str, AfterValidator(text(_path))] | None = None
    include_request_headers_in_check: Many[HeaderPattern] = ()
    include_headers_in_check: Many[HeaderPattern] = ()
    """Istio's older name of it."""
    include_additional_headers_in_check: dict[HeaderName, Annotated[str, AfterValidator(text(one_line))]] = Field(
        default_factory=dict
    )
    headers_to_upstream_on_allow: Many[HeaderPattern] = ()
    headers_to_downstream_on_deny: Many[HeaderPattern] = ()
    headers_to_downstream_on_allow: Many[HeaderPattern] = ()


class EnvoyExtAuthzGrpc(_ExternalAuthorizer):
    """Asked with Envoy's ``envoy.service.auth.v3``; for connections, too."""


class ExtensionProvider(Spec):
    """One provider, by the name that policies and Telemetry use."""

    later: ClassVar[frozenset[str]] = frozenset(
        {"datadog", "envoyHttpAls", "envoyTcpAls", "lightstep", "opencensus", "sds", "skywalking", "stackdriver"}
    )

    name: DnsLabel
    envoy_ext_authz_http: EnvoyExtAuthzHttp | None = None
    envoy_ext_authz_grpc: EnvoyExtAuthzGrpc | None = None
    opentelemetry: OpenTelemetry | None = None
    zipkin: Zipkin | None = None
    prometheus: Prometheus | None = None
    envoy_file_access_log: EnvoyFileAccessLog | None = None
    envoy_otel_als: EnvoyOtelAls | None = None
    envoy_fluentd: EnvoyFluentd | None = None

    def flaws(self) -> Iterator[Flaw]:
        """One kind of provider."""
        yield from self.one_of(*KINDS)

    @property
    def kind(self) -> str:
        """The name of the field that says what it is."""
        return next(name for name in KINDS if getattr(self, name) is not None)

    @property
    def remote(self) -> Remote | None:
        """Whom telemetry is sent to; ``None``: nobody."""
        found = getattr(self, self.kind)
        return found if isinstance(found, Remote) else None


TRACING: Final = frozenset({"opentelemetry", "zipkin"})
METRICS: Final = frozenset({"prometheus"})
ACCESS_LOGGING: Final = frozenset({"envoy_file_access_log", "envoy_otel_als", "envoy_fluentd"})
KINDS: Final = tuple(sorted({"envoy_ext_authz_http", "envoy_ext_authz_grpc"} | TRACING | METRICS | ACCESS_LOGGING))

BUILT_IN: Final = (
    ExtensionProvider.model_validate({"name": "prometheus", "prometheus": {}}),
    ExtensionProvider.model_validate({"name": "envoy", "envoyFileAccessLog": {"path": "/dev/stdout"}}),
    ExtensionProvider.model_validate(
        {
            "name": "meshscope-tap",
            "envoyFileAccessLog": {
                "path": "/dev/stdout",
                "logFormat": {"text": TEXT_FORMAT.rstrip("\n") + ' "%REQ(TRACEPARENT)%"\n'},
            },
        }
    ),
)
"""What is there without being configured: as in Istio, and one whose lines name the trace, too."""
