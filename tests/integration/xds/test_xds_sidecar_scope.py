"""Sidecars: what a workload knows of the mesh, and what its proxy takes in."""

import asyncio

import pytest
import pytest_asyncio
from aiohttp import web
from own_ca import OwnCA, tls_secret
from tls_visits import visit
from xds_mesh import Mesh, are_answered, at_once, free_echo_server, mesh_config, together

from mesh_runtime.api.objects import ObjectKey

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN = 502
REGISTRY_ONLY = mesh_config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
TO_AUDIT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog}
spec:
  hosts: [catalog]
  http:
  - {match: [{uri: {prefix: /audit}}], route: [{destination: {host: audit.other.svc.cluster.local}}]}
  - {route: [{destination: {host: catalog}}]}
"""
NINETY = """
apiVersion: v1
kind: Service
metadata: {name: catalog}
spec: {selector: {app: catalog}, ports: [{name: http, port: 80, targetPort: http}, {name: http-more, port: 9090, targetPort: http}]}
"""

PLAIN = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: catalog}}
spec: {{selector: {{matchLabels: {{app: catalog}}}}, portLevelMtls: {{"{}": {{mode: DISABLE}}}}}}
"""


def sidecar(spec, name="default", namespace="shop"):
    return f"apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}"


def egress(*hosts):
    return f"egress: [{{hosts: [{', '.join(map(repr, hosts))}]}}]"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        for name in ("frontend", "catalog", "orders"):
            await mesh.workload(name)
        await mesh.workload("audit", namespace="other")
        await mesh.workload("cache", app=free_echo_server, protocol="tcp", namespace="other")
        yield mesh


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_left(mesh):
    yield
    await mesh.forget("Sidecar", "VirtualService", "ConfigMap", "PeerAuthentication")


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


async def statuses(mesh, caller, *hosts):
    return [(await mesh.get(caller, f"{host}/")).status for host in hosts]


async def clusters(mesh, workload):
    page = (await mesh.admin(workload, "/clusters")).text
    names = {line.partition("::")[0] for line in page.splitlines()}
    return {name.rpartition("|")[2].partition(".")[0] for name in names if name.startswith("outbound|")}


@pytest.mark.parametrize(
    ("hosts", "known"),
    [
        (["./*"], {"frontend", "catalog", "orders"}),
        (["other/*"], {"audit", "cache"}),
        (["./catalog.shop.svc.cluster.local", "other/audit.other.svc.cluster.local"], {"catalog", "audit"}),
        (["*/audit.other.svc.cluster.local"], {"audit"}),
        (["*/*.shop.svc.cluster.local"], {"frontend", "catalog", "orders"}),
        (["~/*"], set()),
        (["*/*", "~other/*", "~/orders.shop.svc.cluster.local"], {"frontend", "catalog"}),
        (["*/*"], {"frontend", "catalog", "orders", "audit", "cache"}),
    ],
)
async def test_a_workload_knows_the_hosts_that_its_sidecar_names_and_no_others(mesh, frontend, hosts, known):
    await mesh.apply(sidecar(egress(*hosts)))
    found = await statuses(mesh, frontend, "catalog", "orders", "audit.other")
    assert found == [200 if name in known else UNKNOWN for name in ("catalog", "orders", "audit")]
    assert await clusters(mesh, frontend) == known


async def test_a_sidecar_with_a_selector_is_for_those_workloads_and_comes_before_the_namespace_s(mesh, frontend):
    selected = sidecar("workloadSelector: {labels: {app: frontend}}, " + egress("other/*"), "frontend")
    await mesh.apply(together(sidecar(egress("./*")), selected))
    assert await statuses(mesh, frontend, "catalog", "audit.other") == [UNKNOWN, 200]
    assert await statuses(mesh, mesh.workloads["orders"], "catalog", "audit.other") == [200, UNKNOWN]


async def test_the_root_namespace_s_sidecar_is_for_namespaces_without_one_each_with_its_own_hosts(mesh, frontend):
    await mesh.apply(sidecar(egress("./*"), namespace="istio-system"))
    audit = mesh.workloads["audit.other"]
    assert await statuses(mesh, frontend, "catalog", "audit.other") == [200, UNKNOWN]
    assert await statuses(mesh, audit, "catalog.shop", "audit.other") == [UNKNOWN, 200]
    await mesh.apply(sidecar(egress("*/*")))
    assert await statuses(mesh, frontend, "catalog", "audit.other") == [200, 200]
    assert await statuses(mesh, audit, "catalog.shop") == [UNKNOWN]


async def test_a_rule_that_is_known_leads_also_to_services_that_are_not(mesh, frontend):
    await mesh.apply(together(TO_AUDIT, sidecar(egress("./*"))))
    assert (await mesh.get(frontend, "catalog/audit")).app == "audit"
    assert await statuses(mesh, frontend, "audit.other", "catalog") == [UNKNOWN, 200]


async def test_a_rule_of_hosts_that_are_not_known_is_not_followed(mesh, frontend):
    outside = (
        TO_AUDIT.replace("hosts: [catalog]", "hosts: [catalog.shop.svc.cluster.local]")
        .replace("{name: catalog}", "{name: catalog, namespace: other}")
        .replace("{host: catalog}", "{host: catalog.shop.svc.cluster.local}")
    )
    await mesh.apply(together(outside, sidecar(egress("./*"))))
    assert (await mesh.get(frontend, "catalog/audit")).app == "catalog"
    await mesh.apply(sidecar(egress("./*", "other/catalog.shop.svc.cluster.local")))
    assert (await mesh.get(frontend, "catalog/audit")).app == "audit"


async def test_the_mesh_says_who_sees_what_does_not_say_so_itself(mesh, frontend):
    audit = mesh.workloads["audit.other"]
    own = mesh_config("{defaultServiceExportTo: [.], defaultVirtualServiceExportTo: [.]}")
    shown = together(
        NINETY.replace("{name: catalog}", "{name: catalog, annotations: {networking.istio.io/exportTo: '*'}}")
    )
    await mesh.apply(together(own, shown))
    assert await statuses(mesh, frontend, "catalog", "orders", "audit.other") == [200, 200, UNKNOWN]
    assert await statuses(mesh, audit, "catalog.shop", "orders.shop", "audit") == [200, UNKNOWN, 200]
    gone = "{http: [{directResponse: {status: 410}}], hosts: [catalog.shop.svc.cluster.local]%s}"
    head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: catalog}\nspec: "
    for said, others in (("", 200), (", exportTo: ['*']", 410)):
        await mesh.apply(head + gone % said)
        assert [*await statuses(mesh, frontend, "catalog"), *await statuses(mesh, audit, "catalog.shop")] == [
            410,
            others,
        ]


async def test_a_name_in_a_sidecar_that_is_nobody_s_is_told_of(mesh, frontend):
    full = "catalog.shop.svc.cluster.local"
    await mesh.apply(sidecar(egress("./catalog", f"./{full}", f"other/{full}", "istio-system/*", "~/nobody")))
    notes = {note for proxy in mesh.control.status() for note in proxy.notes}
    assert notes == {
        f"Sidecar shop/default names ./catalog, which is nobody's; did you mean ./{full}?",
        f"Sidecar shop/default names other/{full}, which is nobody's",
    }


async def echoed(proxy, through=15001):
    """Send bytes through a tunnel to the cache; returns what comes back, or the status of its refusal."""
    reader, writer = await asyncio.open_connection(proxy.address, through)
    writer.write(b"CONNECT cache.other:80 HTTP/1.1\r\nhost: cache.other:80\r\n\r\n")
    status = int((await reader.readuntil(b"\r\n\r\n")).split()[1])
    if status == 200:
        writer.write(b"hello")
        status = await reader.readexactly(5)
    writer.close()
    return status


async def test_raw_connections_have_no_place_where_their_service_is_not_known(mesh, frontend):
    assert await echoed(frontend) == b"hello"
    await mesh.apply(sidecar(egress("./*")))
    assert await echoed(frontend) == UNKNOWN


@pytest.mark.parametrize(
    ("mode", "of_the_mesh", "status"), [("REGISTRY_ONLY", (), UNKNOWN), ("ALLOW_ANY", (REGISTRY_ONLY,), 200)]
)
async def test_a_sidecar_says_whether_unknown_hosts_are_passed_on_for_its_workloads_only(
    mesh, frontend, mode, of_the_mesh, status
):
    outside = f"127.0.0.1:{mesh.workloads['orders'].port}"
    own = sidecar(f"workloadSelector: {{labels: {{app: frontend}}}}, outboundTrafficPolicy: {{mode: {mode}}}")
    await mesh.apply(together(own, *of_the_mesh))
    others = UNKNOWN if status == 200 else 200
    assert await statuses(mesh, frontend, outside, "catalog") == [status, 200]
    assert await statuses(mesh, mesh.workloads["orders"], outside, "catalog") == [others, 200]


async def test_what_goes_to_unknown_hosts_is_left_to_an_egress_proxy(mesh, frontend):
    proxy = "egressProxy: {host: orders.shop.svc.cluster.local, port: {number: 80}}"
    policy = f"outboundTrafficPolicy: {{mode: ALLOW_ANY, {proxy}}}"
    await mesh.apply(sidecar(f"workloadSelector: {{labels: {{app: frontend}}}}, {egress('other/*')}, {policy}"))
    answer = await mesh.get(frontend, "www.example.com/page")
    assert (answer.app, answer.seen["headers"]["host"], answer.seen["path"]) == ("orders", "www.example.com", "/page")
    assert await statuses(mesh, frontend, "audit.other", "catalog") == [200, UNKNOWN]


async def test_each_port_has_hosts_of_its_own_and_can_be_spoken_to_where_nothing_is_captured(mesh, frontend):
    await mesh.apply(
        together(
            NINETY,
            sidecar(
                "egress: [{port: {number: 9090, protocol: HTTP, name: more}, captureMode: NONE, hosts: ['./*']},"
                " {hosts: ['other/*']}]"
            ),
        )
    )
    assert await statuses(mesh, frontend, "catalog", "catalog:9090", "audit.other") == [UNKNOWN, 200, 200]
    assert (await mesh.send(f"http://{frontend.address}:9090/", "catalog")).app == "catalog"
    assert (await mesh.send(f"http://{frontend.address}:9090/", "audit.other")).status == UNKNOWN


async def test_one_port_may_be_a_proxy_for_any_port_of_its_hosts_which_are_known_there_only(mesh, frontend):
    proxy = "{port: {number: 3128, protocol: HTTP_PROXY, name: proxy}, bind: 127.0.0.1, hosts: ['./*', '*/cache.other.svc.cluster.local']}"
    await mesh.apply(together(NINETY, REGISTRY_ONLY, TO_AUDIT, sidecar(f"egress: [{proxy}, {{hosts: ['other/*']}}]")))
    sent = [await mesh.send(f"http://{frontend.address}:3128/", host) for host in ("catalog", "catalog:9090", "orders")]
    assert [answer.app for answer in sent] == ["catalog", "catalog", "orders"]
    assert (await mesh.send(f"http://{frontend.address}:3128/audit", "catalog")).app == "audit"
    assert (await mesh.send(f"http://{frontend.address}:3128/", "audit.other")).status == UNKNOWN
    assert await statuses(mesh, frontend, "catalog", "audit.other") == [UNKNOWN, 200]
    await mesh.apply(sidecar(f"egress: [{proxy}]"))
    assert (await mesh.send(f"http://{frontend.address}:3128/", "orders")).app == "orders"
    assert await statuses(mesh, frontend, "orders", "audit.other") == [UNKNOWN, UNKNOWN]
    assert (await echoed(frontend), await echoed(frontend, through=3128)) == (UNKNOWN, b"hello")


def ingress(number, endpoint, more=""):
    return f"ingress: [{{port: {{number: {number}, protocol: HTTP, name: web}}, defaultEndpoint: '{endpoint}'{more}}}]"


CATALOG_ONLY = "workloadSelector: {labels: {app: catalog}}, "


async def test_what_comes_for_a_port_goes_to_another_port_of_the_application(mesh, frontend):
    number = mesh.workloads["catalog"].port
    other = await mesh.application("admin")
    await mesh.apply(sidecar(CATALOG_ONLY + ingress(number, f"127.0.0.1:{other}")))
    assert (await mesh.get(frontend, "catalog/")).app == "admin"
    await mesh.forget("Sidecar")
    assert (await mesh.get(frontend, "catalog/")).app == "catalog"


async def test_a_port_that_only_the_sidecar_opens_leads_to_a_unix_socket(mesh, frontend):
    path = mesh.dir / "own.sock"

    async def answer(request):
        return web.json_response({"app": "socket", "headers": dict(request.headers)})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    mesh.stack.push_async_callback(runner.cleanup)
    await web.UnixSite(runner, str(path)).start()
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: socket}\n"
        "spec: {selector: {app: catalog}, ports: [{name: http, port: 80, targetPort: 9080}]}"
    )
    await mesh.apply(together(service, sidecar(CATALOG_ONLY + ingress(9080, f"unix://{path}"))))
    answer = await mesh.get(frontend, "socket/")
    assert answer.app == "socket"
    assert "x-forwarded-client-cert" in {name.lower() for name in answer.seen["headers"]}
    await mesh.delete(ObjectKey("", "Service", "shop", "socket"))


@pytest.mark.parametrize("source", ["credentialName: door", "serverCertificate: {cert}, privateKey: {key}"])
async def test_callers_outside_of_the_mesh_end_their_tls_at_the_sidecar(mesh, frontend, source):
    authority, catalog = OwnCA(), mesh.workloads["catalog"]
    pair = authority.issue("catalog.example.com")
    for name, content in (("cert", pair.pem), ("key", pair.key_pem)):
        (mesh.dir / name).write_text(content)
    tls = source.format(cert=mesh.dir / "cert", key=mesh.dir / "key")
    port = f"{{number: {catalog.port}, protocol: HTTPS, name: web}}"
    own = sidecar(f"{CATALOG_ONLY}ingress: [{{port: {port}, tls: {{mode: SIMPLE, {tls}}}}}]")
    off = PLAIN.format(catalog.port)
    await mesh.apply(together(own, off, tls_secret("door", pair)))
    answer = await visit(catalog.address, 15006, "catalog.example.com", authority.client())
    assert (answer.status, answer.headers["x-app"]) == (200, "catalog")
    await mesh.forget("PeerAuthentication")
    with pytest.raises(OSError):
        await visit(catalog.address, 15006, "catalog.example.com", authority.client())


@pytest.mark.parametrize(
    "spec",
    [
        "inboundConnectionPool: {http: {http1MaxPendingRequests: 1, http2MaxRequests: 1}, tcp: {maxConnections: 1}}",
        "port",
    ],
)
async def test_a_sidecar_limits_what_comes_in_at_once(mesh, frontend, spec):
    catalog = mesh.workloads["catalog"]
    if spec == "port":
        pool = ", connectionPool: {http: {http1MaxPendingRequests: 1}, tcp: {maxConnections: 1}}"
        spec = ingress(catalog.port, f"127.0.0.1:{catalog.port}", pool)
    await mesh.apply(sidecar(CATALOG_ONLY + spec))
    answers = await at_once(lambda: mesh.get(frontend, "catalog/"), 6, [catalog], are_answered(1))
    assert {answer.status for answer in answers} == {200, 503}
