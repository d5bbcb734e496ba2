"""Istio's MeshConfig: the key ``mesh`` of the ConfigMap ``istio`` in the root namespace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError

from mesh_runtime.api.core import ConfigMap
from mesh_runtime.api.elsewhere import OF_PROXIES, OF_THE_MESH
from mesh_runtime.api.extension_providers import ACCESS_LOGGING, BUILT_IN, METRICS, TRACING, ExtensionProvider
from mesh_runtime.api.log_format import complaint, json_labels
from mesh_runtime.api.networking import HTTPRetry, LocalityLbSetting, ZoneAwareLbSetting
from mesh_runtime.api.networking.destination_rule import TcpKeepalive
from mesh_runtime.api.networking.proxy_config import Concurrency, Environment
from mesh_runtime.api.networking.server_tls import EcdhCurves
from mesh_runtime.api.networking.service_entry import ExportTo
from mesh_runtime.api.objects import ROOT_NAMESPACE, TRUST_DOMAIN, Config, ConfigError, ConfigObject, ObjectKey, Problem
from mesh_runtime.api.plain import plain
from mesh_runtime.api.problems import problems, quoted
from mesh_runtime.api.providers import LogPath
from mesh_runtime.api.proxy_headers import ForwardedClientCert, ProxyHeaders
from mesh_runtime.api.spec import Flaw, Many, Spec, refused, repeated
from mesh_runtime.api.telemetry import CustomTags, Telemetry
from mesh_runtime.api.values import DnsName, Duration
from mesh_runtime.api.yaml_reader import read

KEY = ObjectKey("", "ConfigMap", ROOT_NAMESPACE, "istio")
_FIELD: Final = "data.mesh"


def _own_trust_domain(value: Any) -> Any:
    if isinstance(value, str) and value != TRUST_DOMAIN:
        raise refused(
            f"{quoted(value)} is not {TRUST_DOMAIN}, the only trust domain this runtime issues certificates in",
            "remove it; callers of other domains are named by trustDomainAliases",
        )
    return value


def _own_root_namespace(value: Any) -> Any:
    if isinstance(value, str) and value != ROOT_NAMESPACE:
        raise refused(f"{quoted(value)} is not {ROOT_NAMESPACE}, this runtime's root namespace", "remove it")
    return value


class OutboundTrafficPolicy(Spec):
    """What happens to traffic to hosts that the mesh does not know."""

    later = frozenset({"tls"})

    mode: Literal["ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS", "REGISTRY_ONLY"] = "ALLOW_ANY"
    """The first two are the same here: where nothing is captured, hosts are known by their names alone."""


class DefaultProviders(Spec):
    """The providers of those to whom no Telemetry names any."""

    metrics: Many[str] = ("prometheus",)
    tracing: Many[str] = ()
    """Of several, the first."""
    access_logging: Many[str] = ()


class Tracing(Spec):
    """Tracing where no Telemetry says otherwise."""

    later = frozenset({"zipkin", "lightstep", "datadog", "stackdriver", "openCensusAgent", "tlsSettings"})

    sampling: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 0.0
    """Percent of requests; 0: Istio's 1."""
    max_path_tag_length: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    custom_tags: CustomTags = Field(default_factory=dict)
    enable_istio_tags: bool = True


class EmptyMessage(Spec):
    """Something that is there or not, and has no fields."""


class GatewayTopology(Spec):
    """What stands before the gateways."""

    num_trusted_proxies: Annotated[int, Field(ge=0, le=100)] = 0
    """How many proxies' word on the client's address and protocol is taken."""
    forward_client_cert_details: ForwardedClientCert = "UNDEFINED"
    """What becomes of ``x-forwarded-client-cert``; by default it says what the gateway has verified itself."""
    proxy_protocol: EmptyMessage | None = None
    """Connections begin with a line of the PROXY protocol."""


class ProxyConfig(Spec):
    """How each proxy runs, as far as that is not the runtime's business."""

    ignored: ClassVar[frozenset[str]] = frozenset(OF_PROXIES)
    later: ClassVar[frozenset[str]] = frozenset(
        {
            "caCertificatesPem",
            "connectionSettings",
            "customConfigFile",
            "discoveryRefreshDelay",
            "envoyAccessLogService",
            "envoyMetricsService",
            "envoyMetricsServiceAddress",
            "extraStatTags",
            "fileFlushInterval",
            "fileFlushMinSizeKb",
            "privateKeyProvider",
            "proxyBootstrapTemplatePath",
            "proxyStatsMatcher",
            "runtimeValues",
            "sds",
            "statsCompression",
            "statsdUdpAddress",
            "tracingServiceName",
            "zipkinAddress",
        }
    )

    concurrency: Concurrency | None = None
    proxy_metadata: Environment = Field(default_factory=dict)
    tracing: Tracing = Field(default_factory=Tracing)
    gateway_topology: GatewayTopology = Field(default_factory=GatewayTopology)
    proxy_headers: ProxyHeaders = Field(default_factory=ProxyHeaders)


class TLSDefaults(Spec):
    """What holds for TLS that is not the mesh's own, where nothing else is said; the version for servers only."""

    min_protocol_version: Literal["TLS_AUTO", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"
    ecdh_curves: EcdhCurves = ()
    cipher_suites: Many[str] = ()
    """Names that are not of a suite mean nothing."""


class PathNormalization(Spec):
    """What proxies do to paths before they look at them."""

    normalization: Literal["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"] = "DEFAULT"


class MeshConfig(Spec):
    """What holds for the whole mesh."""

    ignored: ClassVar[frozenset[str]] = frozenset(OF_THE_MESH)
    later: ClassVar[frozenset[str]] = frozenset(
        {
            "ca",
            "caCertificates",
            "certificates",
            "configSources",
            "defaultTrafficPolicy",
            "discoverySelectors",
            "dnsRefreshRate",
            "enableEnvoyAccessLogService",
            "hboneIdleTimeout",
            "inboundClusterStatName",
            "inboundTrafficPolicy",
            "outboundClusterStatName",
            "proxyInboundListenPort",
            "protocolDetectionTimeout",
            "proxyListenPort",
            "serviceEntryVisibility",
            "serviceScopeConfigs",
            "serviceSettings",
            "verifyCertificateAtClient",
        }
    )

    outbound_traffic_policy: OutboundTrafficPolicy = Field(default_factory=OutboundTrafficPolicy)
    enable_auto_mtls: bool = True
    root_namespace: Annotated[str, BeforeValidator(_own_root_namespace)] = ROOT_NAMESPACE
    trust_domain: Annotated[str, BeforeValidator(_own_trust_domain)] = TRUST_DOMAIN
    trust_domain_aliases: Many[DnsName] = ()
    enable_tracing: bool = True
    access_log_file: LogPath = ""
    access_log_format: str = ""
    access_log_encoding: Literal["TEXT", "JSON"] = "TEXT"
    extension_providers: Many[ExtensionProvider] = ()
    default_providers: DefaultProviders = Field(default_factory=DefaultProviders)
    default_config: ProxyConfig = Field(default_factory=ProxyConfig)
    default_http_retry_policy: HTTPRetry | None = None
    """For routes that do not say themselves when to try again; absent: Istio's default."""
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    proxy_http_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """A further number, at a workload's own address, where requests to all hosts are taken; 0: none."""
    tls_defaults: TLSDefaults = Field(default_factory=TLSDefaults)
    path_normalization: PathNormalization = Field(default_factory=PathNormalization)
    locality_lb_setting: LocalityLbSetting = Field(default_factory=LocalityLbSetting)
    """What holds where a DestinationRule has none of its own."""
    zone_aware_lb_setting: ZoneAwareLbSetting | None = None
    """The same; comes before the other."""
    h2_upgrade_policy: Literal["DO_NOT_UPGRADE", "UPGRADE"] = "DO_NOT_UPGRADE"
    default_service_export_to: ExportTo = ()
    """Who sees services and ServiceEntries that do not say so themselves; nothing: everybody."""
    default_virtual_service_export_to: ExportTo = ()
    default_destination_rule_export_to: ExportTo = ()

    def flaws(self) -> Iterator[Flaw]:
        """Providers are told apart by name, and those that are named exist."""
        for index, name in repeated([provider.name.lower() for provider in self.extension_providers]):
            yield Flaw(("extensionProviders", index, "name"), f"{name} is there twice", "rename one")
        fluentd = [index for index, one in enumerate(self.extension_providers) if one.envoy_fluentd is not None]
        for index in fluentd[1:]:
            yield Flaw(("extensionProviders", index), "is a second envoyFluentd; proxies send to one", "remove one")
        yield from self._format_flaws()
        usages = {"metrics": METRICS, "tracing": TRACING, "accessLogging": ACCESS_LOGGING}
        named = self.default_providers
        for usage, names in zip(usages, (named.metrics, named.tracing, named.access_logging), strict=True):
            for index, name in enumerate(names):
                if wrong := self.no_provider(name, usages[usage]):
                    yield Flaw(("defaultProviders", usage, index), *wrong)

    def _format_flaws(self) -> Iterator[Flaw]:
        written = self.access_log_format
        if written and self.access_log_encoding == "TEXT" and (wrong := complaint(written)):
            yield Flaw(("accessLogFormat",), wrong)
        if written and self.access_log_encoding == "JSON" and json_labels(written) is None:
            yield Flaw(("accessLogFormat",), "is not an object of JSON with formats in it", "write one, or use TEXT")

    @property
    def providers(self) -> Sequence[ExtensionProvider]:
        """All there are: Istio's own, and those configured, which replace the ones whose name they have."""
        own = {provider.name.lower() for provider in self.extension_providers}
        return (*(one for one in BUILT_IN if one.name not in own), *self.extension_providers)

    def provider(self, name: str) -> ExtensionProvider | None:
        """Find a provider by its name, in any case."""
        return next((one for one in self.providers if one.name.lower() == name.lower()), None)

    def no_provider(self, name: str, kinds: frozenset[str]) -> tuple[str, str] | None:
        """Say why a name is not that of a provider of one of these kinds, and the way out; ``None``: it is."""
        found = self.provider(name)
        fitting = ", ".join(one.name for one in self.providers if one.kind in kinds)
        fix = f"the providers for this are {fitting}" if fitting else "define one in extensionProviders"
        if found is None:
            return f"there is no provider {quoted(name)} in the MeshConfig's extensionProviders", fix
        return None if found.kind in kinds else (f"the provider {quoted(name)} is for something else", fix)


DEFAULT = MeshConfig()


def mesh_config(config: Config) -> MeshConfig:
    """Return the mesh's config; Istio's defaults where there is none that is valid."""
    item = config.objects.get(KEY)
    text = _text(item) if item else None
    if text is None:
        return DEFAULT
    found = _read(text)
    return found if isinstance(found, MeshConfig) else DEFAULT


def unsound(item: ConfigObject) -> Sequence[Problem]:
    """Name what is wrong with the mesh's config, if this object is it."""
    text = _text(item) if item.key == KEY else None
    found = DEFAULT if text is None else _read(text)
    return () if isinstance(found, MeshConfig) else found


def without_effect(item: ConfigObject) -> Iterator[str]:
    """Say which fields of the mesh's config, or a Telemetry's, mean nothing here, and what there is instead."""
    if isinstance(item.spec, Telemetry):
        yield from (f"{item.key} {note}" for note in item.spec.without_effect)
    text = _text(item) if item.key == KEY else None
    document = {} if text is None else _document(text)
    proxies = document.get("defaultConfig") or {}
    for prefix, fields, known in (("", document, OF_THE_MESH), ("defaultConfig.", proxies, OF_PROXIES)):
        for name in (name for name, value in fields.items() if name in known and value is not None):
            yield f"{KEY} {_FIELD}: {prefix}{name} has no effect: {known[name]}"


def _text(item: ConfigObject) -> str | None:
    return item.spec.data.get("mesh") if isinstance(item.spec, ConfigMap) else None


@lru_cache(maxsize=8)
def _read(text: str) -> MeshConfig | tuple[Problem, ...]:
    name = str(KEY)
    try:
        return MeshConfig.model_validate(_document(text))
    except ConfigError as error:
        return tuple(_below(problem) for problem in error.problems)
    except ValidationError as error:
        return tuple(_below(problem) for problem in problems(name, MeshConfig, error, ()))


def _document(text: str) -> Any:
    document = next((document for _, document in read(text)), None)
    return plain({} if document is None else document, str(KEY))


def _below(problem: Problem) -> Problem:
    where = f"{_FIELD}: {problem.path}" if problem.path else _FIELD
    return problem._replace(object=str(KEY), path=where)
