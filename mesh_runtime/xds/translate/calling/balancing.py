"""Which endpoint is next: balancers of clusters, and what of a request or connection they hash."""

from __future__ import annotations

from typing import Any, Final

from mesh_runtime.api.networking import ConsistentHash, HTTPCookie, LoadBalancer
from mesh_runtime.api.values import Duration
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.calling.rules import Policy

_LEAST_REQUEST: Final = "LEAST_REQUEST"
_SLOW_STARTERS: Final = {_LEAST_REQUEST: "least_request_lb_config", "ROUND_ROBIN": "round_robin_lb_config"}
_SIMPLE: Final = {"RANDOM": "RANDOM", "ROUND_ROBIN": "ROUND_ROBIN"}
_AGGRESSION_KEY: Final = "warmup.aggression"


def load_balancing(balancer: LoadBalancer | None) -> Envoy:
    """Return a cluster's balancer; that of least requests where nothing is said."""
    if balancer is None:
        return {"lb_policy": _LEAST_REQUEST}
    if balancer.consistent_hash is not None:
        return _hashing(balancer.consistent_hash)
    kind = _SIMPLE.get(balancer.simple or "", _LEAST_REQUEST)
    warmup = _slow_start(balancer)
    return {"lb_policy": kind, **({_SLOW_STARTERS[kind]: warmup} if warmup and kind in _SLOW_STARTERS else {})}


def hash_policies(policy: Policy) -> list[Envoy]:
    """Return what of a request is hashed: nothing unless the policy says so."""
    hashing = policy.load_balancer.consistent_hash if policy.load_balancer else None
    if hashing is None:
        return []
    if hashing.http_header_name:
        return [{"header": {"header_name": hashing.http_header_name}}]
    if hashing.http_query_parameter_name:
        return [{"query_parameter": {"name": hashing.http_query_parameter_name}}]
    if hashing.http_cookie:
        return [{"cookie": _cookie(hashing.http_cookie)}]
    return [{"connection_properties": {"source_ip": True}}] if hashing.use_source_ip else []


def connection_options(policy: Policy) -> Envoy:
    """Return what a policy says of raw connections: fields of Envoy's TCP proxy."""
    options: dict[str, Any] = {}
    hashing = policy.load_balancer.consistent_hash if policy.load_balancer else None
    if hashing and hashing.use_source_ip:
        options["hash_policy"] = [{"source_ip": {}}]
    tcp = policy.connection_pool.tcp if policy.connection_pool else None
    if tcp and tcp.idle_timeout:
        options["idle_timeout"] = seconds(tcp.idle_timeout)
    if tcp and tcp.max_connection_duration:
        options["max_downstream_connection_duration"] = seconds(tcp.max_connection_duration)
    if policy.tunnel:
        options["tunneling_config"] = {
            "hostname": policy.tunnel.authority,
            "use_post": policy.tunnel.protocol == "POST",
        }
    return options


def seconds(duration: str | None) -> str | None:
    """Return a duration of the manifest as Envoy's; ``None`` stays so."""
    if duration is None:
        return None
    return f"{duration.ms / 1000:g}s" if isinstance(duration, Duration) else duration


def _hashing(hashing: ConsistentHash) -> Envoy:
    if hashing.maglev:
        return {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": hashing.maglev.table_size}}
    size = hashing.ring_hash.minimum_ring_size if hashing.ring_hash else hashing.minimum_ring_size
    return {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": size or 1024}}


def _slow_start(balancer: LoadBalancer) -> Envoy:
    warmup = balancer.warmup
    if warmup:
        aggression = {"default_value": warmup.aggression, "runtime_key": _AGGRESSION_KEY}
        start = {"aggression": aggression, "min_weight_percent": {"value": warmup.minimum_percent}}
        return {"slow_start_config": {"slow_start_window": seconds(warmup.duration), **start}}
    if balancer.warmup_duration_secs:
        return {"slow_start_config": {"slow_start_window": seconds(balancer.warmup_duration_secs)}}
    return {}


def _cookie(cookie: HTTPCookie) -> Envoy:
    built: dict[str, Any] = {"name": cookie.name, "path": cookie.path}
    if cookie.ttl:
        built["ttl"] = seconds(cookie.ttl)
    if cookie.attributes:
        built["attributes"] = [{"name": one.name, "value": one.value} for one in cookie.attributes]
    return built
