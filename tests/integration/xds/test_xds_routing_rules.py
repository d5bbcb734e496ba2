"""What the rest of VirtualService's HTTP rules does to real requests, by what callers and applications see."""

import asyncio
import base64
import textwrap

import pytest
import pytest_asyncio
from xds_mesh import Mesh, mesh_config, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

KIND = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
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
V1 = "route: [{destination: {host: catalog, subset: v1}}]"
V2 = "route: [{destination: {host: catalog, subset: v2}}]"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog", "v1")
        await mesh.workload("catalog", "v2")
        await mesh.workload("reports", namespace="office")
        await mesh.apply(SUBSETS)
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def plain(mesh):
    """Begin without rules, and forget what was seen."""
    await mesh.forget("VirtualService")
    for workload in mesh.workloads.values():
        workload.requests.clear()


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


def rules(http, hosts="[catalog]", name="catalog", namespace="shop", extra=""):
    head = f"{KIND}metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  hosts: {hosts}\n{extra}"
    return f"{head}  http:\n{textwrap.indent(textwrap.dedent(http), '  ')}\n"


async def route(mesh, http, **options):
    return await mesh.apply(rules(http, **options))


@pytest.mark.parametrize(
    ("match", "headers", "hit"),
    [
        ("withoutHeaders: {end-user: {exact: jason}}", {}, True),
        ("withoutHeaders: {end-user: {exact: jason}}", {"end-user": "ann"}, True),
        ("withoutHeaders: {end-user: {exact: jason}}", {"end-user": "jason"}, False),
        ("withoutHeaders: {end-user: {regex: '*'}}", {}, True),
        ("withoutHeaders: {end-user: {regex: '*'}}", {"end-user": ""}, False),
        ("withoutHeaders: {end-user: {}}", {"end-user": "ann"}, False),
        ("withoutHeaders: {end-user: {regex: '.*'}}", {}, False),
        ("{headers: {end-user: {prefix: j}}, withoutHeaders: {end-user: {exact: jason}}}", {"end-user": "jim"}, True),
        ('headers: {"a!#$%&\'*+-.^_`|~z": {exact: why}}', {"a!#$%&'*+-.^_`|~z": "why"}, True),
        ('headers: {"a!#$%&\'*+-.^_`|~z": {exact: why}}', {}, False),
        ("headers: {end-user: {exact: ''}}", {"end-user": ""}, True),
        ("headers: {end-user: {exact: ''}}", {"end-user": "ann"}, False),
        ("headers: {':method': {exact: GET}}", {}, True),
        ("method: {}", {}, True),
        ("uri: {prefix: ''}", {}, True),
        ("uri: {}", {}, True),
    ],
)
async def test_a_match_decides_by_what_is_and_by_what_is_not_there(mesh, frontend, match, headers, hit):
    await route(mesh, f"- {{match: [{match if match.startswith('{') else f'{{{match}}}'}], {V2}}}\n- {V1}")
    assert (await mesh.get(frontend, "catalog/", headers=headers)).app == ("catalog-v2" if hit else "catalog-v1")


async def test_weights_are_relative_to_their_sum(mesh, frontend):
    await route(
        mesh,
        """
        - route:
          - {destination: {host: catalog, subset: v1}, weight: 1}
          - {destination: {host: catalog, subset: v2}, weight: 3}
          - {destination: {host: frontend}, weight: 0}
        """,
    )
    answers = await mesh.share(frontend, "catalog/", count=400)
    assert set(answers) == {"catalog-v1", "catalog-v2"}
    assert 57 <= answers["catalog-v1"] <= 143  # 100 +- 4.9 sigma: one in a million


async def test_a_rule_for_every_request_ends_the_list_and_a_regex_may_be_one(mesh, frontend):
    await route(mesh, f"- {{match: [{{uri: {{regex: '.*'}}}}], {V2}}}\n- {{match: [{{uri: {{exact: /}}}}], {V1}}}")
    assert (await mesh.get(frontend, "catalog/")).app == "catalog-v2"


@pytest.mark.parametrize(
    ("redirect", "location"),
    [
        ("{derivePort: FROM_REQUEST_PORT, scheme: https}", "https://catalog:80/foo/x?a=b"),
        ("{derivePort: FROM_REQUEST_PORT}", "http://catalog/foo/x?a=b"),
        ("{derivePort: FROM_PROTOCOL_DEFAULT, authority: other}", "http://other/foo/x?a=b"),
        ("{port: 8443, scheme: https}", "https://catalog:8443/foo/x?a=b"),
        ("{port: 443, scheme: https}", "https://catalog/foo/x?a=b"),
        ("{prefixRewrite: /new/}", "http://catalog/new/x?a=b"),
        ("{uri: /new}", "http://catalog/new?a=b"),
    ],
)
async def test_a_redirect_changes_what_it_says_and_writes_out_no_port_of_the_scheme_s_own(
    mesh, frontend, redirect, location
):
    await route(mesh, f"- {{match: [{{uri: {{prefix: /foo/}}}}], redirect: {redirect}}}")
    answer = await mesh.get(frontend, "catalog/foo/x?a=b")
    assert (answer.status, answer.headers["location"]) == (301, location)


async def test_a_path_is_rewritten_by_regular_expression(mesh, frontend):
    rewrite = r"uriRegexRewrite: {match: '/users/([^/]+)/items/(.*)', rewrite: '/items/\2?of=\1'}"
    await route(mesh, f"- {{{V1}, rewrite: {{{rewrite}}}}}")
    assert (await mesh.get(frontend, "catalog/users/ann/items/7")).seen["path"] == "/items/7?of=ann"


@pytest.mark.parametrize("size", [5, 100_000])
async def test_an_answer_may_be_text_or_bytes_of_any_length(mesh, frontend, size):
    text = "x" * size
    await route(
        mesh,
        f"""
        - {{match: [{{uri: {{exact: /text}}}}], directResponse: {{status: 418, body: {{string: {text}}}}}}}
        - directResponse: {{status: 200, body: {{bytes: {base64.b64encode(text.encode()).decode()}}}}}
        """,
    )
    answer = await mesh.get(frontend, "catalog/text")
    assert (answer.status, answer.text) == (418, text)
    assert (await mesh.get(frontend, "catalog/bytes")).text == text


@pytest.mark.parametrize(
    ("rule", "host"),
    [
        ("{route: [{destination: {host: catalog}, headers: {request: {set: {Host: dest}}}}]}", "dest"),
        (
            (
                "{route: [{destination: {host: catalog}, headers: {request: {set: {Host: dest}}}}],"
                " headers: {request: {set: {':authority': rule}}}}"
            ),
            "rule",
        ),
        (
            (
                "{route: [{destination: {host: catalog, subset: v1}, weight: 50, headers: {request: {set: {Host: dest}}}},"
                " {destination: {host: catalog, subset: v2}, weight: 50}], headers: {request: {set: {':authority': rule}}}}"
            ),
            "rule",
        ),
        (
            (
                "{route: [{destination: {host: catalog, subset: v1}, weight: 1, headers: {request: {set: {Host: dest}}}},"
                " {destination: {host: catalog, subset: v2}, weight: 0}]}"
            ),
            "dest",
        ),
    ],
)
async def test_the_host_is_set_by_the_rule_or_else_by_the_destination(mesh, frontend, rule, host):
    await route(mesh, f"- {rule}")
    seen = [(await mesh.get(frontend, "catalog/")).seen["headers"]["host"] for _ in range(8)]
    assert set(seen) == {host}


async def test_headers_change_on_the_way_there_and_back_by_rule_and_by_destination(mesh, frontend):
    await route(
        mesh,
        """
        - headers:
            request: {set: {x-a: rule, x-b: rule}, remove: [x-c]}
            response: {add: {x-e: rule}}
          route:
          - destination: {host: catalog, subset: v1}
            headers: {request: {set: {x-a: dest}}, response: {remove: [x-app]}}
        """,
    )
    answer = await mesh.get(frontend, "catalog/", headers={"x-c": "1"})
    headers = answer.seen["headers"]
    assert (headers["x-a"], headers["x-b"], "x-c" in headers) == ("dest", "rule", False)
    assert (answer.headers["x-e"], "x-app" in answer.headers) == ("rule", False)


async def test_several_mirrors_get_their_own_shares(mesh, frontend):
    await route(
        mesh,
        f"""
        - {V1}
          mirrors:
          - {{destination: {{host: catalog, subset: v2}}, percentage: {{value: 50}}}}
          - {{destination: {{host: reports.office.svc.cluster.local}}}}
        """,
    )
    await mesh.share(frontend, "catalog/", count=60)
    reports, half = mesh.workloads["reports.office"].requests, mesh.workloads["catalog-v2"].requests

    async def all_copied():
        return len(reports) == 60

    await until(all_copied)
    assert 12 <= len(half) <= 48


async def test_the_old_share_of_a_mirror_counts_where_there_is_no_new_one(mesh, frontend):
    await route(mesh, f"- {{{V1}, mirror: {{host: catalog, subset: v2}}, mirrorPercent: 0}}")
    await mesh.share(frontend, "catalog/", count=20)
    await asyncio.sleep(0.1)  # long enough for a copy, of which there is to be none
    assert not mesh.workloads["catalog-v2"].requests


async def test_faults_may_be_grpc_s_and_delays_may_be_whole_percents(mesh, frontend):
    await route(
        mesh,
        f"""
        - {V1}
          fault:
            abort: {{grpcStatus: UNAVAILABLE, percentage: {{value: 100}}}}
            delay: {{fixedDelay: 300ms, percent: 100}}
        """,
    )
    started = asyncio.get_running_loop().time()
    answer = await mesh.get(frontend, "catalog/", headers={"content-type": "application/grpc"})
    assert answer.headers["grpc-status"] == "14"
    assert asyncio.get_running_loop().time() - started >= 0.25


CORS = """
- route: [{destination: {host: catalog, subset: v1}}]
  corsPolicy:
    allowOrigins: [{exact: "https://shop.example.com"}, {regex: "https://.*[.]test"}]
    allowMethods: [GET, PUT]
    allowHeaders: [x-user, content-type]
    exposeHeaders: [x-app]
    maxAge: 24h
    allowCredentials: true
    unmatchedPreflights: %s
"""


def preflight(origin):
    return {"method": "OPTIONS", "headers": {"Origin": origin, "Access-Control-Request-Method": "PUT"}}


async def test_web_pages_of_allowed_origins_may_ask_and_call(mesh, frontend):
    await route(mesh, CORS % "IGNORE")
    asked = await mesh.get(frontend, "catalog/", **preflight("https://a.test"))
    assert asked.status == 200
    assert {name: value for name, value in asked.headers.items() if name.startswith("access-control")} == {
        "access-control-allow-origin": "https://a.test",
        "access-control-allow-methods": "GET,PUT",
        "access-control-allow-headers": "x-user,content-type",
        "access-control-expose-headers": "x-app",
        "access-control-max-age": "86400",
        "access-control-allow-credentials": "true",
    }
    called = await mesh.get(frontend, "catalog/", headers={"Origin": "https://shop.example.com"})
    assert called.headers["access-control-allow-origin"] == "https://shop.example.com"
    assert called.headers["access-control-expose-headers"] == "x-app"
    assert [seen["method"] for seen in mesh.workloads["catalog-v1"].requests] == ["GET"]


@pytest.mark.parametrize(("unmatched", "reaches"), [("IGNORE", 0), ("FORWARD", 1)])
async def test_other_origins_get_no_permission_and_their_preflights_go_on_if_wanted(mesh, frontend, unmatched, reaches):
    await route(mesh, CORS % unmatched)
    asked = await mesh.get(frontend, "catalog/", **preflight("https://evil.example.com"))
    assert "access-control-allow-origin" not in asked.headers
    assert len(mesh.workloads["catalog-v1"].requests) == reaches


async def test_retries_go_where_they_are_told(mesh, frontend):
    catalog = mesh.workloads["catalog-v1"]
    catalog.fail[502] = 1
    await route(
        mesh,
        f"""
        - {V1}
          retries:
            attempts: 3
            perTryTimeout: 2s
            retryOn: gateway-error,connect-failure,refused-stream,reset-before-request
            retryRemoteLocalities: true
            retryIgnorePreviousHosts: false
        """,
    )
    assert (await mesh.get(frontend, "catalog/")).status == 200
    assert len(catalog.requests) == 2


async def test_requests_are_counted_under_the_name_that_a_match_gives(mesh, frontend):
    await route(mesh, f"- {{match: [{{statPrefix: mine}}], {V1}}}")
    await mesh.get(frontend, "catalog/")
    page = (await mesh.admin(frontend, "/stats?filter=route[.]mine[.]upstream_rq_total")).text
    assert page.strip().endswith(": 1")


async def test_rules_for_other_callers_leave_a_service_as_it_is(mesh, frontend):
    await route(mesh, "- {match: [{sourceLabels: {app: nobody}}], directResponse: {status: 418}}")
    assert (await mesh.get(frontend, "catalog/")).status == 200
    await route(mesh, "- {match: [{sourceLabels: {app: frontend}}], directResponse: {status: 418}}")
    assert (await mesh.get(frontend, "catalog/")).status == 418
    await route(mesh, "- {match: [{sourceNamespace: office}], directResponse: {status: 418}}")
    assert (await mesh.get(frontend, "catalog/")).status == 200
    reports = mesh.workloads["reports.office"]
    assert (await mesh.get(reports, "catalog.shop/")).status == 418


async def test_rules_may_be_left_to_a_delegate_within_their_own_bounds(mesh, frontend):
    delegate = rules(
        f"""
        - {{match: [{{uri: {{prefix: /api/v2}}}}], {V2}}}
        - {{match: [{{uri: {{prefix: /other}}}}], directResponse: {{status: 418}}}}
        - {{match: [{{headers: {{x-user: {{exact: ann}}}}}}], rewrite: {{uri: /ann}}, {V1}}}
        """,
        hosts="[]",
        name="delegate",
    ).replace("  hosts: []\n", "")
    root = """
        - match: [{uri: {prefix: /api}}]
          delegate: {name: delegate}
          headers: {request: {set: {x-root: "1"}}}
        - directResponse: {status: 404}
        """
    await mesh.apply(f"{delegate}---\n{rules(root)}")
    answer = await mesh.get(frontend, "catalog/api/v2")
    assert (answer.app, answer.seen["headers"]["x-root"]) == ("catalog-v2", "1")
    assert (await mesh.get(frontend, "catalog/other")).status == 404
    assert (await mesh.get(frontend, "catalog/api/x")).status == 404
    assert (await mesh.get(frontend, "catalog/api/x", headers={"x-user": "ann"})).seen["path"] == "/ann/x"
    await mesh.apply(delegate.replace("spec:\n", "spec:\n  exportTo: [office]\n"))
    assert (await mesh.get(frontend, "catalog/api/v2")).status == 404


async def test_rules_are_followed_where_they_are_exported_to(mesh, frontend):
    reports = mesh.workloads["reports.office"]
    for audience, expected in (("[.]", (418, 200)), ("[office]", (200, 418)), ("['*']", (418, 418))):
        await route(mesh, "- directResponse: {status: 418}", extra=f"  exportTo: {audience}\n")
        answers = [(await mesh.get(caller, "catalog.shop/")).status for caller in (frontend, reports)]
        assert tuple(answers) == expected


HEADERS = """
defaultConfig:
  proxyHeaders:
    forwardedClientCert: SANITIZE_SET
    setCurrentClientCertDetails: {subject: false, cert: true}
    requestId: {disabled: true}
    server: {value: ours}
    attemptCount: {disabled: true}
    envoyDebugHeaders: {disabled: true}
    metadataExchangeHeaders: {mode: IN_MESH}
    xForwardedHost: {enabled: true}
    xForwardedPort: {enabled: true}
    preserveHttp1HeaderCase: true
"""


async def test_the_mesh_says_which_headers_proxies_add(mesh, frontend):
    await route(mesh, "- {rewrite: {authority: other}, route: [{destination: {host: catalog}}]}")
    answer = await mesh.get(frontend, "catalog/", headers={"x-forwarded-client-cert": "By=me"})
    added = {"x-request-id", "x-envoy-attempt-count"}
    assert added <= set(answer.seen["headers"])
    assert {"server", "content-type", "x-envoy-upstream-service-time"} <= set(answer.headers)
    await mesh.apply(mesh_config(HEADERS))
    await mesh.drained()
    answer = await mesh.get(frontend, "catalog/", headers={"x-forwarded-client-cert": "By=me"})
    seen = answer.seen["headers"]
    assert not added & set(seen)
    assert (seen["host"], seen["x-forwarded-host"], seen["x-forwarded-port"]) == ("other", "catalog", "15001")
    told = {field.partition("=")[0] for field in seen["x-forwarded-client-cert"].split(";")}
    assert told == {"By", "Hash", "Cert", "URI"}
    assert answer.headers["server"] == "ours"
    assert "x-envoy-upstream-service-time" not in answer.headers
    async with mesh.http.get(f"http://{frontend.address}:15001/", headers={"Host": "catalog"}) as written:
        assert {"Content-Type", "X-App"} & set(written.headers) == {"Content-Type"}  # as the application writes them
    await mesh.forget("ConfigMap")


async def test_the_narrowest_host_counts_and_hosts_need_no_service(mesh, frontend):
    def teapot(status, host, name):
        return rules(f"- directResponse: {{status: {status}}}", hosts=f"['{host}']", name=name)

    await mesh.apply(
        "---\n".join(
            [
                teapot(410, "*.example.com", "a"),
                teapot(411, "*.b.example.com", "b"),
                teapot(412, "c.b.example.com", "c"),
                teapot(413, "*.shop.svc.cluster.local", "d"),
                teapot(414, "*-b.example.com", "e"),
            ]
        )
    )
    hosts = ("a.example.com", "a.b.example.com", "c.b.example.com", "c.b.example.com:80", "catalog", "frontend")
    answers = [(await mesh.get(frontend, f"{host}/")).status for host in (*hosts, "a-b.example.com")]
    assert answers == [410, 411, 412, 412, 413, 413, 414]
