"""Those of MeshConfig's ``extensionProviders`` that take metrics, traces and access logs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from mesh_runtime.api.log_format import LogFormat, LogLabels
from mesh_runtime.api.problems import quoted
from mesh_runtime.api.spec import Flaw, Many, Spec, text
from mesh_runtime.api.values import Count, Duration, HeaderName, Port, address, dns_label, dns_name

_URL_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*|")
_PLAIN_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f%]*")
_TAG = re.compile(r"[A-Za-z0-9_.-]{1,128}")
FOLDERS: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  users choose to write there
DEVICES: Final = ("/dev/stdout", "/dev/stderr", "/dev/null")


def _service(value: str) -> str | None:
    namespace, slash, host = value.rpartition("/")
    if slash and dns_label(namespace):
        return f"{quoted(namespace)} is not a namespace"
    return None if address(host) is None or dns_name(host) is None else f"{quoted(host)} is not a host"


def _log_path(value: str) -> str | None:
    folder, _, name = value.rpartition("/")
    if value in ("", *DEVICES) or (folder in FOLDERS and name not in ("", ".", "..")):
        return None
    return f"{quoted(value)} is not where a proxy can surely write, and it makes no folders"


_WRITABLE = f"use one of {', '.join(DEVICES)}, or a file in {' or '.join(FOLDERS)}"

ServiceName = Annotated[str, AfterValidator(text(_service, "write host or namespace/host"))]
"""A service of the mesh, or else a name that DNS knows, or an address."""
LogPath = Annotated[str, AfterValidator(text(_log_path, _WRITABLE))]
"""Envoy refuses a listener whose log it cannot open: only what certainly is there will do."""
UrlPath = Annotated[
    str,
    AfterValidator(
        text(lambda path: None if _URL_PATH.fullmatch(path) else f"{quoted(path)} is not a path", "begin it with /")
    ),
]
PlainValue = Annotated[
    str,
    AfterValidator(
        text(lambda value: None if _PLAIN_VALUE.fullmatch(value) else "is not a plain header value", "leave out %")
    ),
]
Tag = Annotated[
    str,
    AfterValidator(
        text(lambda tag: None if _TAG.fullmatch(tag) else f"{quoted(tag)} is not a tag", "use letters, digits, . _ -")
    ),
]


class Remote(Spec):
    """Somebody to be reached over the network."""

    service: ServiceName
    port: Port

    @property
    def namespace(self) -> str:
        """Where the service is, if that is said."""
        return self.service.rpartition("/")[0]

    @property
    def host(self) -> str:
        """The service's name without namespace."""
        return self.service.rpartition("/")[2]


def is_of_mesh(remote: Remote) -> bool:
    """Tell whether a host can only be a service's of the mesh: no DNS knows it."""
    return bool(remote.namespace) or remote.host.endswith(".svc.cluster.local")


class Header(Spec):
    """A header that is sent along."""

    later = frozenset({"envName"})

    name: HeaderName
    value: PlainValue = ""


class OtlpHttp(Spec):
    """OTLP over HTTP."""

    path: UrlPath = ""
    timeout: Duration | None = None
    headers: Many[Header] = ()


class OtlpGrpc(Spec):
    """Details of OTLP over gRPC."""

    timeout: Duration | None = None
    initial_metadata: Many[Header] = ()


class Environment(Spec):
    """The variable ``OTEL_RESOURCE_ATTRIBUTES`` of the proxy."""


class ResourceDetectors(Spec):
    """What else is said about the sender of spans."""

    later = frozenset({"dynatrace"})

    environment: Environment | None = None


class OpenTelemetry(Remote):
    """Spans by OTLP: over gRPC, or over HTTP where ``http`` is there."""

    later = frozenset({"dynatraceSampler"})

    max_tag_length: Count = 0
    http: OtlpHttp | None = None
    grpc: OtlpGrpc | None = None
    resource_detectors: ResourceDetectors | None = None
    service_attribute_enrichment: Literal["ISTIO_CANONICAL", "OTEL_SEMANTIC_CONVENTIONS"] = "ISTIO_CANONICAL"

    def flaws(self) -> Iterator[Flaw]:
        """One way of sending."""
        yield from self.one_of("http", "grpc", needed=False)


class Zipkin(Remote):
    """Spans by Zipkin's API, with B3 headers."""

    max_tag_length: Count = 0
    enable64bit_trace_id: Annotated[bool, Field(alias="enable64bitTraceId")] = False
    path: UrlPath = ""
    trace_context_option: Literal["USE_B3", "USE_B3_WITH_W3C_PROPAGATION"] = "USE_B3"
    timeout: Duration | None = None
    headers: Many[Header] = ()


class FileFormat(Spec):
    """A line of text, or an object of JSON."""

    text: LogFormat | None = None
    labels: LogLabels | None = None

    def flaws(self) -> Iterator[Flaw]:
        """One of them."""
        yield from self.one_of("text", "labels")


class EnvoyFileAccessLog(Spec):
    """Lines to the proxy's output or to a file."""

    path: LogPath = ""
    """Empty: ``/dev/stdout``."""
    log_format: FileFormat | None = None
    omit_empty_values: bool = False


class OtelFormat(Spec):
    """A record's body and its attributes."""

    text: LogFormat = ""
    labels: LogLabels = Field(default_factory=dict)


class EnvoyOtelAls(Remote):
    """Log records by OTLP over gRPC."""

    log_name: str = Field(default="", max_length=256)
    log_format: OtelFormat | None = None


class EnvoyFluentd(Remote):
    """Log records by Fluentd's forward protocol: ours, Istio has no such provider."""

    tag: Tag
    labels: LogLabels = Field(default_factory=dict)
    """The record's fields; empty: those of Istio's JSON log."""
    flush_interval: Duration | None = None
    """How long records are gathered; without it, 1 s."""


class Prometheus(Spec):
    """Istio's standard metrics, to be scraped from each proxy."""
