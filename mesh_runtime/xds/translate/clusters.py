"""Clusters: each port and subset of each service as callers see it, and an instance's own ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mesh_runtime.api.networking import ConnectionPool, LoadBalancer, OutlierDetection
from mesh_runtime.registry import Instance
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy, Group
from mesh_runtime.xds.translate.endpoints import Endpoint, address, assignment, endpoints, identities
from mesh_runtime.xds.translate.policy import Policy, Rules, rules_for
from mesh_runtime.xds.translate.ports import InboundPort
from mesh_runtime.xds.translate.services import MeshPort, MeshService, Protocol
from mesh_runtime.xds.translate.telemetry import service_metadata
from mesh_runtime.xds.translate.tls import ADS, by_endpoint, upstream_tls
from mesh_runtime.xds.translate.world import World

UNLIMITED: Final = 2**32 - 1
CONNECT_TIMEOUT: Final = "10s"
RETRY_BUDGET: Final = {"budget_percent": {"value": 50.0}, "min_retry_concurrency": 100}
"""Retries at once: half of the active requests, and 100 where there are few. Envoy's own 3 are a placebo."""
HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_LB_POLICY = {"RANDOM": "RANDOM", "ROUND_ROBIN": "ROUND_ROBIN"}


def outbound_name(service: MeshService, port: MeshPort, subset: str = "") -> str:
    """Return Istio's name of a cluster."""
    return f"outbound|{port.number}|{subset}|{service.host}"


def inbound_name(port: InboundPort) -> str:
    """Return Istio's name of an instance's own port."""
    return f"inbound|{port.app_port}||"


def outbound_clusters(world: World, namespace: str) -> tuple[Group, Group]:
    """Return the clusters that callers in a namespace use, and their endpoint assignments."""

    def build() -> tuple[Group, Group]:
        pairs = [
            pair
            for service in world.services_for(namespace).values()
            for port in service.ports
            for pair in _of_port(world, namespace, service, port)
        ]
        return tuple(cluster for cluster, _ in pairs), tuple(known for _, known in pairs if known is not None)

    return world.once(("clusters", namespace), build)


def inbound_cluster(instance: Instance, port: InboundPort, protocol: Protocol) -> Envoy:
    """Return the cluster of an instance's own port."""
    name = inbound_name(port)
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": CONNECT_TIMEOUT,
        "circuit_breakers": limits(None),
        **_protocol_options(protocol, None),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(instance.app_address, port.app_port)}}]}],
        },
    }


def _of_port(
    world: World, namespace: str, service: MeshService, port: MeshPort
) -> tuple[tuple[Envoy, Envoy | None], ...]:
    """Build a port's clusters once for all namespaces to which the same rules apply."""
    rules = rules_for(world, namespace, service)
    key = "port", service.host, port.number, id(rules)
    return world.once(key, lambda: tuple(_variants(world, service, port, rules)))


def _variants(world: World, service: MeshService, port: MeshPort, rules: Rules) -> Iterator[tuple[Envoy, Envoy | None]]:
    variants: dict[str, tuple[Mapping[str, str], Policy]] = {"": ({}, rules.policy), **rules.subsets}
    for subset, (labels, policy) in variants.items():
        name = outbound_name(service, port, subset)
        found = endpoints(world, service, port, labels)
        accepted = identities(world, service, labels)
        cluster = _cluster(name, service, port, policy=policy, accepted=accepted, found=found)
        yield cluster, None if "load_assignment" in cluster else assignment(name, found, policy.tls)


def _cluster(
    name: str,
    service: MeshService,
    port: MeshPort,
    *,
    policy: Policy,
    accepted: tuple[str, ...],
    found: tuple[Endpoint, ...],
) -> Envoy:
    pool = policy.connection_pool
    upgrade = bool(pool and pool.http and pool.http.h2_upgrade_policy == "UPGRADE" and port.protocol == "http")
    protocol: Protocol = "http2" if upgrade else port.protocol
    return {
        "name": name,
        **_discovery(name, service, policy, found),
        "connect_timeout": _seconds(pool.tcp.connect_timeout if pool and pool.tcp else None) or CONNECT_TIMEOUT,
        "circuit_breakers": limits(pool),
        **_load_balancing(policy.load_balancer),
        **_outliers(policy.outlier_detection),
        **_keepalive(pool),
        **_security(service, policy, accepted, protocol),
        **_protocol_options(protocol, pool),
        **service_metadata(service),
    }


def _discovery(name: str, service: MeshService, policy: Policy, found: tuple[Endpoint, ...]) -> Envoy:
    if not service.by_dns and all(one.is_ip for one in found):
        return {"type": "EDS", "eds_cluster_config": {"eds_config": ADS}}
    return {
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "dns_refresh_rate": "5s",
        "respect_dns_ttl": True,
        "load_assignment": assignment(name, found, policy.tls),
    }


def _security(service: MeshService, policy: Policy, accepted: tuple[str, ...], protocol: Protocol) -> Envoy:
    alpn = {"http": ["http/1.1"], "tcp": []}.get(protocol, ["h2"])
    secured = upstream_tls(accepted, service.namespace if service.selector else "", alpn)
    if policy.tls == "ISTIO_MUTUAL":
        return {"transport_socket": secured}
    if policy.tls == "DISABLE" or not service.selector:
        return {}
    return {"transport_socket_matches": by_endpoint(secured)}


def limits(pool: ConnectionPool | None) -> Envoy:
    """Return a cluster's circuit breakers: none but those that are asked for, and a budget for retries."""
    tcp = pool.tcp if pool else None
    http = pool.http if pool else None
    threshold: dict[str, Any] = {
        "max_connections": _or_unlimited(tcp.max_connections if tcp else None),
        "max_pending_requests": _or_unlimited(http.http1_max_pending_requests if http else None),
        "max_requests": _or_unlimited(http.http2_max_requests if http else None),
        "track_remaining": True,
    }
    if http and http.max_retries is not None:
        threshold["max_retries"] = http.max_retries
    else:
        threshold["retry_budget"] = RETRY_BUDGET
    return {"thresholds": [threshold]}


def _load_balancing(balancer: LoadBalancer | None) -> Envoy:
    if balancer is None or balancer.consistent_hash is None:
        return {"lb_policy": _LB_POLICY.get(str(balancer.simple if balancer else None), "LEAST_REQUEST")}
    hashing = balancer.consistent_hash
    if hashing.maglev:
        return {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": hashing.maglev.table_size}}
    size = hashing.ring_hash.minimum_ring_size if hashing.ring_hash else 1024
    return {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": size}}


def _outliers(detection: OutlierDetection | None) -> Envoy:
    """Translate outlier detection; without it every endpoint stays in, and without any healthy one nothing is sent."""
    if detection is None:
        return {"common_lb_config": {"healthy_panic_threshold": {}}}
    outliers: dict[str, Any] = {
        "enforcing_success_rate": 0,
        "max_ejection_percent": 10 if detection.max_ejection_percent is None else detection.max_ejection_percent,
        # Else the default of 10 percent would never eject one of two.
        "always_eject_one_host": detection.max_ejection_percent is None,
        "split_external_local_origin_errors": detection.split_external_local_origin_errors,
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
            outliers[name] = _seconds(duration)
    panic = {"value": float(detection.min_health_percent or 0)}
    return {"outlier_detection": outliers, "common_lb_config": {"healthy_panic_threshold": panic}}


def _keepalive(pool: ConnectionPool | None) -> Envoy:
    keepalive = pool.tcp.tcp_keepalive if pool and pool.tcp else None
    if keepalive is None:
        return {}
    settings = {
        "keepalive_probes": keepalive.probes,
        "keepalive_time": keepalive.time and max(1, round(keepalive.time.seconds)),
        "keepalive_interval": keepalive.interval and max(1, round(keepalive.interval.seconds)),
    }
    given = {name: value for name, value in settings.items() if value is not None}
    return {"upstream_connection_options": {"tcp_keepalive": given}}


def _protocol_options(protocol: Protocol, pool: ConnectionPool | None) -> Envoy:
    if protocol == "tcp":
        return {}
    http = pool.http if pool else None
    tcp = pool.tcp if pool else None
    streams = {"max_concurrent_streams": http.max_concurrent_streams} if http and http.max_concurrent_streams else {}
    explicit: Envoy = {"http_protocol_options": {}} if protocol == "http" else {"http2_protocol_options": streams}
    common = {
        "idle_timeout": _seconds(http.idle_timeout if http else None),
        "max_requests_per_connection": (http.max_requests_per_connection if http else None) or None,
        "max_connection_duration": _seconds(tcp.max_connection_duration if tcp else None),
    }
    given = {name: value for name, value in common.items() if value is not None}
    options = any_of(HTTP_OPTIONS, explicit_http_config=explicit, common_http_protocol_options=given)
    return {"typed_extension_protocol_options": {HTTP_OPTIONS: options}}


def _or_unlimited(count: int | None) -> int:
    return count or UNLIMITED


def _seconds(duration: Any) -> str | None:
    return None if duration is None else f"{duration.ms / 1000:g}s"
