"""Everything a user can set. Precedence: flag, then ``MESHSCOPE_SECTION__KEY``, then file, then default."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import ConfigDict, Discriminator, Tag, TypeAdapter, ValidationError

from collectors.errors import CollectorError
from collectors.kubernetes.config import ClusterConfig
from collectors.prometheus.config import PrometheusConfig
from collectors.remote_write.config import RemoteWriteConfig
from collectors.scrape.config import ScrapeConfig
from console.tolerances import Rate

ENV_PREFIX = "MESHSCOPE_"
FILE = Path("meshscope.toml")

STRICT = ConfigDict(extra="forbid")


class SettingsError(Exception):
    """A setting is unknown or wrong; the message names it, where it came from, and what it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The console's own port."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    listen: str = "127.0.0.1"
    """Address to listen on. Any other than a loopback one needs a token from every visitor."""
    port: int = 20001
    """Port of the page and the API; 0 takes a free one."""
    token: str = ""
    """What visitors must present. Empty: none on loopback; elsewhere one is made and kept in ``token`` of the data directory."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names, beside loopback's and the listen address, under which browsers may open the console."""
    max_body_bytes: int = 2 * 1024 * 1024
    """Requests with a larger body are refused with 413."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Otlp:
    """Where applications send their spans."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    listen: str = "127.0.0.1"
    """Address of both receivers."""
    grpc_port: int = 4317
    """OTLP over gRPC; 0 takes a free one."""
    http_port: int = 4318
    """OTLP over HTTP; 0 takes a free one."""
    dialect_files: tuple[str, ...] = ()
    """TOML files with dialects of one's own, for a mesh's metrics that a Collector passes on; see :mod:`collectors.dialects.from_toml`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """The bundled mesh."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    xds_port: int | None = None
    """TLS port for proxies that cannot reach the Unix socket (customarily 15012); unset: Unix socket only."""
    leaf_lifetime_s: int = 3600
    """How long a workload's certificate is valid; it is rotated at half of it."""
    scrape_interval_s: float = 1.0
    """Pause between two readings of a proxy's counters. Shorter than a second buys little: the shortest window is 10 s."""
    settle_timeout_s: float = 5.0
    """How long an apply waits for the proxies' acknowledgement before it says who is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The traffic graph."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    tick_s: float = 1.0
    """Time between two revisions of the live graph."""
    history_s: int = 30 * 86_400
    """How far back the graph can be replayed from disk. All frames of the last hour are kept, then one a minute for 6 hours, one per 5 minutes for 2 days, 15 minutes for a week, an hour."""
    history_bytes: int = 512 * 1024 * 1024
    """Room for the history; where it would not do, frames older than an hour are kept further apart."""
    history_step_s: int = 10
    """Time between two frames of the history on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How health is judged."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    rate: tuple[Rate, ...] = ()
    """``[[health.rate]]`` tables, as Kiali's ``health_config.rate``; see :mod:`console.tolerances`. The annotation
    ``health.kiali.io/rate`` of a workload, a Service or a Namespace goes before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Where traces are kept."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    backend: Literal["embedded", "jaeger", "tempo"] = "embedded"
    """Embedded: here. Jaeger, Tempo: there; spans that are sent here still become edges, and are stored nowhere."""
    capacity_bytes: int = 256 * 1024 * 1024
    """Embedded: when full, the oldest traces are let go."""
    keep_s: float = 7 * 24 * 3600
    """Embedded: older traces are let go; 0: only when full."""
    url: str = ""
    """Jaeger: its query service, such as ``http://jaeger-query:16686``. Tempo: ``http://tempo:3200``."""
    token: str = field(default="", repr=False)
    """Jaeger, Tempo: sent as a bearer token."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """Jaeger, Tempo: sent with every request, such as ``X-Scope-OrgID`` or ``Authorization``."""
    ca_file: str = ""
    """Jaeger, Tempo: certificates to trust instead of the system's."""
    timeout_s: float = 15.0
    """Jaeger, Tempo: for one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """The embedded log store."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    capacity_bytes: int = 256 * 1024 * 1024
    """When full, the oldest lines are let go; compressed, so about ten times as much text."""
    workload_bytes: int = 32 * 1024 * 1024
    """Of which one workload may take so much for each of its logs: a chatty one does not push the others out."""
    retention_s: int = 7 * 86_400
    """Older lines are let go, and not taken by OTLP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zipkin:
    """Where applications send spans in Zipkin's format, version 2."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    listen: str = "127.0.0.1"
    """Address to listen on."""
    port: int | None = None
    """Customarily 9411, path ``/api/v2/spans``; 0 takes a free one; unset: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jaeger:
    """Where Jaeger's own clients send spans: Thrift over HTTP."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    listen: str = "127.0.0.1"
    """Address to listen on."""
    port: int | None = None
    """Customarily 14268, path ``/api/traces``; 0 takes a free one; unset: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Als:
    """Where Envoys send access logs by their gRPC log service, for the tap (Istio: ``envoyHttpAls``, ``envoyTcpAls``)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    listen: str = "127.0.0.1"
    """Address to listen on."""
    port: int | None = None
    """Customarily 9000; 0 takes a free one; unset: none. The bundled mesh needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One receiver of alerts."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: str
    """What it is called in the delivery log."""
    url: str
    """Where to POST. Plain http is accepted only where ``allow_private`` lists the target."""
    format: Literal["standard", "alertmanager"] = "standard"
    """Standard Webhooks 1.0, signed; or the payload that Alertmanager 0.22 and later sends."""
    secrets: tuple[str, ...] = ()
    """``whsec_<base64>`` of 24 to 64 random bytes; several while rotating. Required for ``standard``."""
    authorization: str = ""
    """Sent as the Authorization header; how an Alertmanager receiver knows the sender."""
    events: tuple[str, ...] = ()
    """Event types to deliver, such as ``alert.firing``; empty: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Delivery of alerts."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    endpoints: tuple[Endpoint, ...] = ()
    """The receivers, as ``[[webhooks.endpoints]]`` tables."""
    allow_private: tuple[str, ...] = ()
    """Host names, addresses or networks on loopback or private ranges that may be delivered to. Link-local and metadata addresses never are."""
    timeout_s: float = 20.0
    """Time for one attempt."""
    retry_after_s: tuple[float, ...] = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    """Pauses before each further attempt, jittered by up to a tenth; after the last one the delivery has failed."""
    keep_days: int = 7
    """How long finished deliveries stay in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """Rules over the graph."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    rules: tuple[dict[str, Any], ...] = ()
    """``[[alerts.rules]]`` tables; none: the built-in starter set."""


def _source_type(source: object) -> str:
    return str(source.get("type", "prometheus") if isinstance(source, dict) else getattr(source, "type", ""))


Source = Annotated[
    Annotated[PrometheusConfig, Tag("prometheus")] | Annotated[ScrapeConfig, Tag("scrape")],
    Discriminator(
        _source_type,
        custom_error_type="source_type",
        custom_error_message="a source is of type prometheus or scrape; what is pushed has sections of its own,"
        " such as [remote_write]",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole tree."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    web: Web = field(default_factory=Web)
    otlp: Otlp = field(default_factory=Otlp)
    mesh: Mesh = field(default_factory=Mesh)
    graph: Graph = field(default_factory=Graph)
    health: Health = field(default_factory=Health)
    traces: Traces = field(default_factory=Traces)
    logs: Logs = field(default_factory=Logs)
    zipkin: Zipkin = field(default_factory=Zipkin)
    jaeger: Jaeger = field(default_factory=Jaeger)
    als: Als = field(default_factory=Als)
    remote_write: RemoteWriteConfig = field(default_factory=RemoteWriteConfig)
    webhooks: Webhooks = field(default_factory=Webhooks)
    alerts: Alerts = field(default_factory=Alerts)
    sources: tuple[Source, ...] = ()
    """``[[sources]]`` tables: where else metrics are read from; see :mod:`collectors.prometheus.config` and, for
    ``type = "scrape"``, :mod:`collectors.scrape.config`."""
    clusters: tuple[ClusterConfig, ...] = ()
    """``[[clusters]]`` tables: Kubernetes clusters to show; see :mod:`collectors.kubernetes.config`."""


Tree = Mapping[str, Any]
"""Sections with their settings, and lists of tables."""
TABLES = {"sources", "clusters"}
"""What is a list of tables: those of all ways to set it are taken together."""


def load(*, file: Path | None = None, environ: Mapping[str, str] | None = None, flags: Tree | None = None) -> Settings:
    """Read settings from every source. A *file* that was named must exist; ``meshscope.toml`` here need not."""
    below = _over(_from_file(file), _from_environ(os.environ if environ is None else environ))
    try:
        return TypeAdapter(Settings).validate_python(_over(below, flags or {}))
    except ValidationError as trouble:
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in trouble.errors(include_url=False))
        raise SettingsError("\n".join(problems)) from trouble
    except CollectorError as trouble:
        raise SettingsError(str(trouble)) from trouble


def _over(below: Tree, above: Tree) -> Tree:
    sections = dict(below)
    for name, values in above.items():
        if name in TABLES:
            sections[name] = [*sections.get(name, ()), *values]
        else:
            sections[name] = {**sections.get(name, {}), **values}
    return sections


def _from_file(file: Path | None) -> Tree:
    if file is None and not FILE.exists():
        return {}
    path = file or FILE
    try:
        tree = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as trouble:
        raise SettingsError(f"{path}: {trouble}") from trouble
    for name, section in tree.items():
        if not isinstance(section, list if name in TABLES else dict):
            where = f"write each as [[{name}]]" if name in TABLES else "write it below [section]"
            raise SettingsError(f"{path}: {name} stands outside of a section; {where}")
    return tree


def _from_environ(environ: Mapping[str, str]) -> Tree:
    sections: dict[str, Any] = {}
    for variable, text in environ.items():
        if variable.startswith(ENV_PREFIX) and (name := variable.removeprefix(ENV_PREFIX).lower()) in TABLES:
            sections[name] = _decode(variable, text)
            continue
        section, separator, key = variable.removeprefix(ENV_PREFIX).partition("__")
        if variable.startswith(ENV_PREFIX) and separator:
            sections.setdefault(section.lower(), {})[key.lower()] = _decode(variable, text)
    return sections


def _decode(variable: str, text: str) -> object:
    """Scalars as they are, lists and tables as JSON."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as trouble:
        raise SettingsError(f"{variable}: neither a plain value nor JSON: {trouble}") from trouble
