"""EnvoyFilters: what users change of proxies' resources themselves, seen by real traffic."""

import pytest
import pytest_asyncio
import yaml
from xds_mesh import GATEWAY, NAMESPACE, TO_CATALOG, Mesh, silent, together, until

from mesh_runtime.api import load
from mesh_runtime.api.objects import ConfigError, ObjectKey
from mesh_runtime.store.port import Change

pytestmark = pytest.mark.asyncio(loop_scope="module")

HCM = "envoy.filters.network.http_connection_manager"
TO_ROUTER = {"filterChain": {"filter": {"name": HCM, "subFilter": {"name": "envoy.filters.http.router"}}}}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog")
        await mesh.gateway("ingress", istio="ingress")
        await mesh.apply(together(GATEWAY, TO_CATALOG))
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_patched(mesh):
    yield
    await mesh.forget("EnvoyFilter")

    async def answers():
        return (await call(mesh)).status == 200

    await until(answers)


def envoy_filter(name, *patches, app=None, namespace=NAMESPACE, **spec):
    if app:
        spec["workloadSelector"] = {"labels": {"app": app}}
    return yaml.safe_dump(
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**spec, "configPatches": list(patches)},
        }
    )


def patch(apply_to, context, operation, value=None, **match):
    done = {"operation": operation} | ({} if value is None else {"value": value})
    return {"applyTo": apply_to, "match": {"context": context, **match}, "patch": done}


def lua(name, line):
    source = f"function envoy_on_request(handle)\n  handle:headers():add('{name}', '{line}')\nend\n"
    kind = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
    return {"name": "envoy.lua", "typed_config": {"@type": kind, "inlineCode": source}}


def adds(name, value):
    return {"request_headers_to_add": [{"header": {"key": name, "value": value}}]}


async def call(mesh, path=""):
    return await mesh.get(mesh.workloads["frontend"], f"catalog/{path}")


async def seen(mesh, *names, **values):
    """Return a request's headers at the application, once these are there: connections outlive a listener's change."""
    wanted = {name.replace("_", "-"): value for name, value in values.items()}
    found = {}

    async def are_there():
        answer = await call(mesh)
        found.clear()
        found.update(answer.seen["headers"] if answer.status == 200 else {})
        return found.keys() >= set(names) and found.items() >= wanted.items()

    await until(are_there)
    return found


async def problems(mesh, text):
    with pytest.raises(ConfigError) as refused:
        await mesh.apply(text)
    return {problem.path: f"{problem.message}; {problem.fix}" for problem in refused.value.problems}


async def test_http_filters_and_headers_are_added_on_either_side_of_a_call(mesh):
    for app, side in (("frontend", "OUTBOUND"), ("catalog", "INBOUND")):
        context, name = f"SIDECAR_{side}", side.lower()
        await mesh.apply(
            envoy_filter(
                name,
                patch("HTTP_FILTER", context, "INSERT_BEFORE", lua(f"x-lua-{name}", "hello"), listener=TO_ROUTER),
                patch("VIRTUAL_HOST", context, "MERGE", adds(f"x-host-{name}", "hello")),
                app=app,
            )
        )
    await seen(mesh, x_lua_inbound="hello", x_lua_outbound="hello", x_host_inbound="hello", x_host_outbound="hello")


async def test_virtual_hosts_that_were_all_removed_are_not_there_when_others_come(mesh):
    await mesh.apply(envoy_filter("none", patch("VIRTUAL_HOST", "ANY", "REMOVE")))
    closed = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: closed}\n"
    none = ObjectKey("networking.istio.io", "EnvoyFilter", NAMESPACE, "none")
    objects = load(f"{closed}spec: {{outboundTrafficPolicy: {{mode: REGISTRY_ONLY}}}}\n", default_namespace=NAMESPACE)
    await mesh.commit(Change(put=tuple(objects), delete=(none,)), settle=True)
    assert (await call(mesh)).status == 200
    await mesh.forget("Sidecar")


async def test_a_script_merged_into_every_filter_does_not_meet_the_mesh_s_own(mesh):
    await mesh.apply(envoy_filter("all", patch("HTTP_FILTER", "ANY", "MERGE", {**lua("x", "y"), "name": ""})))
    assert (await call(mesh)).status == 200


async def test_a_cluster_is_told_to_speak_http2_by_the_field_that_users_know(mesh):
    inbound = patch("VIRTUAL_HOST", "SIDECAR_INBOUND", "MERGE", adds("x-arrived-by", "%PROTOCOL%"))
    await mesh.apply(envoy_filter("how", inbound))
    await seen(mesh, x_arrived_by="HTTP/1.1")
    outbound = patch("CLUSTER", "SIDECAR_OUTBOUND", "MERGE", {"http2_protocol_options": {}}, cluster={})
    await mesh.apply(envoy_filter("http2", outbound))
    await seen(mesh, x_arrived_by="HTTP/2")


async def test_the_local_rate_limit_of_istio_s_documentation_limits(mesh):
    await mesh.apply(
        """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: limit}
spec:
  workloadSelector: {labels: {app: catalog}}
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
      listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.local_ratelimit
        typed_config:
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
          value:
            stat_prefix: http_local_rate_limiter
            token_bucket: {max_tokens: 4, tokens_per_fill: 4, fill_interval: 60s}
            filter_enabled: {runtime_key: local_rate_limit_enabled, default_value: {numerator: 100, denominator: HUNDRED}}
            filter_enforced: {runtime_key: local_rate_limit_enforced, default_value: {numerator: 100, denominator: HUNDRED}}
            response_headers_to_add:
            - append_action: OVERWRITE_IF_EXISTS_OR_ADD
              header: {key: x-local-rate-limit, value: "true"}
"""
    )

    async def is_limited():
        return (await call(mesh)).status == 429

    await until(is_limited)
    assert (await call(mesh)).headers["x-local-rate-limit"] == "true"


async def test_durations_may_be_written_as_go_writes_them(mesh):
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http = {
        "common_http_protocol_options": {"idle_timeout": "1h"},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    held = {"typed_extension_protocol_options": {options: {"@type": f"type.googleapis.com/{options}", **http}}}
    catalog = {"service": "catalog.shop.svc.cluster.local"}
    only = {"vhost": {"name": "catalog.shop.svc.cluster.local:80"}}
    hasty = {"route": {"timeout": "50ms"}}
    await mesh.apply(
        envoy_filter(
            "hasty",
            patch("HTTP_ROUTE", "SIDECAR_OUTBOUND", "MERGE", hasty, routeConfiguration=only),
            patch("CLUSTER", "SIDECAR_OUTBOUND", "MERGE", held, cluster=catalog),
        )
    )
    with silent(mesh.workloads["catalog"]):
        assert (await call(mesh)).status == 504


async def test_the_root_namespace_s_come_first_then_lower_priorities_then_names(mesh):
    def order(name, namespace=NAMESPACE, **spec):
        change = patch("VIRTUAL_HOST", "SIDECAR_INBOUND", "MERGE", adds("x-order", name))
        return envoy_filter(name, change, namespace=namespace, **spec)

    await mesh.apply(
        "---\n".join([order("b"), order("a"), order("root", "istio-system"), order("last", "istio-system", priority=5)])
    )
    sidecar = mesh.workloads["catalog"]
    listeners = mesh.control.resources(sidecar.grant.node_id, "listeners")
    inbound = next(one for one in listeners if one["traffic_direction"] == "INBOUND")
    host = inbound["filter_chains"][0]["filters"][-1]["typed_config"]["route_config"]["virtual_hosts"][0]
    assert [one["header"]["value"] for one in host["request_headers_to_add"]] == ["root", "a", "b", "last"]


async def test_only_the_proxies_that_are_selected_are_touched(mesh):
    def resources(workload):
        node = mesh.workloads[workload].grant.node_id
        return [packed for kind in mesh.control.server.snapshots[node].resources.values() for packed in kind.values()]

    def is_same(workload):
        return all(new is old for new, old in zip(resources(workload), before[workload], strict=True))

    before = {workload: resources(workload) for workload in ("frontend", "catalog")}
    await mesh.apply(envoy_filter("mine", patch("CLUSTER", "ANY", "MERGE", {"connect_timeout": "3s"}), app="catalog"))
    assert is_same("frontend")
    assert not is_same("catalog")


async def test_a_condition_on_the_proxy_is_kept(mesh):
    for name, version in (("old", r"^1\.9.*"), ("now", r"^1\.\d\d.*")):
        match = {"proxy": {"proxyVersion": version, "metadata": {"NAMESPACE": NAMESPACE}}}
        await mesh.apply(
            envoy_filter(name, patch("VIRTUAL_HOST", "SIDECAR_INBOUND", "MERGE", adds(f"x-{name}", "1"), **match))
        )
    assert "x-old" not in await seen(mesh, "x-now")


async def test_the_application_s_port_selects_an_inbound_listener(mesh):
    port = mesh.workloads["catalog"].port
    for name, number in (("right", port), ("wrong", port + 1)):
        match = {"listener": {**TO_ROUTER, "portNumber": number, "name": "virtualInbound"}}
        change = patch("HTTP_FILTER", "SIDECAR_INBOUND", "INSERT_FIRST", lua(f"x-{name}", "1"), **match)
        await mesh.apply(envoy_filter(name, change, app="catalog"))
    assert "x-wrong" not in await seen(mesh, "x-right")


async def test_routes_are_added_before_others_and_removed(mesh):
    reply = {"name": "mine", "match": {"path": "/teapot"}, "direct_response": {"status": 418}}
    here = {"routeConfiguration": {"portNumber": 80, "vhost": {"name": "catalog.shop.svc.cluster.local:80"}}}
    await mesh.apply(envoy_filter("tea", patch("HTTP_ROUTE", "SIDECAR_OUTBOUND", "INSERT_FIRST", reply, **here)))
    assert (await call(mesh, "teapot")).status == 418
    assert (await call(mesh)).status == 200
    elsewhere = {"routeConfiguration": {"portNumber": 81}}
    await mesh.apply(envoy_filter("tea", patch("HTTP_ROUTE", "SIDECAR_OUTBOUND", "INSERT_FIRST", reply, **elsewhere)))
    assert (await call(mesh, "teapot")).status == 200


async def test_a_gateway_s_filters_and_routes_are_changed(mesh):
    limited = {"typed_config": {"@type": f"type.googleapis.com/{MANAGER}", "server_name": "mine"}}
    rename = patch("NETWORK_FILTER", "GATEWAY", "MERGE", limited, listener={"filterChain": {"filter": {"name": HCM}}})
    vhost = {"route": {"action": "ROUTE"}}
    where = {"routeConfiguration": {"gateway": f"{NAMESPACE}/ingress", "portName": "http", "vhost": vhost}}
    header = patch("HTTP_ROUTE", "GATEWAY", "MERGE", adds("x-gateway", "1"), **where)
    await mesh.apply(envoy_filter("edge", rename, header))
    gateway = mesh.workloads["ingress"]
    answer = await mesh.send(f"http://{gateway.address}:9080/", "shop.example.com")
    assert answer.seen["headers"]["x-gateway"] == "1"
    missing = await mesh.send(f"http://{gateway.address}:9080/", "nobody.example.com")
    assert (missing.status, missing.headers["server"]) == (404, "mine")


MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


async def test_a_cluster_and_a_listener_of_one_s_own_work_together(mesh):
    port = mesh.workloads["catalog"].port
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    cluster = {
        "name": "mine",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "mine",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "mine",
        "cluster": "mine",
    }
    listener = {
        "name": "mine",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": 28123}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}],
    }
    await mesh.apply(
        envoy_filter(
            "own", patch("CLUSTER", "ANY", "ADD", cluster), patch("LISTENER", "SIDECAR_OUTBOUND", "ADD", listener)
        )
    )
    for name in ("frontend", "catalog"):
        assert (await mesh.send(f"http://{mesh.workloads[name].address}:28123/", "any")).app == "catalog"


async def test_what_led_to_a_cluster_that_is_removed_leads_nowhere(mesh):
    match = {"cluster": {"service": "catalog.shop.svc.cluster.local", "portNumber": 80}}
    await mesh.apply(envoy_filter("gone", patch("CLUSTER", "SIDECAR_OUTBOUND", "REMOVE", **match), app="frontend"))
    assert (await call(mesh)).status in {502, 503}


SPOILING = {
    "what Envoy would refuse": (
        patch("CLUSTER", "SIDECAR_OUTBOUND", "MERGE", {"outlier_detection": {"max_ejection_percent": 200}}),
        "outlier_detection.max_ejection_percent must be at most 100",
    ),
    "two chains for the same connections": (
        patch("FILTER_CHAIN", "SIDECAR_INBOUND", "ADD", {}),
        "has two filter chains for the same connections",
    ),
    "a name that is taken": (
        patch("CLUSTER", "SIDECAR_OUTBOUND", "ADD", {"name": "outbound|80||catalog.shop.svc.cluster.local"}),
        "outbound|80||catalog.shop.svc.cluster.local is there twice",
    ),
    "a cluster that is not there": (
        patch("HTTP_ROUTE", "SIDECAR_OUTBOUND", "MERGE", {"route": {"cluster": "nobody"}}),
        "needs CDS nobody, which is not there",
    ),
}


@pytest.mark.parametrize("spoil", SPOILING)
async def test_a_patch_that_would_spoil_a_proxy_is_left_out_and_reported_while_all_else_goes_on(mesh, spoil):
    change, said = SPOILING[spoil]
    also = patch("VIRTUAL_HOST", "SIDECAR_OUTBOUND", "MERGE", adds("x-also", "1"))
    revision = await mesh.apply(envoy_filter("spoil", change, also, app="frontend"), settle=False)
    settled = await mesh.control.settled(revision.number, 5)
    ((proxy, why),) = settled.rejected.items()
    assert why.startswith("EnvoyFilter shop/spoil spec.configPatches[0] is left out: ")
    assert said in why
    (status,) = (one for one in mesh.control.status() if one.instance_id == proxy)
    assert (status.problem, status.in_sync, status.revision_acked) == (why, False, revision.number)
    await seen(mesh, "x-also")

    route = {"headers": {"request": {"set": {"x-later": spoil}}}, "route": [{"destination": {"host": "catalog"}}]}
    later = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "later"},
        "spec": {"hosts": ["catalog"], "http": [route]},
    }
    await mesh.apply(yaml.safe_dump(later), settle=False)
    await seen(mesh, **{"x-later": spoil})
    await mesh.delete(ObjectKey("networking.istio.io", "VirtualService", NAMESPACE, "later"), settle=False)


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        (
            patch("CLUSTER", "ANY", "MERGE", {"circuit_breakers": {"thresholds": [{"max": 1}]}}),
            "patch.value.circuit_breakers.thresholds[0].max",
            "is not a field of Envoy's API",
        ),
        (
            patch("HTTP_FILTER", "ANY", "INSERT_FIRST", {"name": "x", "typedConfig": {"@type": "a.b/envoy.v2.Lua"}}),
            "patch.value.typedConfig",
            "envoy.v2.Lua is not a type of Envoy's API",
        ),
        (
            patch("HTTP_FILTER", "ANY", "INSERT_FIRST", {"typed_config": lua("x", "y")["typed_config"]}),
            "patch.value.name",
            "is required",
        ),
        (
            patch("NETWORK_FILTER", "ANY", "ADD", lua("x", "y")),
            "patch.value.typed_config",
            "is not a filter of the kind NETWORK_FILTER",
        ),
        (
            patch("HTTP_FILTER", "ANY", "ADD", lua("x", "y")),
            "patch.operation",
            "behind the router",
        ),
        (
            patch("CLUSTER", "ANY", "MERGE", {"connect_timeout": "fast"}),
            "patch.value.connect_timeout",
            "",
        ),
        (
            patch("CLUSTER", "ANY", "MERGE", {}, listener={"portNumber": 80}),
            "match.listener",
            "does not go with applyTo CLUSTER",
        ),
        (patch("CLUSTER", "ANY", "MERGE"), "patch.value", "is required"),
        (patch("BOOTSTRAP", "ANY", "MERGE", {}), "applyTo", "BOOTSTRAP"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
async def test_what_envoy_does_not_know_is_refused_at_its_place(mesh, change, where, said):
    found = await problems(mesh, envoy_filter("wrong", change))
    assert list(found) == [f"spec.configPatches[0].{where}"]
    assert said in found[f"spec.configPatches[0].{where}"]


async def test_a_patched_mesh_is_as_it_was_once_the_filter_is_deleted(mesh):
    await mesh.apply(envoy_filter("once", patch("VIRTUAL_HOST", "ANY", "MERGE", adds("x-once", "1"))))
    await seen(mesh, "x-once")
    await mesh.delete(ObjectKey("networking.istio.io", "EnvoyFilter", NAMESPACE, "once"))

    async def is_gone():
        return "x-once" not in (await call(mesh)).seen["headers"]

    await until(is_gone)
