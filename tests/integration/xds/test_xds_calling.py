"""What a DestinationRule makes of calls, by what callers and applications see: whom it is for, and how much at once."""

import asyncio
from collections import Counter

import grpc
import pytest
import pytest_asyncio
from xds_mesh import NAMESPACE, PATIENCE_S, Mesh, are_answered, at_once, listening, mesh_config

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "catalog.shop.svc.cluster.local"
SUBSETS = "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]"
SERVICES = f"""
apiVersion: v1
kind: Service
metadata: {{name: catalog, namespace: {NAMESPACE}}}
spec:
  selector: {{app: catalog}}
  ports: [{{name: http, port: 80}}, {{name: http-two, port: 81, targetPort: http}}]
"""


def rule(spec, *, name="catalog", namespace=NAMESPACE, host=HOST):
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{host: "{host}", {spec}}}
"""


def route(http, *, name="catalog", hosts="[catalog]"):
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec: {{hosts: {hosts}, http: [{http}]}}
"""


ONCE = route(f"{{route: [{{destination: {{host: {HOST}}}}}], retries: {{attempts: 0}}}}", hosts=f"[{HOST}]")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh(SERVICES) as mesh:
        for service, version in (("frontend", ""), ("catalog", "v1"), ("catalog", "v2")):
            await mesh.workload(service, version)
        await mesh.workload("visitor", namespace="other")
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def plain(mesh):
    """Forget what the test before did."""
    for workload in mesh.workloads.values():
        workload.requests.clear()
        workload.fail = Counter()
    await mesh.forget("DestinationRule", "VirtualService")


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


@pytest.fixture
def visitor(mesh):
    return mesh.workloads["visitor.other"]


async def homes(mesh, caller, url, requests):
    """Which instances answer each of some users."""
    found = {}
    for user, options in requests:
        answer = await mesh.get(caller, url.format(user=user), **options)
        found.setdefault(user, set()).add(answer.app)
    return found


def is_sticky(found):
    return all(len(home) == 1 for home in found.values()) and len(set.union(*found.values())) == 2


async def secured(mesh, caller):
    """How many answers came over which kind of connection."""
    kinds = ("none", "mutual_tls")
    return Counter(
        {
            kind: await mesh.metrics(
                caller, "istio_requests_total", connection_security_policy=kind, response_code="200"
            )
            for kind in kinds
        }
    )


USERS = [f"user{number}" for number in range(12)] * 3
BY_HEADER = "{consistentHash: {httpHeaderName: x-user%s}}"
AS_USER = [(user, {"headers": {"x-user": user}}) for user in USERS]


@pytest.mark.parametrize(
    "algorithm", ["", ", ringHash: {minimumRingSize: 64}", ", maglev: {tableSize: 251}", ", minimumRingSize: 64"]
)
async def test_every_algorithm_keeps_a_user_with_one_instance(mesh, frontend, algorithm):
    await mesh.apply(rule(f"trafficPolicy: {{loadBalancer: {BY_HEADER % algorithm}}}"))
    assert is_sticky(await homes(mesh, frontend, "catalog/", AS_USER))


async def test_a_cookie_that_a_caller_lacks_is_made_and_then_leads_to_the_same_instance(mesh, frontend):
    cookie = "{name: home, path: /shop, ttl: 60s, attributes: [{name: SameSite, value: Strict}]}"
    await mesh.apply(rule(f"trafficPolicy: {{loadBalancer: {{consistentHash: {{httpCookie: {cookie}}}}}}}"))
    first = await mesh.get(frontend, "catalog/")
    made = first.headers["set-cookie"]
    assert made.startswith("home=")
    assert {"Max-Age=60", "Path=/shop", "SameSite=Strict"} <= set(made.split("; "))
    again = await mesh.share(frontend, "catalog/", count=15, headers={"Cookie": made.partition(";")[0]})
    assert again == {first.app: 15}


async def test_requests_of_one_address_go_to_one_instance(mesh, frontend):
    await mesh.apply(rule("trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}"))
    assert len(await mesh.share(frontend, "catalog/", count=20)) == 1


async def test_a_rule_for_one_port_stands_for_all_that_holds_for_it(mesh, frontend):
    special = "{port: {number: 81}, loadBalancer: {simple: ROUND_ROBIN}}"
    await mesh.apply(
        rule(
            f"trafficPolicy: {{loadBalancer: {BY_HEADER % ''}, tls: {{mode: DISABLE}}, portLevelSettings: [{special}]}}"
        )
    )
    one = {"headers": {"x-user": "ada"}}
    before = await secured(mesh, frontend)
    assert len(await mesh.share(frontend, "catalog/", count=20, **one)) == 1
    assert await mesh.share(frontend, "catalog:81/", count=20, **one) == {"catalog-v1": 10, "catalog-v2": 10}
    # What the rule says of TLS is not for port 81.
    assert await secured(mesh, frontend) - before == {"none": 20, "mutual_tls": 20}


async def test_a_subset_s_part_replaces_the_rule_s_also_for_one_port(mesh, frontend):
    own = f"{{portLevelSettings: [{{port: {{number: 80}}, loadBalancer: {BY_HEADER % ''}}}]}}"
    subsets = f"subsets: [{{name: all, labels: {{app: catalog}}, trafficPolicy: {own}}}]"
    await mesh.apply(
        rule(f"trafficPolicy: {{loadBalancer: {{simple: ROUND_ROBIN}}}}, {subsets}")
        + "---"
        + route("{route: [{destination: {host: catalog, subset: all}}]}")
    )
    assert is_sticky(await homes(mesh, frontend, "catalog/", AS_USER))


async def test_a_rule_that_is_not_exported_is_for_its_own_namespace(mesh, frontend, visitor):
    policy = f"trafficPolicy: {{loadBalancer: {BY_HEADER % ''}}}"
    counted = {"count": 20, "headers": {"x-user": "ada"}}
    for exported, visitors_homes in (("", 1), (", exportTo: [.]", 2), (", exportTo: [other, third]", 1)):
        await mesh.apply(rule(policy + exported))
        assert len(await mesh.share(visitor, f"{HOST}/", **counted)) == visitors_homes
        own = 2 if "other" in exported else 1
        assert len(await mesh.share(frontend, f"{HOST}/", **counted)) == own


async def test_the_caller_s_own_rule_comes_first_then_the_service_s_then_the_root_s(mesh, visitor):
    subset = "subsets: [{name: one, labels: {version: %s}}]"
    wanted = route(f"{{route: [{{destination: {{host: {HOST}, subset: one}}}}]}}", hosts=f"[{HOST}]")
    await mesh.apply(rule(subset % "v1", namespace="istio-system", host="*.cluster.local") + "---" + wanted)
    assert await mesh.share(visitor, f"{HOST}/", count=6) == {"catalog-v1": 6}
    await mesh.apply(rule(subset % "v2"))
    assert await mesh.share(visitor, f"{HOST}/", count=6) == {"catalog-v2": 6}
    await mesh.apply(rule(subset % "v1", namespace="other"))
    assert await mesh.share(visitor, f"{HOST}/", count=6) == {"catalog-v1": 6}


async def test_rules_for_one_host_are_one_rule(mesh, frontend):
    await mesh.apply(
        rule("trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}", name="a")
        + "---"
        + rule("subsets: [{name: v1, labels: {version: v1}}]", name="b")
        + "---"
        + route(
            "{match: [{uri: {prefix: /one}}], route: [{destination: {host: catalog, subset: v1}}]}, {route: [{destination: {host: catalog}}]}"
        )
    )
    assert await mesh.share(frontend, "catalog/one", count=6) == {"catalog-v1": 6}
    assert await mesh.share(frontend, "catalog/", count=20) == {"catalog-v1": 10, "catalog-v2": 10}


async def test_a_rule_may_be_for_some_callers_only(mesh, frontend):
    other = mesh.workloads["catalog-v1"]
    await mesh.apply(
        rule(
            f"trafficPolicy: {{loadBalancer: {BY_HEADER % ''}}}, workloadSelector: {{matchLabels: {{app: frontend}}}}",
            name="some",
        )
        + "---"
        + rule("trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}", name="others")
    )
    assert is_sticky(await homes(mesh, frontend, "catalog/", AS_USER))
    assert len(await mesh.share(other, "catalog/", count=20, headers={"x-user": "ada"})) == 2
    assert frontend.grant.id != other.grant.id


async def test_passthrough_without_interception_chooses_as_if_nothing_were_said(mesh, frontend):
    await mesh.apply(rule("trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}"))
    assert set(await mesh.share(frontend, "catalog/", count=30)) == {"catalog-v1", "catalog-v2"}


async def test_active_requests_are_limited(mesh, frontend):
    await mesh.apply(rule("trafficPolicy: {connectionPool: {http: {http2MaxRequests: 2}}}") + "---" + ONCE)
    answers = await at_once(lambda: mesh.get(frontend, f"{HOST}/"), 8, catalogs(mesh), are_answered(4))
    statuses = Counter(answer.status for answer in answers)
    assert statuses.keys() == {200, 503}
    assert 2 <= statuses[200] <= 4
    overflown = next(answer for answer in answers if answer.status == 503)
    assert overflown.headers["x-envoy-overloaded"] == "true"


RETRIED = route(
    f"{{route: [{{destination: {{host: {HOST}}}}}], retries: {{attempts: 3, retryOn: 5xx, backoff: 100ms}}}}",
    hosts=f"[{HOST}]",
)


async def fail_everything(mesh, frontend, count):
    """Send requests at once that fail whenever they are tried; return how often anybody has tried so far."""
    for one in catalogs(mesh):
        one.fail[500] = 10_000
    before = tried(mesh)
    answers = await at_once(
        lambda: mesh.get(frontend, f"{HOST}/"), count, catalogs(mesh), lambda _: tried(mesh) == before + count
    )
    assert {answer.status for answer in answers} <= {500, 503}
    return tried(mesh)


def catalogs(mesh):
    return [mesh.workloads[name] for name in ("catalog-v1", "catalog-v2")]


def tried(mesh):
    return sum(len(one.requests) for one in catalogs(mesh))


async def test_a_retry_budget_bounds_the_retries_at_once(mesh, frontend):
    budget = "retryBudget: {percent: 0, minRetryConcurrency: 1}"
    await mesh.apply(rule(f"trafficPolicy: {{{budget}}}") + "---" + RETRIED)
    assert 40 <= await fail_everything(mesh, frontend, 40) <= 60


async def test_a_retry_budget_may_count_the_requests_of_a_while(mesh, frontend):
    budget = "retryBudget: {percent: 20, minRetryConcurrency: 1%s}"
    await mesh.apply(rule(f"trafficPolicy: {{{budget % ', budgetInterval: 60s'}}}") + "---" + RETRIED)
    assert sum((await mesh.share(frontend, f"{HOST}/", count=120)).values()) == 120
    before = tried(mesh)
    assert await fail_everything(mesh, frontend, 20) - before == 80
    await mesh.apply(rule(f"trafficPolicy: {{{budget % ''}}}"))
    for workload in mesh.workloads.values():
        workload.requests.clear()
    assert await fail_everything(mesh, frontend, 20) < 60


async def test_retries_at_once_are_limited_by_number(mesh, frontend):
    await mesh.apply(rule("trafficPolicy: {connectionPool: {http: {maxRetries: 1}}}") + "---" + RETRIED)
    assert 40 <= await fail_everything(mesh, frontend, 40) <= 60


async def test_retries_work_under_load_where_nothing_is_said(mesh, frontend):
    await mesh.apply(RETRIED)
    mesh.workloads["catalog-v1"].fail[500] = 30
    answers = await asyncio.gather(*[mesh.get(frontend, f"{HOST}/") for _ in range(60)])
    assert Counter(answer.status for answer in answers) == {200: 60}


async def test_gateway_errors_have_a_count_of_their_own(mesh, frontend):
    detection = "{consecutiveGatewayErrors: 2, consecutive5xxErrors: 0, consecutiveErrors: 1, interval: 100ms, maxEjectionPercent: 50}"
    await mesh.apply(rule(f"trafficPolicy: {{outlierDetection: {detection}}}") + "---" + ONCE)
    v2 = mesh.workloads["catalog-v2"]
    v2.fail[500] = 10
    await mesh.share(frontend, f"{HOST}/", count=40)
    assert set(await mesh.share(frontend, f"{HOST}/", count=20)) == {"catalog-v1", "catalog-v2"}
    v2.fail[502] = 10_000
    await mesh.share(frontend, f"{HOST}/", count=20)
    assert await mesh.share(frontend, f"{HOST}/", count=20) == {"catalog-v1": 20}


async def test_which_answers_are_errors_can_be_said(mesh, frontend):
    detection = (
        "{consecutive5xxErrors: 2, outlierDetectionHttpErrorCodes: [429], interval: 100ms, maxEjectionPercent: 50}"
    )
    await mesh.apply(rule(f"trafficPolicy: {{outlierDetection: {detection}}}") + "---" + ONCE)
    mesh.workloads["catalog-v2"].fail[429] = 10_000
    await mesh.share(frontend, f"{HOST}/", count=30)
    assert await mesh.share(frontend, f"{HOST}/", count=20) == {"catalog-v1": 20}


async def test_without_enough_healthy_instances_all_of_them_are_called(mesh, frontend):
    detection = "{consecutive5xxErrors: 2, interval: 100ms, maxEjectionPercent: 100, minHealthPercent: 60}"
    await mesh.apply(rule(f"trafficPolicy: {{outlierDetection: {detection}}}") + "---" + ONCE)
    mesh.workloads["catalog-v2"].fail[500] = 10_000
    await mesh.share(frontend, f"{HOST}/", count=30)
    assert 500 in await mesh.share(frontend, f"{HOST}/", count=30)


async def test_a_connection_serves_only_so_many_requests(mesh, frontend):
    pool = "{http: {maxRequestsPerConnection: 1, idleTimeout: 30s}, tcp: {idleTimeout: 0s, maxConnectionDuration: 60s, tcpKeepalive: {probes: 3, time: 60s, interval: 5s}}}"
    await mesh.apply(rule(f"trafficPolicy: {{connectionPool: {pool}}}"))
    assert sum((await mesh.share(frontend, "catalog/", count=10)).values()) == 10


async def test_without_automatic_mtls_a_call_is_plain_unless_a_rule_says_otherwise(mesh, frontend):
    await mesh.apply(mesh_config("enableAutoMtls: false"))
    try:
        before = await secured(mesh, frontend)
        await mesh.share(frontend, "catalog/", count=10)
        assert await secured(mesh, frontend) - before == {"none": 10}
        await mesh.apply(rule("trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}"))
        await mesh.share(frontend, "catalog/", count=10)
        assert await secured(mesh, frontend) - before == {"none": 10, "mutual_tls": 10}
    finally:
        await mesh.forget("ConfigMap")


class Preface:
    """An HTTP server that notes the version of each connection and answers only to HTTP/1.1."""

    def __init__(self):
        self.versions = Counter()

    async def start(self, mesh):
        return await listening(mesh, self._answer)

    async def _answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"PRI "):
            self.versions["2"] += 1
        else:
            self.versions["1.1"] += 1
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            await writer.drain()


async def call_grpc(caller, authority, method="/echo.Echo/Call", timeout_s=PATIENCE_S):
    options = (("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0))
    async with grpc.aio.insecure_channel(f"{caller.address}:15001", options=options) as channel:
        return await channel.unary_unary(method)(b"hello", timeout=timeout_s)


@pytest.mark.parametrize(
    ("http", "from_http1", "from_http2"),
    [
        ("{useClientProtocol: true}", "1.1", "2"),
        ("{h2UpgradePolicy: UPGRADE}", "2", "2"),
        ("{h2UpgradePolicy: DO_NOT_UPGRADE}", "1.1", "1.1"),
    ],
)
async def test_the_version_of_http_is_the_client_s_or_the_rule_s(mesh, frontend, http, from_http1, from_http2):
    server = Preface()
    port = await server.start(mesh)
    await mesh.apply(
        f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: old}}
spec:
  hosts: [old.example.com]
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {port}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
---"""
        + rule(f"trafficPolicy: {{connectionPool: {{http: {http}}}}}", name="old", host="old.example.com")
    )
    await mesh.get(frontend, "old.example.com/")
    assert set(server.versions) == {from_http1}
    server.versions.clear()
    with pytest.raises(grpc.aio.AioRpcError):
        await call_grpc(frontend, "old.example.com")
    assert set(server.versions) == {from_http2}


async def grpc_echo(mesh):
    """A gRPC application that sends back what it gets."""
    server = grpc.aio.server()

    async def echo(request, _context):
        return request

    call = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", {"Call": call}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    mesh.stack.push_async_callback(server.stop, None)
    return port


@pytest.mark.parametrize(
    "pool",
    [
        "{http: {idleTimeout: 30s}}",
        "{tcp: {idleTimeout: 30s}}",
        "{http: {useClientProtocol: true}}",
        "{http: {maxConcurrentStreams: 5, http2KeepAlive: {interval: 10s, timeout: 5s}}}",
    ],
)
async def test_http2_stays_http2_whatever_else_a_rule_says(mesh, frontend, pool):
    if "ledger" not in mesh.workloads:
        await mesh.workload("ledger", protocol="grpc", app=grpc_echo)
    host = "ledger.shop.svc.cluster.local"
    await mesh.apply(rule(f"trafficPolicy: {{connectionPool: {pool}}}", name="ledger", host=host))
    assert await call_grpc(frontend, host) == b"hello"
