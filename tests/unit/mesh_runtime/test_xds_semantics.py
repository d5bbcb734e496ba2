"""What Envoy refuses though its API's files allow it."""

import pytest

from mesh_runtime.xds import constraints, protos

CLUSTER = "envoy.config.cluster.v3.Cluster"
ROUTE = "envoy.config.route.v3.RouteAction"
REFUSED = (
    (CLUSTER, {"lb_policy": "CLUSTER_PROVIDED"}, "lb_policy"),
    (CLUSTER, {"type": "ORIGINAL_DST"}, "lb_policy"),
    (CLUSTER, {"lb_policy": "LOAD_BALANCING_POLICY_CONFIG"}, "load_balancing_policy"),
    (CLUSTER, {"lb_subset_config": {"locality_weight_aware": True}}, "lb_subset_config.locality_weight_aware"),
    (CLUSTER, {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"maximum_ring_size": 8}}, "ring_hash_lb_config"),
    (CLUSTER, {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 8}}, "maglev_lb_config.table_size"),
    (
        CLUSTER,
        {"lb_subset_config": {"subset_selectors": [{"keys": ["a"], "fallback_policy": "KEYS_SUBSET"}]}},
        "fallback_keys_subset",
    ),
    (CLUSTER, {"circuit_breakers": {"per_host_thresholds": [{"max_requests": 1}]}}, "per_host_thresholds.0"),
    (CLUSTER, {"outlier_detection": {"max_ejection_time": "1s"}}, "max_ejection_time"),
    (CLUSTER, {"upstream_bind_config": {"extra_source_addresses": [{}]}}, "source_address"),
    (ROUTE, {"cluster": "a", "request_mirror_policies": [{}]}, "request_mirror_policies.0.cluster"),
    (ROUTE, {"cluster": "a", "prefix_rewrite": "/", "path_rewrite": "/"}, "path_rewrite"),
    (
        ROUTE,
        {"cluster": "a", "retry_policy": {"retry_back_off": {"base_interval": "2s", "max_interval": "1s"}}},
        "max_interval",
    ),
    (ROUTE, {"cluster": "a", "retry_policy": {"retry_priority": {"name": "own"}}}, "retry_priority.typed_config"),
    (ROUTE, {"cluster": "a", "upgrade_configs": [{"upgrade_type": "x", "connect_config": {}}]}, "connect_config"),
    ("envoy.config.core.v3.HeaderValueOption", {"header": {"value": "x"}}, "header.key"),
    (
        "envoy.config.core.v3.HeaderValueOption",
        {"header": {"key": "x", "value": "x"}, "append": False, "append_action": "ADD_IF_ABSENT"},
        "append",
    ),
    ("envoy.config.core.v3.CidrRange", {"address_prefix": "shop"}, "address_prefix"),
    ("envoy.config.core.v3.CidrRange", {"address_prefix": "10.0.0.0", "prefix_len": 33}, "prefix_len"),
    ("envoy.config.listener.v3.FilterChainMatch", {"suffix_len": 8}, "suffix_len"),
)


@pytest.mark.parametrize(("name", "fields", "where"), REFUSED)
def test_a_message_that_envoy_could_not_build_is_refused_at_the_field(name, fields, where):
    base = {"name": "own", "connect_timeout": "1s"} if name == CLUSTER else {}
    found = [".".join(map(str, at)) for at, _ in constraints.complaints(protos.message(name, base | fields))]
    assert any(where in at for at in found), found


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"},
        {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 65537}},
        {"circuit_breakers": {"per_host_thresholds": [{"max_connections": 1}]}},
        {"outlier_detection": {"base_ejection_time": "400s"}},
    ],
)
def test_what_envoy_can_build_is_not_refused(fields):
    message = protos.message(CLUSTER, {"name": "own", "connect_timeout": "1s"} | fields)
    assert list(constraints.complaints(message)) == []
