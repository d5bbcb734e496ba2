"""DestinationRule: how a service is called once a route has chosen it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from mesh_runtime.api.networking.destination import PortSelector
from mesh_runtime.api.networking.load_balancer import LoadBalancer, NoTime
from mesh_runtime.api.problems import quoted
from mesh_runtime.api.spec import Flaw, Many, Spec, repeated, text
from mesh_runtime.api.values import Count, DnsLabel, Duration, Host, Labels, Port, address, dns_label, dns_name

Percentage = Annotated[int, Field(ge=0, le=100)]
PUBLIC = "*"
PRIVATE = "."

_PATH = re.compile(r"[^\x00-\x1f\x7f~]{0,4096}")
_SNI = re.compile(r"[!-~]{0,255}")
_CREDENTIAL = re.compile(r"(configmap://[^/]+/|kubernetes://([^/]+/)?|([^/:]+/)?)([^/:]+)")


def _path(value: str) -> str | None:
    # "~" stands between two paths in the name of what is made of them, as with Istio.
    return None if _PATH.fullmatch(value) else f"{quoted(value)} is not a file's path without ~"


def _server_name(value: str) -> str | None:
    return None if _SNI.fullmatch(value) else f"{quoted(value)} is not a server's name"


def _credential(value: str) -> str | None:
    if value.startswith(("sds://", "builtin://")):
        return f"{quoted(value)} is a server of secrets beside each proxy, of which there is none here"
    found = _CREDENTIAL.fullmatch(value)
    return None if found and dns_name(found[4]) is None else f"{quoted(value)} is not the name of a Secret"


def _audience(value: str) -> str | None:
    if value in (PUBLIC, PRIVATE) or dns_label(value) is None:
        return None
    return f"{quoted(value)} is not a namespace"


FilePath = Annotated[str, AfterValidator(text(_path, "write one that the proxy can read"))]
ServerName = Annotated[str, AfterValidator(text(_server_name, "write a DNS name"))]
CredentialName = Annotated[str, AfterValidator(text(_credential, "name a Secret of the caller's namespace"))]
Audience = Annotated[str, AfterValidator(text(_audience, "write *, . or a namespace's name"))]


class TcpKeepalive(Spec):
    """Probes of silent connections."""

    probes: Count | None = None
    time: Duration | None = None
    interval: Duration | None = None


class TCPSettings(Spec):
    """Limits of all connections. A count of 0 is no limit."""

    max_connections: Count | None = None
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: Duration | NoTime | None = None


class ConnectionKeepalive(Spec):
    """Pings of HTTP/2 connections."""

    interval: Duration
    timeout: Duration


class HTTPSettings(Spec):
    """Limits of HTTP connections. A count of 0 is no limit."""

    http1_max_pending_requests: Count | None = None
    http2_max_requests: Count | None = None
    max_requests_per_connection: Count | None = None
    max_retries: Count | None = None
    idle_timeout: Duration | None = None
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] = "DEFAULT"
    use_client_protocol: bool = False
    max_concurrent_streams: Count | None = None
    http2_keep_alive: ConnectionKeepalive | None = None

    def flaws(self) -> Iterator[Flaw]:
        """The client's protocol cannot be kept and changed."""
        if self.use_client_protocol and self.h2_upgrade_policy == "UPGRADE":
            yield Flaw(("useClientProtocol",), "excludes h2UpgradePolicy: UPGRADE", "keep one of them")


class ConnectionPool(Spec):
    """How much at once."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


class OutlierDetection(Spec):
    """When an instance is left alone for a while. A count of 0 switches that reason off."""

    consecutive_errors: Count | None = None
    """Has no effect, as in Istio: the next ones took its place."""
    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: Count | None = None
    consecutive_gateway_errors: Count | None = None
    consecutive_5xx_errors: Count | None = Field(default=None, alias="consecutive5xxErrors")
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: Percentage | None = None
    min_health_percent: Percentage | None = None
    outlier_detection_http_error_codes: Many[Annotated[int, Field(ge=100, le=599)]] = ()
    """Which answers are errors, instead of 5xx."""

    def flaws(self) -> Iterator[Flaw]:
        """Failures of the own side count by themselves only where they are told apart."""
        if self.consecutive_local_origin_failures and not self.split_external_local_origin_errors:
            fix = "add splitExternalLocalOriginErrors: true"
            yield Flaw(("consecutiveLocalOriginFailures",), "needs errors to be told apart", fix)


class ClientTLS(Spec):
    """How the caller secures the connection."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    client_certificate: FilePath = ""
    private_key: FilePath = ""
    ca_certificates: FilePath = ""
    """``system`` or nothing: the authorities that the operating system trusts."""
    ca_crl: FilePath = ""
    credential_name: CredentialName | None = None
    subject_alt_names: Many[Annotated[str, Field(min_length=1, max_length=1024)]] = ()
    sni: ServerName = ""
    insecure_skip_verify: bool = False

    def flaws(self) -> Iterator[Flaw]:
        """Certificates come from one place, and what is not verified needs no authority."""
        if self.mode not in ("SIMPLE", "MUTUAL"):
            return
        files = self.has("client_certificate", "private_key", "ca_certificates", "ca_crl")
        if self.credential_name and files:
            yield Flaw(("credentialName",), "excludes certificates in files", "keep one of them")
        if self.insecure_skip_verify and (self.ca_certificates or self.subject_alt_names):
            fix = "remove caCertificates and subjectAltNames, or insecureSkipVerify"
            yield Flaw(("insecureSkipVerify",), "is set, so that nothing is verified", fix)
        if self.mode == "MUTUAL" and not self.credential_name:
            for name in ("clientCertificate", "privateKey"):
                if not (self.client_certificate if name == "clientCertificate" else self.private_key):
                    yield Flaw((name,), "mode MUTUAL needs it", "add it, or credentialName")


class Tunnel(Spec):
    """TCP connections through an HTTP proxy: the destination is the proxy, the target what it is to reach."""

    protocol: Literal["CONNECT", "POST"] = "CONNECT"
    target_host: str
    target_port: Port

    def flaws(self) -> Iterator[Flaw]:
        """The target is a name or an address."""
        if dns_name(self.target_host) and address(self.target_host):
            yield Flaw(("targetHost",), f"{quoted(self.target_host)} is neither a DNS name nor an IP address", "")

    @property
    def authority(self) -> str:
        """Host and port as one."""
        brackets = not address(self.target_host) and ipaddress.ip_address(self.target_host).version == 6
        return f"[{self.target_host}]:{self.target_port}" if brackets else f"{self.target_host}:{self.target_port}"


class ProxyProtocol(Spec):
    """The caller's address, told ahead of everything else."""

    version: Literal["V1", "V2"] = "V1"


class RetryBudget(Spec):
    """How many retries at once: a share of the active requests."""

    percent: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 20.0
    min_retry_concurrency: Count = 3
    """So many in any case; 0 means 3, as in Istio."""
    budget_interval: Duration | NoTime | None = None
    """How long requests count after they began; ``0s``, or nothing: as long as they are active."""


class PortPolicy(Spec):
    """Everything about the calls to one port, in place of what holds for the others; what is left out has defaults."""

    port: PortSelector
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None


class TrafficPolicy(Spec):
    """Everything about the calls."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None
    port_level_settings: Many[PortPolicy] = ()
    tunnel: Tunnel | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None

    def flaws(self) -> Iterator[Flaw]:
        """A port is spoken of once, and a tunnel has no place for a header ahead of it."""
        for index, number in repeated([one.port.number for one in self.port_level_settings]):
            yield Flaw(("portLevelSettings", index, "port"), f"the port {number} is there twice", "remove one")
        if self.tunnel and self.proxy_protocol:
            yield Flaw((), "tunnel and proxyProtocol exclude each other", "keep one of them")


class Subset(Spec):
    """A named part of a service's instances; its policy's parts replace those of the rule."""

    name: DnsLabel
    labels: Labels = Field(default_factory=dict)
    traffic_policy: TrafficPolicy | None = None


class CallerSelector(Spec):
    """The workloads of the rule's own namespace that follow it, by their labels."""

    match_labels: Labels = Field(default_factory=dict)


class DestinationRule(Spec):
    """Subsets and policy of a host."""

    later: ClassVar[frozenset[str]] = frozenset()

    host: Host
    traffic_policy: TrafficPolicy | None = None
    subsets: Many[Subset] = ()
    export_to: Many[Audience] = ()
    """Namespaces whose callers follow it; none: all. A rule with a selector is for its own namespace only."""
    workload_selector: CallerSelector | None = None

    def flaws(self) -> Iterator[Flaw]:
        """A subset's name is unique, and so is each namespace."""
        for index, name in repeated([subset.name for subset in self.subsets]):
            yield Flaw(("subsets", index, "name"), f"the subset {name} is there twice", "rename or remove one")
        for index, name in repeated(self.export_to):
            yield Flaw(("exportTo", index), f"{name} is there twice", "remove one")
        if PUBLIC in self.export_to and len(self.export_to) > 1:
            yield Flaw(("exportTo",), "* stands for every namespace", "leave it alone in the list, or remove it")
        if self.workload_selector and self.export_to not in ((), (PRIVATE,)):
            yield Flaw(
                ("exportTo",), "a rule with workloadSelector is for its own namespace only", "write . or remove it"
            )
