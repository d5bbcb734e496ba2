"""VirtualService: where requests and connections for a host go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from mesh_runtime.api.hosts import matches
from mesh_runtime.api.networking.destination import Destination, Weight, weight_flaws
from mesh_runtime.api.networking.http_action import (
    CorsPolicy,
    Delegate,
    Headers,
    HTTPDirectResponse,
    HTTPFaultInjection,
    HTTPMirrorPolicy,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRouteDestination,
    WholePercent,
)
from mesh_runtime.api.networking.http_match import HTTPMatchRequest
from mesh_runtime.api.spec import Flaw, Many, Some, Spec, repeated, text
from mesh_runtime.api.values import (
    DnsLabel,
    Duration,
    GatewayName,
    Host,
    Labels,
    Percent,
    Port,
    SniHost,
    Subnet,
    dns_label,
)

MESH = "mesh"
"""The gateway's name that stands for all sidecars."""

EVERYBODY = "*"
OWN = "."


def _audience(value: str) -> str | None:
    return None if value in {EVERYBODY, OWN} else dns_label(value)


Audience = Annotated[str, AfterValidator(text(_audience, "write *, . or a namespace's name"))]


class HTTPRoute(Spec):
    """A rule: the first that matches is used."""

    spellings: ClassVar[Mapping[str, str]] = MappingProxyType({"mirror_percent": "mirrorPercent"})

    name: str = ""
    match: Many[HTTPMatchRequest] = ()
    """Any of these; empty: every request."""
    route: Many[HTTPRouteDestination] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirror_percentage: Percent | None = None
    """Absent: all."""
    mirror_percent: WholePercent | None = None
    """The old way to write ``mirror_percentage``, which goes first."""
    mirrors: Many[HTTPMirrorPolicy] = ()
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None

    def flaws(self) -> Iterator[Flaw]:
        """One outcome, and nothing that could not apply to it."""
        yield from self._outcome_flaws()
        if self.mirror and self.mirrors:
            yield Flaw(("mirrors",), "cannot be combined with mirror", "keep mirrors")
        if self.rewrite and self.rewrite.authority and self.headers and self.headers.request:
            for _ in self.headers.request.authorities:
                yield Flaw(("rewrite", "authority"), "is set by headers, too", "keep one of them")
        if self.redirect and self.redirect.prefix_rewrite:
            for index, match in enumerate(self.match):
                if match.uri and match.uri.prefix is None:
                    steps = ("match", index, "uri")
                    yield Flaw(steps, "is no prefix, so redirect.prefixRewrite has none to replace", "match a prefix")

    def _outcome_flaws(self) -> Iterator[Flaw]:
        if self.delegate:
            for name in self.has("route", "redirect"):
                yield Flaw((name,), "cannot be combined with delegate", f"move {name} to the delegate")
            return
        yield from self.one_of("route", "redirect", "direct_response")
        if "route" in self.model_fields_set:
            yield from weight_flaws([item.weight for item in self.route])
        if self.redirect or self.direct_response:
            outcome = "redirect" if self.redirect else "directResponse"
            for name in self.has("fault", "rewrite"):
                yield Flaw((name,), f"cannot be combined with {outcome}", f"remove {name}")

    @property
    def copies(self) -> tuple[HTTPMirrorPolicy, ...]:
        """All mirrors, however they are written."""
        if self.mirror is None:
            return self.mirrors
        share = self.mirror_percentage
        if share is None and self.mirror_percent is not None:
            share = Percent(value=self.mirror_percent)
        return (HTTPMirrorPolicy(destination=self.mirror, percentage=share), *self.mirrors)


class L4MatchAttributes(Spec):
    """What is known of a TCP connection."""

    source_subnet: str = ""
    destination_subnets: Many[Subnet] = ()
    port: Port | None = None
    source_labels: Labels = Field(default_factory=dict)
    gateways: Many[GatewayName] = ()
    source_namespace: DnsLabel = ""

    def flaws(self) -> Iterator[Flaw]:
        """Istio's API has a field that says nothing."""
        if self.source_subnet:
            yield Flaw(("sourceSubnet",), "no proxy of Istio looks at it", "use sourceLabels or sourceNamespace")


class TLSMatchAttributes(L4MatchAttributes):
    """What is known of a TLS connection that is passed on as it is."""

    sni_hosts: Some[SniHost]
    """Names in the client's greeting; each is, or is covered by, one of the VirtualService's hosts."""


class RouteDestination(Spec):
    """One destination and its share of connections."""

    destination: Destination
    weight: Weight = 0
    """Relative to the sum; counts only where there are several destinations."""


class TCPRoute(Spec):
    """A rule for TCP connections."""

    match: Many[L4MatchAttributes] = ()
    route: Some[RouteDestination]

    def flaws(self) -> Iterator[Flaw]:
        """Some destination has a share."""
        yield from weight_flaws([item.weight for item in self.route])


class TLSRoute(Spec):
    """A rule for TLS connections that are passed on as they are."""

    match: Some[TLSMatchAttributes]
    route: Some[RouteDestination]

    def flaws(self) -> Iterator[Flaw]:
        """Some destination has a share."""
        yield from weight_flaws([item.weight for item in self.route])


class VirtualService(Spec):
    """Routes for hosts, in sidecars (``mesh``) and gateways; without hosts, routes that others delegate to."""

    hosts: Many[Host] = ()
    gateways: Many[GatewayName] = (MESH,)
    http: Many[HTTPRoute] = ()
    tls: Many[TLSRoute] = ()
    tcp: Many[TCPRoute] = ()
    export_to: Many[Audience] = ()
    """Namespaces whose proxies follow it: ``.`` its own, ``*`` all; empty: as the mesh's config says."""

    @property
    def is_delegate(self) -> bool:
        """Whether it only says what becomes of other VirtualServices' requests."""
        return not self.hosts

    @property
    def is_for_sidecars(self) -> bool:
        """Whether sidecars follow it; one that names no gateway is for them."""
        return not self.gateways or MESH in self.gateways

    def destinations(self) -> Iterator[tuple[tuple[str | int, ...], Destination]]:
        """Yield where its rules lead, also with copies of requests, and where that is written."""
        for index, rule in enumerate(self.http):
            for at, item in enumerate(rule.route):
                yield ("http", index, "route", at, "destination"), item.destination
            if rule.mirror:
                yield ("http", index, "mirror"), rule.mirror
            for at, policy in enumerate(rule.mirrors):
                yield ("http", index, "mirrors", at, "destination"), policy.destination
        for kind, routes in (("tls", [rule.route for rule in self.tls]), ("tcp", [rule.route for rule in self.tcp])):
            for index, targets in enumerate(routes):
                for at, target in enumerate(targets):
                    yield (kind, index, "route", at, "destination"), target.destination

    def flaws(self) -> Iterator[Flaw]:
        """Some rule, and hosts that make sense."""
        if not (self.http or self.tls or self.tcp):
            yield Flaw((), "has no rule", "add http, tls or tcp with at least one route")
        yield from self._delegate_flaws() if self.is_delegate else self._host_flaws()
        yield from self._sni_flaws()
        for index, name in repeated(self.export_to):
            yield Flaw(("exportTo", index), f"{name} is there twice", "remove one")
        if EVERYBODY in self.export_to and len(self.export_to) > 1:
            yield Flaw(("exportTo",), "* stands for every namespace", "leave it alone in the list, or remove it")
        if self.is_for_sidecars:
            yield from self._claim_flaws()

    def _delegate_flaws(self) -> Iterator[Flaw]:
        for name in self.has("gateways", "tls", "tcp"):
            if getattr(self, name):
                yield Flaw((name,), "cannot be in a VirtualService without hosts", f"add hosts, or remove {name}")
        for index, rule in enumerate(self.http):
            if rule.delegate:
                yield Flaw(("http", index, "delegate"), "a delegate cannot delegate", "write the route itself")

    def _host_flaws(self) -> Iterator[Flaw]:
        for index, name in repeated(self.hosts):
            yield Flaw(("hosts", index), f"{name} is there twice", "remove one")
        for index, host in enumerate(self.hosts):
            wider = next((other for other in self.hosts if other != host and matches(other, host)), None)
            if wider:
                yield Flaw(("hosts", index), f"{host} lies within {wider}", "remove one")
        if "*" in self.hosts and self.is_for_sidecars:
            yield Flaw(
                ("hosts", self.hosts.index("*")),
                "* is only allowed at a gateway",
                "name the hosts, or name gateways without mesh",
            )

    def _sni_flaws(self) -> Iterator[Flaw]:
        for index, rule in enumerate(self.tls):
            for at, match in enumerate(rule.match):
                for place, name in enumerate(match.sni_hosts):
                    if not any(name == host or matches(host, name) for host in self.hosts):
                        steps = ("tls", index, "match", at, "sniHosts", place)
                        yield Flaw(steps, f"{name} is none of the hosts", "add it to hosts, or remove it")

    def _claim_flaws(self) -> Iterator[Flaw]:
        for index, rule in enumerate(self.http):
            for at, match in enumerate(rule.match):
                for name in match.claims:
                    message = f"{name} is only known at a gateway"
                    yield Flaw(("http", index, "match", at), message, "name gateways without mesh")
