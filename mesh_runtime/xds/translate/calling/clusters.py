"""Clusters: each port and subset of each service as callers see it, and an instance's own ports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TypedDict

from mesh_runtime.api.networking import (
    ConnectionPool,
    HTTPSettings,
    OutlierDetection,
    RetryBudget,
    ZoneAwareLbSetting,
)
from mesh_runtime.api.networking.destination_rule import TcpKeepalive
from mesh_runtime.api.protocols import HTTP2
from mesh_runtime.registry import Instance
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy, Group
from mesh_runtime.xds.translate.calling.balancing import load_balancing, seconds
from mesh_runtime.xds.translate.calling.client_tls import MeshIdentity, credentials, mutual, security, server_names
from mesh_runtime.xds.translate.calling.endpoints import (
    ANY_SOURCE,
    Endpoint,
    address,
    endpoints,
    identities,
    source,
)
from mesh_runtime.xds.translate.calling.localities import assignment, places
from mesh_runtime.xds.translate.calling.nearness import Nearness, nearness
from mesh_runtime.xds.translate.calling.rules import NO_POLICY, Client, Policy, Rules, rules_for
from mesh_runtime.xds.translate.listeners.lookup import by_request
from mesh_runtime.xds.translate.ports import InboundPort
from mesh_runtime.xds.translate.proxy_headers import http1_options
from mesh_runtime.xds.translate.services import MeshPort, MeshService, Protocol
from mesh_runtime.xds.translate.sidecar_scope import SidecarScope, reached_services
from mesh_runtime.xds.translate.telemetry.metrics import service_metadata
from mesh_runtime.xds.translate.tls import ADS
from mesh_runtime.xds.translate.world import World

UNLIMITED: Final = 2**32 - 1
CONNECT_TIMEOUT: Final = "10s"
RETRY_BUDGET: Final = {"budget_percent": {"value": 50.0}, "min_retry_concurrency": 100}
"""Retries at once: half of the active requests, and 100 where there are few. Envoy's own 3 are a placebo."""
DEFAULT_CONCURRENCY: Final = 3
"""Retries that a budget allows in any case, where it says 0."""
HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """How some callers reach everything: the same object for all who do it alike."""

    clusters: Group
    assignments: Group
    secrets: tuple[str, ...]
    """The names of the secrets that the clusters need, beside the proxy's own; all of them can be served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """One port of a service or of its subset, as some callers see it."""

    name: str
    service: MeshService
    port: MeshPort
    policy: Policy
    found: tuple[Endpoint, ...]
    client: Client
    identity: MeshIdentity


_Built = tuple[Envoy, Envoy | None, tuple[str, ...]]
"""A cluster, its assignment if it has one by itself, and the secrets it needs."""


class _Run(TypedDict):
    """The same of some services."""

    clusters: Group
    assignments: Group
    secrets: tuple[str, ...]


def outbound_name(service: MeshService, port: MeshPort, subset: str = "") -> str:
    """Return Istio's name of a cluster."""
    return f"outbound|{port.number}|{subset}|{service.host}"


def inbound_name(port: InboundPort) -> str:
    """Return Istio's name of an instance's own port."""
    return f"inbound|{port.app_port}||"


def outbound_clusters(world: World, client: Client) -> Outbound:
    """Return how a caller reaches every service that it sees."""

    def of_service(_: str, service: MeshService) -> tuple[_Built, ...]:
        return tuple(one for port in service.ports for one in _of_port(world, client, service, port))

    def build() -> Outbound:
        services = reached_services(world, client.scope)
        runs = world.in_runs(("clusters of", client), services, of_service, _by_type)
        # Each by itself, so that one stays the same object while the other changes.
        return Outbound(
            clusters=world.once(("just clusters", client), lambda: tuple(run["clusters"] for run in runs)),
            assignments=world.once(("just assignments", client), lambda: tuple(run["assignments"] for run in runs)),
            secrets=tuple(sorted({name for run in runs for name in run["secrets"]})),
        )

    return world.once(("clusters", client), build)


def _by_type(found: Iterable[tuple[_Built, ...]]) -> _Run:
    built = tuple(chain.from_iterable(found))
    return {
        "clusters": tuple(cluster for cluster, _, _ in built),
        "assignments": tuple(known for _, known, _ in built if known is not None),
        "secrets": tuple(sorted({name for _, _, names in built for name in names})),
    }


def inbound_cluster(
    world: World, instance: Instance, port: InboundPort, protocol: Protocol, pool: ConnectionPool | None
) -> Envoy:
    """Return the cluster of an instance's own port. What its service's callers are told of connections holds here."""
    name = inbound_name(port)
    behind = port.ingress.endpoint(instance.app_address) if port.ingress else (instance.app_address, port.app_port)
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": seconds(pool.tcp.connect_timeout if pool and pool.tcp else None) or CONNECT_TIMEOUT,
        "circuit_breakers": limits(pool),
        **ANY_SOURCE,
        **_keepalive(pool.tcp.tcp_keepalive if pool and pool.tcp else None),
        **_protocol_options(world, protocol, Policy(connection_pool=pool), upgrade=False),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(*behind)}}]}],
        },
    }


def _of_port(world: World, client: Client, service: MeshService, port: MeshPort) -> tuple[_Built, ...]:
    """Build a port's clusters once for all callers to whom the same rules apply in the same way."""
    rules = rules_for(world, client.namespace, service, dict(client.labels))
    seen_by = _distinctive(
        world, client, service, port, [rules.policy(port.number, subset) for subset in ("", *rules.subsets)]
    )
    key = "port", service.host, service.namespace, port.number, rules.key, seen_by
    return world.once(key, lambda: tuple(_variants(world, seen_by, service, port, rules)))


def _distinctive(
    world: World, client: Client, service: MeshService, port: MeshPort, policies: Sequence[Policy]
) -> Client:
    """Keep of a caller what still makes a difference among those who follow the same rules.

    That is what is near, whose Secrets are meant, and who says what a port takes where that is not declared.
    """
    preferred = [one for policy in policies if (one := nearness(world, policy, service))]
    near = any(one.is_relative for one in preferred)
    owned = any(policy.tls and policy.tls.credential_name for policy in policies)
    zoned = any(isinstance(one.setting, ZoneAwareLbSetting) for one in preferred)
    return Client(
        SidecarScope(client.namespace if owned or zoned else ""),
        client.labels if near else (),
        client.locality if near else "",
        client.gateway and (zoned or port.protocol == "auto"),
    )


def _variants(world: World, client: Client, service: MeshService, port: MeshPort, rules: Rules) -> Iterator[_Built]:
    for subset in ("", *rules.subsets):
        labels = rules.subsets[subset].labels if subset else {}
        target = _Target(
            name=outbound_name(service, port, subset),
            service=service,
            port=port,
            policy=rules.policy(port.number, subset),
            found=endpoints(world, service, port, labels),
            client=client,
            identity=MeshIdentity(
                accepted=identities(world, service, labels),
                namespace=service.namespace if service.is_inside else "",
                sni=f"outbound_.{port.number}_.{subset}_.{service.host}",
                names=service.subject_alt_names,
                automatic=world.mesh_config.enable_auto_mtls and service.is_inside,
            ),
        )
        yield _built(world, target)


def _built(world: World, target: _Target) -> _Built:
    policy = target.policy
    secrets, served = credentials(world, policy.tls, target.client.namespace)
    if not served:
        return _out_of_reach(target)
    preferred = nearness(world, policy, target.service)
    near = places(world, target.client, target.found, preferred)
    assigned = assignment(target.name, near, mutual(policy.tls, target.identity))
    cluster = {"name": target.name, **_discovery(target, assigned), **_calling(world, target, preferred)}
    return cluster, assigned if "eds_cluster_config" in cluster else None, secrets


def _out_of_reach(target: _Target) -> _Built:
    """Answer 503 to what may not be sent: there is no Secret to secure it with."""
    empty = {"cluster_name": target.name, "endpoints": []}
    cluster = {"name": target.name, "type": "STATIC", "load_assignment": empty, **service_metadata(target.service)}
    return cluster, None, ()


def _discovery(target: _Target, assigned: Envoy) -> Envoy:
    if target.service.by_request:
        return ANY_SOURCE
    if not target.service.by_dns and all(one.is_ip for one in target.found):
        return {"type": "EDS", "eds_cluster_config": {"eds_config": ADS}, **source(target.found)}
    return {
        **ANY_SOURCE,
        "type": "LOGICAL_DNS" if target.service.round_robin and len(target.found) == 1 else "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "dns_refresh_rate": "5s",
        "respect_dns_ttl": True,
        "load_assignment": assigned,
    }


def _calling(world: World, target: _Target, preferred: Nearness | None) -> Envoy:
    policy, port = target.policy, target.port
    pool = policy.connection_pool
    upgrade = port.protocol == "http" and _upgrades(world, pool)
    weighted: Envoy = {"locality_weighted_lb_config": {}} if preferred and preferred.is_weighted else {}
    detection = policy.outlier_detection
    # Without outlier detection every endpoint stays in; without any healthy one nothing is sent.
    panic = {"value": float(detection.min_health_percent or 0)} if detection else {}
    mesh = world.mesh_config
    return {
        "connect_timeout": seconds((pool.tcp.connect_timeout if pool and pool.tcp else None) or mesh.connect_timeout)
        or CONNECT_TIMEOUT,
        "circuit_breakers": limits(pool, policy.retry_budget),
        **(by_request() if target.service.by_request else load_balancing(policy.load_balancer)),
        "common_lb_config": {"healthy_panic_threshold": panic, **weighted},
        **({"outlier_detection": _outliers(detection)} if detection else {}),
        **_keepalive((pool.tcp.tcp_keepalive if pool and pool.tcp else None) or mesh.tcp_keepalive),
        **security(
            world,
            policy.tls,
            target.client.namespace,
            target.identity,
            _alpn(port, policy, upgrade),
            header=policy.proxy_protocol,
        ),
        **_protocol_options(world, _spoken(target), policy, upgrade=upgrade),
        **service_metadata(target.service),
    }


def _spoken(target: _Target) -> Protocol:
    """Return a port's protocol; gateways send HTTP/1.1 where none is declared, as not every server takes HTTP/2."""
    return "http" if target.client.gateway and target.port.protocol == "auto" else target.port.protocol


def _upgrades(world: World, pool: ConnectionPool | None) -> bool:
    """Tell whether HTTP/1.1 of callers goes on as HTTP/2."""
    http = pool.http if pool else None
    if http and http.use_client_protocol:
        return False
    wanted = http.h2_upgrade_policy if http else "DEFAULT"
    return (world.mesh_config.h2_upgrade_policy if wanted == "DEFAULT" else wanted) == "UPGRADE"


def _alpn(port: MeshPort, policy: Policy, upgrade: bool) -> list[str]:
    if port.is_raw or _keeps_protocol(policy):
        # The bytes show what they are: a name agreed on for the connection could differ from the caller's choice.
        return []
    return ["h2"] if upgrade or port.protocol in HTTP2 else ["http/1.1"]


def _keeps_protocol(policy: Policy) -> bool:
    http = policy.connection_pool.http if policy.connection_pool else None
    return bool(http and http.use_client_protocol)


def any_http(world: World) -> Envoy:
    """Return the part of a cluster by which requests leave in the version of HTTP in which they came."""
    return _protocol_options(world, "auto", NO_POLICY, upgrade=False)


def limits(pool: ConnectionPool | None, budget: RetryBudget | None = None) -> Envoy:
    """Return a cluster's circuit breakers: none but those that are asked for, and a budget for retries."""
    tcp = pool.tcp if pool else None
    http = pool.http if pool else None
    threshold: dict[str, Any] = {
        "max_connections": _or_unlimited(tcp.max_connections if tcp else None),
        "max_pending_requests": _or_unlimited(http.http1_max_pending_requests if http else None),
        "max_requests": _or_unlimited(http.http2_max_requests if http else None),
        "track_remaining": True,
    }
    if budget:
        threshold["retry_budget"] = {
            "budget_percent": {"value": budget.percent},
            "min_retry_concurrency": budget.min_retry_concurrency or DEFAULT_CONCURRENCY,
            **({"budget_interval": seconds(budget.budget_interval)} if budget.budget_interval else {}),
        }
    elif http and http.max_retries:
        threshold["max_retries"] = http.max_retries
    else:
        threshold["retry_budget"] = RETRY_BUDGET
    return {"thresholds": [threshold]}


def _outliers(detection: OutlierDetection) -> Envoy:
    outliers: dict[str, Any] = {
        "enforcing_success_rate": 0,
        "max_ejection_percent": detection.max_ejection_percent or 10,
        # Else the default of 10 percent would never eject one of two.
        "always_eject_one_host": not detection.max_ejection_percent,
        "split_external_local_origin_errors": detection.split_external_local_origin_errors,
        "enforcing_local_origin_success_rate": 0,
    }
    counts = (
        ("consecutive_5xx", detection.consecutive_5xx_errors),
        ("consecutive_gateway_failure", detection.consecutive_gateway_errors),
        ("consecutive_local_origin_failure", detection.consecutive_local_origin_failures),
    )
    for reason, count in counts:
        if count is not None:
            outliers[reason] = max(count, 1)
            outliers[f"enforcing_{reason}"] = 100 if count else 0
    for name, duration in (("interval", detection.interval), ("base_ejection_time", detection.base_ejection_time)):
        if duration is not None:
            outliers[name] = seconds(duration)
    return outliers


def _keepalive(keepalive: TcpKeepalive | None) -> Envoy:
    if keepalive is None:
        return {}
    settings = {
        "keepalive_probes": keepalive.probes,
        "keepalive_time": keepalive.time and max(1, round(keepalive.time.seconds)),
        "keepalive_interval": keepalive.interval and max(1, round(keepalive.interval.seconds)),
    }
    given = {name: value for name, value in settings.items() if value is not None}
    return {"upstream_connection_options": {"tcp_keepalive": given}}


def _protocol_options(world: World, protocol: Protocol, policy: Policy, *, upgrade: bool) -> Envoy:
    if protocol in {"tcp", "tls"}:
        return {}
    pool = policy.connection_pool
    http, tcp = (pool.http, pool.tcp) if pool else (None, None)
    idle = (http.idle_timeout if http else None) or (tcp.idle_timeout if tcp else None)
    common = {
        "idle_timeout": seconds(idle),
        "max_requests_per_connection": (http.max_requests_per_connection if http else None) or None,
        "max_connection_duration": seconds(tcp.max_connection_duration if tcp else None),
    }
    given = {name: value for name, value in common.items() if value is not None}
    options = any_of(
        HTTP_OPTIONS,
        **_codecs(http, http1_options(world), None if protocol == "auto" else upgrade or protocol in HTTP2),
        common_http_protocol_options=given,
        **server_names(policy.tls),
        **_errors(policy.outlier_detection),
    )
    return {"typed_extension_protocol_options": {HTTP_OPTIONS: options}}


def _codecs(http: HTTPSettings | None, http1: Envoy, is_http2: bool | None) -> Envoy:
    """Return which HTTP is spoken; ``None``: what the client speaks."""
    http2: dict[str, Any] = {}
    if http and http.max_concurrent_streams:
        http2["max_concurrent_streams"] = http.max_concurrent_streams
    if http and http.http2_keep_alive:
        pings = http.http2_keep_alive
        http2["connection_keepalive"] = {"interval": seconds(pings.interval), "timeout": seconds(pings.timeout)}
    if is_http2 is None or (http and http.use_client_protocol):
        return {"use_downstream_protocol_config": {"http_protocol_options": http1, "http2_protocol_options": http2}}
    return {"explicit_http_config": {"http2_protocol_options": http2} if is_http2 else {"http_protocol_options": http1}}


def _errors(detection: OutlierDetection | None) -> Envoy:
    """Say which answers are errors to outlier detection, where they are not those with 5xx."""
    if detection is None or not detection.outlier_detection_http_error_codes:
        return {}
    rules = [
        {"http_response_headers_match": {"headers": [{"name": ":status", "string_match": {"exact": str(code)}}]}}
        for code in detection.outlier_detection_http_error_codes
    ]
    matcher = rules[0] if len(rules) == 1 else {"or_match": {"rules": rules}}
    return {"outlier_detection": {"error_matcher": matcher}}


def _or_unlimited(count: int | None) -> int:
    return count or UNLIMITED
