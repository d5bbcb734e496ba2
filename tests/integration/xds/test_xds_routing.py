"""What a VirtualService and a DestinationRule make of requests, by what callers and applications see."""

import asyncio
import textwrap
import time
from collections import Counter

import pytest
import pytest_asyncio
from xds_mesh import Mesh, are_answered, at_once, mesh_config, silent, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog}
spec:
  host: catalog
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        for service, version in (("frontend", ""), ("catalog", "v1"), ("catalog", "v2"), ("orders", "")):
            await mesh.workload(service, version)
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def plain(mesh):
    """Forget what the test before did."""
    for workload in mesh.workloads.values():
        workload.requests.clear()
        workload.fail = Counter()
    await mesh.apply(SUBSETS)


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


async def route(mesh, http, hosts="[catalog]"):
    """Apply a VirtualService for the catalog with these rules."""
    head = f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: catalog}}\nspec:\n  hosts: {hosts}\n"
    return await mesh.apply(f"{head}  http:\n{textwrap.indent(textwrap.dedent(http), '  ')}")


V1 = "route: [{destination: {host: catalog, subset: v1}}]"
V2 = "route: [{destination: {host: catalog, subset: v2}}]"


async def test_requests_are_split_by_weight(mesh, frontend):
    await route(
        mesh,
        """
        - route:
          - {destination: {host: catalog, subset: v1}, weight: 80}
          - {destination: {host: catalog, subset: v2}, weight: 20}
        """,
    )
    answers = await mesh.share(frontend, "catalog/", count=500)
    assert set(answers) == {"catalog-v1", "catalog-v2"}
    assert 56 <= answers["catalog-v2"] <= 144  # 100 +- 4.9 sigma: one in a million


async def test_a_split_can_be_shifted_again_and_is_in_force_once_settled(mesh, frontend):
    for weight, expected in ((0, "catalog-v1"), (100, "catalog-v2"), (0, "catalog-v1")):
        settled = await route(
            mesh,
            f"""
            - route:
              - {{destination: {{host: catalog, subset: v1}}, weight: {100 - weight}}}
              - {{destination: {{host: catalog, subset: v2}}, weight: {weight}}}
            """,
        )
        assert len(settled.acknowledged) == 4
        assert await mesh.share(frontend, "catalog/", count=20) == {expected: 20}


@pytest.mark.parametrize(
    ("match", "request_", "hit"),
    [
        ("uri: {prefix: /api}", ("api/x", {}, "GET"), True),
        ("uri: {prefix: /api}", ("ap", {}, "GET"), False),
        ("uri: {exact: /api}", ("api", {}, "GET"), True),
        ("uri: {exact: /api}", ("api/x", {}, "GET"), False),
        ("uri: {exact: /api}", ("api?a=b", {}, "GET"), True),
        ("{uri: {prefix: /API}, ignoreUriCase: true}", ("api/x", {}, "GET"), True),
        ("uri: {regex: '/v[0-9]+/.*'}", ("v12/x", {}, "GET"), True),
        ("uri: {regex: '/v[0-9]+/.*'}", ("x/v12/x", {}, "GET"), False),
        ("headers: {end-user: {exact: ada}}", ("", {"End-User": "ada"}, "GET"), True),
        ("headers: {end-user: {exact: ada}}", ("", {"End-User": "bob"}, "GET"), False),
        ("headers: {end-user: {prefix: a}}", ("", {"End-User": "ada"}, "GET"), True),
        ("headers: {cookie: {regex: '.*user=ada.*'}}", ("", {"Cookie": "a=b; user=ada"}, "GET"), True),
        ("headers: {x-canary: {}}", ("", {"X-Canary": "whatever"}, "GET"), True),
        ("headers: {x-canary: {}}", ("", {}, "GET"), False),
        ("method: {exact: POST}", ("", {}, "POST"), True),
        ("method: {exact: POST}", ("", {}, "GET"), False),
        ("queryParams: {v: {exact: '2'}}", ("?v=2", {}, "GET"), True),
        ("queryParams: {v: {exact: '2'}}", ("?v=3", {}, "GET"), False),
        ("queryParams: {v: {}}", ("?v=3", {}, "GET"), True),
        ("authority: {exact: catalog}", ("", {}, "GET"), True),
        ("authority: {prefix: other}", ("", {}, "GET"), False),
        ("port: 80", ("", {}, "GET"), True),
        ("port: 81", ("", {}, "GET"), False),
        ("sourceLabels: {app: frontend}", ("", {}, "GET"), True),
        ("sourceLabels: {app: orders}", ("", {}, "GET"), False),
        ("sourceNamespace: shop", ("", {}, "GET"), True),
        ("sourceNamespace: other", ("", {}, "GET"), False),
        ("gateways: [mesh]", ("", {}, "GET"), True),
        ("gateways: [ingress]", ("", {}, "GET"), False),
        ("{uri: {prefix: /api}, method: {exact: POST}}", ("api", {}, "GET"), False),
    ],
)
async def test_a_match_decides_who_answers(mesh, frontend, match, request_, hit):
    match = match if match.startswith("{") else f"{{{match}}}"
    gateways = "[mesh, ingress]" if "ingress" in match else "[mesh]"
    await mesh.apply(
        f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: ingress}}
spec:
  selector: {{app: nobody}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: catalog}}
spec:
  hosts: [catalog]
  gateways: {gateways}
  http:
  - match: [{match}]
    {V2}
  - {V1}
"""
    )
    path, headers, method = request_
    answer = await mesh.get(frontend, f"catalog/{path}", method=method, headers=headers)
    assert answer.app == ("catalog-v2" if hit else "catalog-v1")


async def test_the_first_rule_that_matches_is_used_and_matches_of_a_rule_are_alternatives(mesh, frontend):
    await route(
        mesh,
        f"""
        - match: [{{uri: {{prefix: /a}}}}, {{uri: {{prefix: /b}}}}]
          {V2}
        - match: [{{uri: {{prefix: /a/special}}}}]
          directResponse: {{status: 418}}
        - {V1}
        """,
    )
    paths = ("a", "b", "a/special", "c")
    assert [(await mesh.get(frontend, f"catalog/{path}")).app[-2:] for path in paths] == ["v2", "v2", "v2", "v1"]


async def test_a_request_that_no_rule_matches_is_not_found_and_counted(mesh, frontend):
    await route(mesh, f"- match: [{{uri: {{prefix: /api}}}}]\n  {V1}")
    unmatched = {"response_code": "404", "response_flags": "NR", "destination_service_name": "catalog"}
    before = await mesh.metrics(frontend, "istio_requests_total", **unmatched)
    assert (await mesh.get(frontend, "catalog/other")).status == 404
    assert await mesh.metrics(frontend, "istio_requests_total", **unmatched) == before + 1


async def test_a_slow_answer_is_cut_off_by_the_timeout(mesh, frontend):
    await route(mesh, f"- {{{V1}, timeout: 200ms, retries: {{attempts: 0}}}}")
    with silent(mesh.workloads["catalog-v1"]):
        assert (await mesh.get(frontend, "catalog/")).status == 504


async def test_a_failed_try_is_repeated_as_often_as_the_rule_says(mesh, frontend):
    await route(mesh, f"- {{{V1}, retries: {{attempts: 2, retryOn: '5xx', backoff: 5ms}}}}")
    catalog = mesh.workloads["catalog-v1"]
    catalog.fail[500] = 2
    assert (await mesh.get(frontend, "catalog/")).status == 200
    assert [seen["headers"]["x-envoy-attempt-count"] for seen in catalog.requests] == ["1", "2", "3"]
    catalog.fail[500] = 3
    assert (await mesh.get(frontend, "catalog/")).status == 500


@pytest.mark.parametrize("status", [500, 503])
async def test_without_a_rule_an_answer_is_an_answer_whatever_its_status(mesh, frontend, status):
    await route(mesh, f"- {V1}")
    mesh.workloads["catalog-v1"].fail[status] = 1
    assert (await mesh.get(frontend, "catalog/")).status == status


async def test_the_mesh_may_have_a_retry_policy_and_zero_attempts_means_no_retry(mesh, frontend):
    await mesh.apply(mesh_config('defaultHttpRetryPolicy: {attempts: 2, retryOn: "503"}'))
    await route(mesh, f"- {V1}")
    mesh.workloads["catalog-v1"].fail[503] = 1
    assert (await mesh.get(frontend, "catalog/")).status == 200
    await route(mesh, f"- {{{V1}, retries: {{attempts: 0}}}}")
    mesh.workloads["catalog-v1"].fail[503] = 1
    assert (await mesh.get(frontend, "catalog/")).status == 503
    await mesh.forget("ConfigMap")


async def test_a_status_code_may_be_the_reason_to_retry(mesh, frontend):
    await route(mesh, f"- {{{V1}, retries: {{attempts: 1, retryOn: '418'}}}}")
    mesh.workloads["catalog-v1"].fail[418] = 1
    assert (await mesh.get(frontend, "catalog/")).status == 200


async def test_a_fault_aborts_a_share_of_the_requests_and_is_counted_with_its_flag(mesh, frontend):
    await route(mesh, f"- {{{V1}, fault: {{abort: {{httpStatus: 555, percentage: {{value: 50}}}}}}}}")
    answers = await mesh.share(frontend, "catalog/", count=200)
    assert 65 <= answers[555] <= 135
    counted = await mesh.metrics(
        frontend, "istio_requests_total", response_code="555", response_flags="FI", destination_service_name="catalog"
    )
    assert counted == answers[555]


async def test_a_fault_delays_requests(mesh, frontend):
    await route(mesh, f"- {{{V1}, fault: {{delay: {{fixedDelay: 300ms, percentage: {{value: 100}}}}}}}}")
    started = time.monotonic()
    assert (await mesh.get(frontend, "catalog/")).status == 200
    assert time.monotonic() - started >= 0.25  # Envoy's timers are coarser than this clock


async def test_a_fault_without_percentage_does_nothing_as_in_istio(mesh, frontend):
    await route(mesh, f"- {{{V1}, fault: {{abort: {{httpStatus: 555}}}}}}")
    assert (await mesh.get(frontend, "catalog/")).status == 200


async def test_a_mirror_gets_a_copy_for_the_same_host_and_its_answer_is_thrown_away(mesh, frontend):
    await route(mesh, f"- {{{V1}, mirror: {{host: orders}}, mirrorPercentage: {{value: 100}}}}")
    orders = mesh.workloads["orders"]
    orders.fail[500] = 1
    answer = await mesh.get(frontend, "catalog/copy")
    assert answer.app == "catalog-v1"

    async def copied():
        return orders.requests

    await until(copied)
    assert orders.requests[0]["path"] == "/copy"
    assert orders.requests[0]["headers"]["host"] == answer.seen["headers"]["host"]


async def test_path_and_authority_are_rewritten(mesh, frontend):
    await route(
        mesh,
        f"- {{match: [{{uri: {{prefix: /old}}}}], {V1}, rewrite: {{uri: /new, authority: shelf.example.com}}}}",
    )
    seen = (await mesh.get(frontend, "catalog/old/book?id=7")).seen
    assert (seen["path"], seen["headers"]["host"]) == ("/new/book?id=7", "shelf.example.com")


async def test_a_redirect_is_the_answer(mesh, frontend):
    await route(
        mesh, "- redirect: {uri: /there, authority: other.example.com, scheme: https, port: 8443, redirectCode: 307}"
    )
    answer = await mesh.get(frontend, "catalog/here")
    assert (answer.status, answer.headers["location"]) == (307, "https://other.example.com:8443/there")


async def test_a_direct_response_is_the_answer_and_is_counted(mesh, frontend):
    await route(mesh, "- directResponse: {status: 418, body: {string: short and stout}}")
    answer = await mesh.get(frontend, "catalog/")
    assert (answer.status, answer.text) == (418, "short and stout")
    counted = await mesh.metrics(
        frontend, "istio_requests_total", response_code="418", destination_service_name="catalog"
    )
    assert counted == 1


async def test_headers_are_set_added_and_removed_on_both_ways(mesh, frontend):
    await route(
        mesh,
        """
        - route:
          - destination: {host: catalog, subset: v1}
            headers:
              request: {set: {x-subset: v1}}
              response: {add: {x-from: v1}}
          headers:
            request: {set: {x-set: new}, add: {x-add: more}, remove: [x-drop]}
            response: {set: {x-answer: "yes"}, remove: [x-app]}
        """,
    )
    answer = await mesh.get(frontend, "catalog/", headers={"x-set": "old", "x-add": "some", "x-drop": "gone"})
    seen = answer.seen["headers"]
    assert (seen["x-set"], seen["x-subset"]) == ("new", "v1")
    assert "x-drop" not in seen
    assert (answer.headers["x-answer"], answer.headers["x-from"]) == ("yes", "v1")
    assert "x-app" not in answer.headers


async def test_the_authority_can_be_set_as_a_header(mesh, frontend):
    await route(mesh, f"- {{{V1}, headers: {{request: {{set: {{':authority': 'named.example.com'}}}}}}}}")
    assert (await mesh.get(frontend, "catalog/")).seen["headers"]["host"] == "named.example.com"


async def test_w3c_trace_context_passes_untouched(mesh, frontend):
    await route(mesh, f"- {V1}")
    context = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}
    seen = (await mesh.get(frontend, "catalog/", headers=context)).seen["headers"]
    assert {name: seen[name] for name in context} == context


async def test_a_virtual_service_may_make_a_host_of_its_own(mesh, frontend):
    await mesh.apply(
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shelf}
spec:
  hosts: [shelf.example.com]
  http: [{route: [{destination: {host: orders}}]}]
"""
    )
    assert (await mesh.get(frontend, "shelf.example.com/")).app == "orders"


@pytest.mark.parametrize(
    "key", ["httpHeaderName: x-user", "httpQueryParameterName: user", "httpCookie: {name: user, ttl: 10s}"]
)
async def test_consistent_hashing_keeps_a_user_with_one_instance(mesh, frontend, key):
    await mesh.apply(SUBSETS + f"  trafficPolicy: {{loadBalancer: {{consistentHash: {{{key}}}}}}}\n")
    await route(mesh, "- route: [{destination: {host: catalog}}]")
    homes = {}
    for user in [f"user{number}" for number in range(12)] * 3:
        headers = {"x-user": user, "Cookie": f"user={user}"}
        answer = await mesh.get(frontend, f"catalog/?user={user}", headers=headers)
        homes.setdefault(user, set()).add(answer.app)
    assert all(len(home) == 1 for home in homes.values())
    assert len(set.union(*homes.values())) == 2


async def test_connection_pool_limits_turn_requests_away_at_once(mesh, frontend):
    pool = "{tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRetries: 0}}"
    await mesh.apply(SUBSETS + f"  trafficPolicy: {{connectionPool: {pool}}}\n")
    await route(mesh, f"- {{{V1}, retries: {{attempts: 0}}}}")
    called = [mesh.workloads["catalog-v1"]]
    answers = await at_once(lambda: mesh.get(frontend, "catalog/"), 6, called, are_answered(4))
    statuses = Counter(answer.status for answer in answers)
    assert statuses.keys() == {200, 503}
    refused = await mesh.metrics(frontend, "istio_requests_total", response_code="503", response_flags="UO")
    assert refused == statuses[503] >= 4


async def test_an_instance_that_fails_again_and_again_is_left_alone_for_a_while(mesh, frontend):
    detection = "{consecutive5xxErrors: 3, interval: 100ms, baseEjectionTime: 30s}"
    await mesh.apply(SUBSETS + f"  trafficPolicy: {{outlierDetection: {detection}}}\n")
    await route(mesh, "- {route: [{destination: {host: catalog}}], retries: {attempts: 0}}")
    mesh.workloads["catalog-v2"].fail[500] = 1000
    await mesh.share(frontend, "catalog/", count=30)
    assert await mesh.share(frontend, "catalog/", count=30) == {"catalog-v1": 30}


async def test_an_unsupported_rule_leaves_what_was_there(mesh, frontend):
    await route(mesh, f"- {V2}")
    with pytest.raises(Exception, match="v9"):
        await route(mesh, "- route: [{destination: {host: catalog, subset: v9}}]")
    assert (await mesh.get(frontend, "catalog/")).app == "catalog-v2"


async def test_changes_under_load_lose_no_request(mesh, frontend):
    statuses = Counter()
    stop = asyncio.Event()

    async def load():
        while not stop.is_set():
            statuses[(await mesh.get(frontend, "catalog/")).status] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(load())
        for number in range(20):
            # A new subset is a new cluster: routes must not lead there before it is ready.
            await mesh.apply(SUBSETS + f"  - {{name: extra{number}, labels: {{version: v2}}}}\n", settle=False)
            await route(mesh, f"- route: [{{destination: {{host: catalog, subset: extra{number}}}}}]")
            await route(mesh, f"- {V1}")
        stop.set()
    assert set(statuses) == {200}
    assert statuses[200] > 100


async def test_a_killed_replica_costs_no_request(mesh, frontend):
    await mesh.apply(
        SUBSETS + "  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3, maxEjectionPercent: 50}}\n"
    )
    await route(
        mesh,
        "- {route: [{destination: {host: catalog}}], retries: {attempts: 3, retryOn: 'reset,connect-failure,503'}}",
    )
    assert set(await mesh.share(frontend, "catalog/", count=50)) == {"catalog-v1", "catalog-v2"}
    statuses = Counter()
    stop = asyncio.Event()

    async def load():
        while not stop.is_set():
            statuses[(await mesh.get(frontend, "catalog/")).status] += 1

    async def reached(count):
        return sum(statuses.values()) >= count

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(load())
        await until(lambda: reached(50))
        await mesh.envoys["catalog-v2"].kill()
        await until(lambda: reached(300))
        stop.set()
    assert set(statuses) == {200}
