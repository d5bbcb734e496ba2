"""What Envoy checks when it builds something from a message, and its API's files do not say.

Found by giving Envoy 1.40 (``--mode validate``) thousands of messages that keep all rules of the files.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Steps = tuple[str | int, ...]
Complaint = tuple[Steps, str]
Judge = Callable[[Any], Iterator[Complaint]]


def complaints(message: Any) -> Iterator[Complaint]:
    """Yield what Envoy would refuse of a message itself; what is inside it is judged apart."""
    kinds = message.DESCRIPTOR.oneofs_by_name.get("config_type")
    if kinds is not None and message.WhichOneof("config_type") is None and getattr(message, "name", None):
        yield ("typed_config",), "is required: extensions are not found by their name alone"
    judge = _JUDGES.get(message.DESCRIPTOR.full_name)
    if judge is not None:
        yield from judge(message)


def _cluster(cluster: Any) -> Iterator[Complaint]:
    policy = _name(cluster, "lb_policy")
    by_itself = cluster.HasField("cluster_type") or cluster.type == cluster.ORIGINAL_DST
    if by_itself and policy != "CLUSTER_PROVIDED":
        yield ("lb_policy",), "must be CLUSTER_PROVIDED for a cluster of this type"
    if policy == "CLUSTER_PROVIDED" and not by_itself:
        yield ("lb_policy",), "must not be CLUSTER_PROVIDED for a cluster of this type"
    if policy == "LOAD_BALANCING_POLICY_CONFIG" and not cluster.HasField("load_balancing_policy"):
        yield ("load_balancing_policy",), "is required by the lb_policy LOAD_BALANCING_POLICY_CONFIG"
    if cluster.HasField("lb_subset_config"):
        yield from _subsets(cluster, policy)
    hashing = cluster.common_lb_config.consistent_hashing_lb_config
    if hashing.use_hostname_for_hashing and cluster.type not in {cluster.STRICT_DNS, cluster.LOGICAL_DNS}:
        at = ("common_lb_config", "consistent_hashing_lb_config", "use_hostname_for_hashing")
        yield at, "needs a cluster of type STRICT_DNS or LOGICAL_DNS"
    if policy == "RING_HASH":
        yield from _ring(cluster.ring_hash_lb_config)
    if policy == "MAGLEV" and cluster.maglev_lb_config.HasField("table_size"):
        size = cluster.maglev_lb_config.table_size.value
        if not _is_prime(size):
            yield ("maglev_lb_config", "table_size"), "must be a prime number"


def _subsets(cluster: Any, policy: str) -> Iterator[Complaint]:
    if policy == "CLUSTER_PROVIDED" or cluster.HasField("load_balancing_policy"):
        yield ("lb_subset_config",), "cannot be combined with this load balancing policy"
    by_locality = cluster.common_lb_config.HasField("locality_weighted_lb_config")
    if cluster.lb_subset_config.locality_weight_aware and not by_locality:
        yield ("lb_subset_config", "locality_weight_aware"), "needs common_lb_config.locality_weighted_lb_config"


def _ring(config: Any) -> Iterator[Complaint]:
    least = config.minimum_ring_size.value if config.HasField("minimum_ring_size") else 1024
    most = config.maximum_ring_size.value if config.HasField("maximum_ring_size") else 8 * 1024 * 1024
    if least > most:
        yield ("ring_hash_lb_config", "maximum_ring_size"), f"must be at least the minimum, {least}"


def _selector(selector: Any) -> Iterator[Complaint]:
    by_keys = _name(selector, "fallback_policy") == "KEYS_SUBSET"
    if selector.fallback_keys_subset and not by_keys:
        yield ("fallback_keys_subset",), "needs the fallback_policy KEYS_SUBSET"
    if by_keys and not selector.fallback_keys_subset:
        yield ("fallback_keys_subset",), "is required by the fallback_policy KEYS_SUBSET"
    if not set(selector.fallback_keys_subset) <= set(selector.keys):
        yield ("fallback_keys_subset",), "must be some of the keys"


def _breakers(breakers: Any) -> Iterator[Complaint]:
    for number, limits in enumerate(breakers.per_host_thresholds):
        for field, _ in limits.ListFields():
            if field.name not in {"priority", "max_connections"}:
                yield ("per_host_thresholds", number, field.name), "is not for single hosts; set it below thresholds"


def _outliers(detection: Any) -> Iterator[Complaint]:
    base = _seconds(detection, "base_ejection_time", 30)
    if _seconds(detection, "max_ejection_time", max(300, base)) < base:
        yield ("max_ejection_time",), f"must be at least base_ejection_time, {base:g}s"


def _bind(config: Any) -> Iterator[Complaint]:
    more = [name for name in ("extra_source_addresses", "additional_source_addresses") if getattr(config, name)]
    if more and not config.HasField("source_address"):
        yield ("source_address",), f"is required by {more[0]}"
    if len(more) > 1:
        yield (more[0],), f"cannot be combined with {more[1]}"
    if config.source_address.named_port:
        yield ("source_address", "named_port"), "must be a number, as port_value"


def _header(option: Any) -> Iterator[Complaint]:
    if option.HasField("append") and option.append_action:
        yield ("append",), "cannot be combined with append_action"
    if option.header.value and option.header.raw_value:
        yield ("header", "raw_value"), "cannot be combined with value"


def _mirror(policy: Any) -> Iterator[Complaint]:
    if bool(policy.cluster) == bool(policy.cluster_header):
        yield ("cluster",), "needs exactly one of cluster and cluster_header"


def _back_off(config: Any) -> Iterator[Complaint]:
    base = _seconds(config, "base_interval", 0)
    if _seconds(config, "max_interval", 10 * base) < base:
        yield ("max_interval",), f"must be at least base_interval, {base:g}s"


def _rewrites(action: Any) -> Iterator[Complaint]:
    given = [name for name in ("prefix_rewrite", "path_rewrite") if getattr(action, name)]
    given += [name for name in ("regex_rewrite", "path_rewrite_policy") if action.HasField(name)]
    if len(given) > 1:
        yield (given[1],), f"cannot be combined with {given[0]}"


def _upgrade(config: Any) -> Iterator[Complaint]:
    if config.HasField("connect_config") and config.upgrade_type.upper() not in {"CONNECT", "CONNECT-UDP"}:
        yield ("connect_config",), "is for the upgrade_type CONNECT only"


def _manager(manager: Any) -> Iterator[Complaint]:
    if manager.common_http_protocol_options.HasField("max_response_headers_kb"):
        yield ("common_http_protocol_options", "max_response_headers_kb"), "is for clusters only"


def _range(cidr: Any) -> Iterator[Complaint]:
    try:
        address = ipaddress.ip_address(cidr.address_prefix)
    except ValueError:
        yield ("address_prefix",), "must be an IP address"
    else:
        if cidr.prefix_len.value > address.max_prefixlen:
            yield ("prefix_len",), f"must be at most {address.max_prefixlen}"


def _chain_match(match: Any) -> Iterator[Complaint]:
    for name in ("address_suffix", "suffix_len"):
        if name in {field.name for field, _ in match.ListFields()}:
            yield (name,), "is not implemented by Envoy"


def _regex(matcher: Any) -> Iterator[Complaint]:
    if matcher.google_re2.HasField("max_program_size"):
        yield ("google_re2", "max_program_size"), "is no longer of use; leave it out"


def _name(message: Any, field: str) -> str:
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    return str(kind.values_by_number[getattr(message, field)].name)


def _seconds(message: Any, field: str, default: float) -> float:
    value = getattr(message, field)
    return float(value.seconds + value.nanos / 1e9) if message.HasField(field) else default


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


_JUDGES: Final[Mapping[str, Judge]] = {
    "envoy.config.cluster.v3.Cluster": _cluster,
    "envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector": _selector,
    "envoy.config.cluster.v3.CircuitBreakers": _breakers,
    "envoy.config.cluster.v3.OutlierDetection": _outliers,
    "envoy.config.core.v3.BindConfig": _bind,
    "envoy.config.core.v3.CidrRange": _range,
    "envoy.config.core.v3.HeaderValueOption": _header,
    "envoy.config.listener.v3.FilterChainMatch": _chain_match,
    "envoy.config.route.v3.RetryPolicy.RetryBackOff": _back_off,
    "envoy.config.route.v3.RouteAction": _rewrites,
    "envoy.config.route.v3.RouteAction.RequestMirrorPolicy": _mirror,
    "envoy.config.route.v3.RouteAction.UpgradeConfig": _upgrade,
    "envoy.type.matcher.v3.RegexMatcher": _regex,
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": _manager,
}
