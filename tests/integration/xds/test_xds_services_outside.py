"""What is outside of the mesh, or listed in config: ServiceEntries of every resolution, and hosts nobody declared."""

import asyncio
import ssl

import pytest
import pytest_asyncio
from aiohttp import web
from xds_mesh import PATIENCE_S, Mesh, free_echo_server, mesh_config, together, until
from xds_servers import free_tls_server

from mesh_runtime.identity.authority import spiffe_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""
ENTRY = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %s}\nspec: {%s}\n"
HTTP = "ports: [{number: 80, name: http, protocol: HTTP}]"
PASSED = {"destination_service": "PassthroughCluster", "connection_security_policy": "none"}
REFUSED = {"destination_service": "BlackHoleCluster", "response_code": "502", "response_flags": "NC"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh(STRICT) as mesh:
        await mesh.workload("frontend")
        await mesh.workload("orders")
        await mesh.workload("audit", namespace="other")
        yield mesh


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


@pytest.fixture
def outside(mesh):
    """The port of an application's own, which is outside as far as the mesh is concerned."""
    return mesh.workloads["orders"].port


async def counted(mesh, proxy, **labels):
    return await mesh.metrics(proxy, "istio_requests_total", **labels)


async def tunnel(caller, target):
    reader, writer = await asyncio.open_connection(caller.address, 15001)
    writer.write(f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n".encode())
    async with asyncio.timeout(PATIENCE_S):
        return reader, writer, await reader.readuntil(b"\r\n\r\n")


def trusting():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def over_tls(caller, target):
    reader, writer, head = await tunnel(caller, target)
    assert b" 200 " in head, head
    await writer.start_tls(trusting(), server_hostname=target.partition(":")[0])
    async with asyncio.timeout(PATIENCE_S):
        line = await reader.readline()
    writer.close()
    return line.decode().strip()


@pytest.mark.parametrize("host", ["127.0.0.1", "orders.localhost"])
async def test_a_host_that_nobody_declared_is_passed_on_to_and_counted(mesh, frontend, outside, host):
    before = await counted(mesh, frontend, **PASSED)
    answer = await mesh.get(frontend, f"{host}:{outside}/there")
    assert (answer.app, answer.seen["path"]) == ("orders", "/there")
    assert answer.seen["headers"]["host"] == f"{host}:{outside}"
    assert await counted(mesh, frontend, **PASSED) == before + 1


async def test_tls_and_raw_bytes_are_passed_on_through_connect(mesh, frontend):
    port = await free_tls_server("away")(mesh)
    assert await over_tls(frontend, f"127.0.0.1:{port}") == "away"
    echo = await free_echo_server(mesh)
    reader, writer, head = await tunnel(frontend, f"127.0.0.1:{echo}")
    assert b" 200 " in head
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.close()
    await until(lambda: sent_outside(mesh, frontend))


async def sent_outside(mesh, frontend):
    names = ("istio_tcp_connections_opened_total", "istio_tcp_sent_bytes_total")
    opened, sent = [await mesh.metrics(frontend, name, **PASSED) for name in names]
    return opened == 2 and sent > 5


@pytest.mark.parametrize("host", ["nobody", "nobody.shop", "nobody.other:8080", "a.svc", "b.shop.svc.cluster.local"])
async def test_names_that_only_the_mesh_can_know_are_not_looked_for_outside(mesh, frontend, host):
    before = await counted(mesh, frontend, **REFUSED)
    answer = await mesh.get(frontend, f"{host}/")
    assert answer.status == 502
    assert answer.text.startswith(f"{host}: there is no such service in the mesh")
    assert await counted(mesh, frontend, **REFUSED) == before + 1


async def test_a_proxy_is_not_asked_to_ask_itself(mesh, frontend):
    assert (await mesh.get(frontend, f"{frontend.address}:15001/")).status == 502


async def served_at(mesh, address):
    """Serve requests at two ports of an address."""

    async def name(request):
        return web.Response(text=request.host)

    app = web.Application()
    app.router.add_get("/", name)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    mesh.stack.push_async_callback(runner.cleanup)
    for _ in range(2):
        await web.TCPSite(runner, address, 0).start()
    return [port for _, port, *_ in runner.addresses]


@pytest.mark.parametrize(
    ("places", "of_another"),
    [("resolution: NONE", 503), ("resolution: STATIC, endpoints: [{address: 127.3.0.1}]", 200)],
)
async def test_addresses_of_a_network_stand_for_the_entry_that_has_it(mesh, frontend, places, of_another):
    web_port, raw_port = await served_at(mesh, "127.3.0.1")
    ports = f"[{{number: {web_port}, name: http, protocol: HTTP}}, {{number: {raw_port}, name: tcp, protocol: TCP}}]"
    entry = f"hosts: [rack.example.com], addresses: [127.3.0.0/21], {places}, ports: {ports}"
    only = mesh_config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
    await mesh.apply(together(ENTRY % ("rack", entry), only))
    await mesh.drained()  # what only a replaced listener counted is forgotten with it
    try:
        called = {"destination_service": "rack.example.com", "response_code": "200"}
        before = await counted(mesh, frontend, **called)
        for address, status in (("127.3.0.1", 200), ("127.3.7.255", of_another), ("127.3.8.1", 502)):
            assert (await mesh.get(frontend, f"{address}:{web_port}/")).status == status
        assert await counted(mesh, frontend, **called) == before + (1 if of_another == 503 else 2)
        reader, writer, head = await tunnel(frontend, f"127.3.0.1:{raw_port}")
        assert b" 200 " in head
        writer.write(b"GET / HTTP/1.0\r\nhost: through\r\n\r\n")
        assert (await reader.read()).endswith(b"through")
        writer.close()
    finally:
        await mesh.forget("ConfigMap", "ServiceEntry")


@pytest.mark.parametrize("places", ["resolution: NONE", "resolution: STATIC, endpoints: [{address: '::1'}]"])
async def test_an_address_of_an_ipv6_network_is_known_however_it_is_written(mesh, frontend, places):
    port, _ = await served_at(mesh, "::1")
    entry = f"hosts: [six.example.com], addresses: ['::/121'], {places}, ports: [{{number: {port}, name: http}}]"
    only = mesh_config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
    await mesh.apply(together(ENTRY % ("six", entry), only))
    try:
        for written in ("::1", "0:0::1", "::0.0.0.1", "0000:0000:0000:0000:0000:0000:0000:0001"):
            assert (await mesh.get(frontend, f"[{written}]:{port}/")).status == 200
        assert (await mesh.get(frontend, f"[::81]:{port}/")).status == 502
    finally:
        await mesh.forget("ConfigMap", "ServiceEntry")


async def test_registry_only_refuses_whatever_is_not_declared(mesh, frontend, outside):
    await mesh.apply(mesh_config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"))
    await mesh.drained()
    try:
        before = await counted(mesh, frontend, **REFUSED)
        assert (await mesh.get(frontend, f"127.0.0.1:{outside}/")).status == 502
        _, writer, head = await tunnel(frontend, f"127.0.0.1:{outside}")
        assert b" 502 " in head
        writer.close()
        assert await counted(mesh, frontend, **REFUSED) == before + 2
        assert (await mesh.get(frontend, "orders/")).status == 200
    finally:
        await mesh.forget("ConfigMap")


async def test_an_entry_without_resolution_leads_where_its_host_is(mesh, frontend, outside):
    await mesh.apply(
        ENTRY % ("plain", f"hosts: [plain.localhost], ports: [{{number: {outside}, name: http, protocol: HTTP}}]")
    )
    assert (await mesh.get(frontend, f"plain.localhost:{outside}/")).app == "orders"
    assert await counted(mesh, frontend, destination_service="plain.localhost", connection_security_policy="none") >= 1


@pytest.mark.parametrize("resolution", ["NONE", "DYNAMIC_DNS"])
async def test_a_wildcard_leads_to_whichever_host_is_asked_for(mesh, frontend, outside, resolution):
    ports = f"[{{number: {outside}, name: http, protocol: HTTP}}, {{number: 443, name: tls, protocol: TLS}}]"
    await mesh.apply(
        ENTRY % ("wide", f"hosts: ['*.wide.localhost', '*-w.localhost'], resolution: {resolution}, ports: {ports}")
    )
    for host in ("a.wide.localhost", "b.c.wide.localhost", "eu-w.localhost"):
        assert (await mesh.get(frontend, f"{host}:{outside}/")).seen["headers"]["host"] == f"{host}:{outside}"
    assert await counted(mesh, frontend, destination_service="*.wide.localhost", response_code="200") >= 2
    assert await counted(mesh, frontend, destination_service="*-w.localhost", response_code="200") >= 1


async def test_tls_to_a_wildcard_is_looked_up_and_passed_on(mesh, frontend):
    port = await free_tls_server("far")(mesh)
    ports = f"[{{number: {port}, name: tls, protocol: TLS}}]"
    await mesh.apply(ENTRY % ("far", f"hosts: ['*.far.localhost'], resolution: DYNAMIC_DNS, ports: {ports}"))
    assert await over_tls(frontend, f"x.far.localhost:{port}") == "far"


async def test_a_dns_name_may_stand_for_one_place(mesh, frontend, outside):
    spec = f"hosts: [round.example.com], resolution: DNS_ROUND_ROBIN, {HTTP}"
    await mesh.apply(ENTRY % ("round", f"{spec}, endpoints: [{{address: localhost, ports: {{http: {outside}}}}}]"))

    async def is_looked_up():
        answer = await mesh.get(frontend, "round.example.com/")
        return answer.status == 200 and answer.app == "orders"

    await until(is_looked_up)


async def test_a_target_port_says_where_the_service_really_listens(mesh, frontend, outside):
    ports = f"ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {outside}}}]"
    spec = f"hosts: [target.example.com], resolution: STATIC, {ports}, endpoints: [{{address: 127.0.0.1}}]"
    await mesh.apply(ENTRY % ("target", spec))
    assert (await mesh.get(frontend, "target.example.com/")).app == "orders"


async def test_an_entry_answers_to_its_addresses(mesh, frontend, outside):
    spec = f"hosts: [vip.example.com], addresses: [240.0.0.7], resolution: STATIC, {HTTP}"
    await mesh.apply(ENTRY % ("vip", f"{spec}, endpoints: [{{address: 127.0.0.1, ports: {{http: {outside}}}}}]"))
    for host in ("240.0.0.7", "240.0.0.7:80", "vip.example.com"):
        assert (await mesh.get(frontend, f"{host}/")).app == "orders"
    assert await counted(mesh, frontend, destination_service="vip.example.com") >= 3


async def test_an_application_may_listen_on_a_unix_socket(mesh, frontend):
    async def answer(_request):
        return web.json_response({"app": "socket"})

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    mesh.stack.push_async_callback(runner.cleanup)
    await web.UnixSite(runner, str(mesh.dir / "app.sock")).start()
    spec = f"hosts: [socket.example.com], resolution: STATIC, {HTTP}"
    await mesh.apply(ENTRY % ("socket", f"{spec}, endpoints: [{{address: 'unix://{mesh.dir}/app.sock'}}]"))
    assert (await mesh.get(frontend, "socket.example.com/")).app == "socket"


async def test_an_entry_may_select_workloads_that_run_and_that_are_listed(mesh, frontend, outside):
    await mesh.apply(
        ENTRY
        % (
            "chosen",
            (
                f"hosts: [chosen.example.com], location: MESH_INTERNAL, resolution: STATIC, {HTTP}, "
                "workloadSelector: {labels: {class: chosen}}"
            ),
        )
    )
    await mesh.workload("inside", labels={"class": "chosen"})
    await mesh.apply(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm}\n"
        f"spec: {{address: 127.0.0.1, ports: {{http: {outside}}}, labels: {{class: chosen}}}}\n"
    )

    async def both():
        return set(await mesh.share(frontend, "chosen.example.com/", count=20)) == {"inside", "orders"}

    await until(both)
    labels = {"destination_service": "chosen.example.com"}
    known = {"destination_principal": spiffe_id("shop", "inside"), "connection_security_policy": "mutual_tls"}
    assert await counted(mesh, frontend, **labels, **known) >= 1
    assert await counted(mesh, frontend, destination_workload="vm", connection_security_policy="none", **labels) >= 1


async def test_an_entry_with_an_empty_selector_is_for_all_workloads_of_its_namespace(mesh, frontend):
    spec = f"hosts: [all.example.com], location: MESH_INTERNAL, resolution: STATIC, {HTTP}, workloadSelector: {{}}"
    await mesh.apply(ENTRY % ("all", spec))
    own = {name for name, one in mesh.workloads.items() if one.registration.namespace == "shop"}

    async def each():
        return set(await mesh.share(frontend, "all.example.com/", count=20)) >= own

    await until(each)
    await mesh.forget("ServiceEntry")


async def test_only_namespaces_that_an_entry_is_exported_to_see_it(mesh, frontend, outside):
    spec = f"hosts: [own.example.com], exportTo: ['.'], resolution: STATIC, {HTTP}"
    await mesh.apply(ENTRY % ("own", f"{spec}, endpoints: [{{address: 127.0.0.1, ports: {{http: {outside}}}}}]"))
    assert (await mesh.get(frontend, "own.example.com/")).app == "orders"
    elsewhere = mesh.workloads["audit.other"]
    await mesh.get(elsewhere, "own.example.com/")
    assert await counted(mesh, elsewhere, destination_service="own.example.com") == 0
