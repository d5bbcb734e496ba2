"""What can be called: every protocol and way of being found that a port, a Service or a ServiceEntry may have."""

import asyncio
import ssl
from dataclasses import replace

import grpc
import pytest
import pytest_asyncio
from xds_mesh import PATIENCE_S, Mesh, until
from xds_servers import free_grpc_server, free_mixed_server, free_tls_server, free_websocket_server, serve_tcp

from mesh_runtime.identity.authority import spiffe_id
from mesh_runtime.xds.translate import MeshSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANOTHER_TRY_S = 5
"""Connections of a mode that is over may hang instead of being closed: they are tried again after this long."""
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: %s}
spec: {selector: {app: %s}, ports: [%s]%s}
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh(STRICT) as mesh:
        await mesh.workload("frontend")
        yield mesh


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


async def tcp_services(mesh, caller):
    again = replace(caller.registration, id=caller.grant.id, token=caller.grant.token)
    found = (await mesh.control.register(again)).tcp_services
    await mesh.control.settled(mesh.store.current.revision, PATIENCE_S)
    return found


async def echoed(address, text=b"hello\n", **options):
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(*address, **options)
        writer.write(text)
        received = await reader.readexactly(len(text))
        writer.close()
        return received


async def asked(caller, authority):
    options = [("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(f"{caller.address}:15001", options=options) as channel:
        return await channel.unary_unary("/rates/ok")(b"7", timeout=60)


async def counted(mesh, proxy, **labels):
    return await mesh.metrics(proxy, "istio_requests_total", **labels)


async def test_http2_of_an_application_goes_all_the_way(mesh, frontend):
    await mesh.workload("modern", protocol="http2", app=free_grpc_server)
    assert await asked(frontend, "modern") == b"7"


async def test_browsers_call_grpc_by_grpc_web(mesh, frontend):
    await mesh.apply(SERVICE % ("rates", "rates", "{name: grpc-web, port: 80}", ""))
    await mesh.workload("rates", protocol="grpc-web", app=free_grpc_server)
    message = b"\0\0\0\0\x017"
    headers = {"Host": "rates", "content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    url = f"http://{frontend.address}:15001/rates/ok"
    async with mesh.http.post(url, headers=headers, data=message) as answer:
        body = await answer.read()
    assert answer.headers["content-type"].startswith("application/grpc-web")
    assert body.startswith(message)
    assert b"grpc-status:0" in body


async def test_a_grpc_client_calls_a_grpc_web_port_as_well(mesh, frontend):
    assert await asked(frontend, "rates") == b"7"


async def test_a_websocket_stays_open_both_ways(mesh, frontend):
    await mesh.workload("chat", app=free_websocket_server)
    url = f"http://{frontend.address}:15001/"
    async with mesh.http.ws_connect(url, headers={"Host": "chat"}) as socket:
        for text in ("one", "two"):
            await socket.send_str(text)
            assert await socket.receive_str(timeout=60) == text.upper()


class TestTls:
    """Bytes that the application has encrypted."""

    async def test_it_is_passed_on_as_it_is(self, mesh, frontend):
        await mesh.workload("vault", protocol="tls", app=free_tls_server("vault"))
        address = (await tcp_services(mesh, frontend))["vault"]
        assert await greeted(mesh, address, "vault.example.com") == "vault"
        opened = {"destination_service_name": "vault", "connection_security_policy": "mutual_tls"}
        assert await mesh.metrics(frontend, "istio_tcp_connections_opened_total", **opened) == 1

    async def test_its_server_name_is_routed_and_the_rest_goes_to_the_service(self, mesh, frontend):
        await mesh.workload("spare", protocol="tls", app=free_tls_server("spare"))
        await mesh.apply(
            """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vault}
spec:
  hosts: [vault, old.example.com]
  tls:
  - match: [{port: 80, sniHosts: [old.example.com]}]
    route: [{destination: {host: spare}}]
"""
        )
        address = (await tcp_services(mesh, frontend))["vault"]
        assert await greeted(mesh, address, "old.example.com") == "spare"
        assert await greeted(mesh, address, "vault.example.com") == "vault"

    async def test_strangers_bring_it_to_a_permissive_port(self, mesh):
        await mesh.apply(STRICT.replace("STRICT", "PERMISSIVE"))
        try:
            assert await greeted(mesh, (mesh.workloads["vault"].address, 15006), "vault.example.com") == "vault"
        finally:
            await mesh.apply(STRICT)

    async def test_it_goes_through_connect(self, mesh, frontend):
        reader, writer = await tunnel(frontend, "spare:80")
        await writer.start_tls(trusting(), server_hostname="spare.example.com")
        assert await reader.readline() == b"spare\n"
        writer.close()


async def greeted(mesh, address, name):
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(*address, ssl=trusting(), server_hostname=name)
        line = await reader.readline()
        writer.close()
        return line.decode().strip()


def trusting():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def tunnel(caller, target, answer=200):
    reader, writer = await asyncio.open_connection(caller.address, 15001)
    writer.write(f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n".encode())
    async with asyncio.timeout(PATIENCE_S):
        head = await reader.readuntil(b"\r\n\r\n")
    assert int(head.split()[1]) == answer, head
    return reader, writer


class TestSniffing:
    """A port whose name says nothing takes what comes."""

    @pytest_asyncio.fixture(loop_scope="module", autouse=True)
    async def mixed(self, mesh):
        if "mixed" not in mesh.workloads:
            await mesh.apply(SERVICE % ("mixed", "mixed", "{name: any, port: 9000}", ""))
            await mesh.workload("mixed", protocol="auto", app=free_mixed_server)
        return mesh.workloads["mixed"]

    @pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE", "DISABLE"])
    async def test_requests_and_raw_bytes_arrive(self, mesh, frontend, mixed, mode):
        await mesh.apply(STRICT.replace("STRICT", mode))
        address = (await tcp_services(mesh, frontend))["mixed"]
        labels = {"destination_service_name": "mixed"}
        labels["connection_security_policy"] = "none" if mode == "DISABLE" else "mutual_tls"
        ends = ((frontend, {**labels, "reporter": "source"}), (mixed, {**labels, "reporter": "destination"}))
        names = ("istio_requests_total", "istio_tcp_connections_opened_total")
        before = [await mesh.metrics(proxy, name, **which) for proxy, which in ends for name in names]

        async def arrived():
            try:
                async with asyncio.timeout(ANOTHER_TRY_S):
                    answer, bytes_ = await mesh.get(frontend, "mixed:9000/there"), await echoed(address)
            except (OSError, EOFError, TimeoutError):
                return False  # connections of the mode before are being closed
            now = [await mesh.metrics(proxy, name, **which) for proxy, which in ends for name in names]
            counted = all(new > old for new, old in zip(now, before, strict=True))
            return counted and (answer.status, answer.text, bytes_) == (200, "GET /there", b"hello\n")

        try:
            await until(arrived)
        finally:
            await mesh.apply(STRICT)

    async def test_a_request_needs_no_name_at_the_service_s_own_address(self, mesh, frontend):
        host, port = (await tcp_services(mesh, frontend))["mixed"]
        answer = await mesh.send(f"http://{host}:{port}/there", f"{host}:{port}")
        assert (answer.status, answer.text) == (200, "GET /there")

    async def test_plain_callers_are_told_apart_by_what_they_send(self, mesh, mixed):
        await mesh.apply(STRICT.replace("STRICT", "PERMISSIVE"))
        try:
            assert await echoed((mixed.address, 15006)) == b"hello\n"
            assert (await mesh.send(f"http://{mixed.address}:15006/x", "mixed")).text == "GET /x"
        finally:
            await mesh.apply(STRICT)

    async def test_grpc_is_http2_all_the_way(self, mesh, frontend):
        await mesh.apply(SERVICE % ("quotes", "quotes", "{name: any, port: 9000}", ""))
        await mesh.workload("quotes", protocol="auto", app=free_grpc_server)
        assert await asked(frontend, "quotes:9000") == b"7"


class TestHeadless:
    """A Service without an address: its workloads have names of their own."""

    @pytest_asyncio.fixture(loop_scope="module", autouse=True)
    async def shards(self, mesh):
        if "shard-a" not in mesh.workloads:
            await mesh.apply(SERVICE % ("shard", "shard", "{name: http, port: 80}", ", clusterIP: None"))
            await mesh.apply(SERVICE % ("log", "log", "{name: tcp, port: 7000}", ", clusterIP: None"))
            for version in ("a", "b"):
                await mesh.workload("shard", version)
                await mesh.workload("log", version, protocol="tcp", app=line_server(version))
        return [mesh.workloads[name] for name in ("shard-a", "shard-b")]

    @pytest.mark.parametrize("domain", ["", ".shop", ".shop.svc", ".shop.svc.cluster.local"])
    async def test_each_workload_answers_to_its_own_name(self, mesh, frontend, domain):
        for workload in ("shard-a", "shard-b"):
            answers = await mesh.share(frontend, f"{workload}-0.shard{domain}/", count=5)
            assert answers == {workload: 5}
        labels = {"destination_service": "shard.shop.svc.cluster.local", "connection_security_policy": "mutual_tls"}
        assert await counted(mesh, frontend, destination_workload="shard-b", **labels) >= 5

    async def test_the_service_itself_and_other_names_below_it_mean_any_of_them(self, mesh, frontend):
        for host in ("shard", "shard.shop.svc.cluster.local:80", "some-instances.shard.shop"):
            assert set(await mesh.share(frontend, f"{host}/", count=20)) == {"shard-a", "shard-b"}

    async def test_nobody_answers_for_a_workload_that_is_not_there(self, mesh, frontend):
        for host in ("shard-a-7.shard", "shard-a-7.shard.shop.svc.cluster.local:80"):
            assert (await mesh.get(frontend, f"{host}/")).status == 502
        _, writer = await tunnel(frontend, "log-a-7.log:7000", answer=502)
        writer.close()
        labels = {"response_flags": "NC", "destination_service": "shard.shop.svc.cluster.local"}
        assert await counted(mesh, frontend, **labels) >= 2

    async def test_a_workload_answers_to_its_address(self, mesh, frontend, shards):
        for workload in shards:
            answer = await mesh.get(frontend, f"{workload.address}/")
            assert answer.app == f"shard-{workload.registration.version}"

    async def test_rules_for_the_service_hold_for_its_workloads_names_and_leave_the_choice_to_them(
        self, mesh, frontend
    ):
        rule = (
            "{hosts: [shard], http: [{route: [{destination: {host: shard}}], headers: {response: {set: {x-rule: y}}}}]}"
        )
        kind = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shard}\n"
        await mesh.apply(f"{kind}spec: {rule}\n")
        for workload in ("shard-a", "shard-b"):
            answers = [await mesh.get(frontend, f"{workload}-0.shard/") for _ in range(4)]
            assert {(answer.app, answer.headers.get("x-rule")) for answer in answers} == {(workload, "y")}
        await mesh.forget("VirtualService")

    async def test_raw_connections_go_to_the_workload_that_was_named(self, mesh, frontend):
        services = await tcp_services(mesh, frontend)
        for version in ("a", "b"):
            for _ in range(3):
                assert await first_line(services[f"log-{version}-0.log"]) == version
        assert {await first_line(services["log"]) for _ in range(20)} == {"a", "b"}
        labels = {"destination_workload": "log-b", "connection_security_policy": "mutual_tls"}
        assert await mesh.metrics(frontend, "istio_tcp_connections_opened_total", **labels) >= 3


def line_server(text):
    async def start(mesh):
        async def say(_reader, writer):
            writer.write(f"{text}\n".encode())
            await writer.drain()
            writer.close()

        return await serve_tcp(mesh, say)

    return start


async def first_line(address):
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(*address)
        line = await reader.readline()
        writer.close()
        return line.decode().strip()


async def test_a_service_that_selects_nobody_answers_503(mesh, frontend):
    await mesh.apply(SERVICE % ("ghost", "ghost", "{name: http, port: 80}", ", type: LoadBalancer"))
    assert (await mesh.get(frontend, "ghost/")).status == 503


async def test_workloads_that_are_not_ready_are_called_where_a_service_says_so(mesh, frontend):
    more = ", publishNotReadyAddresses: true"
    await mesh.apply(SERVICE % ("frontend-any", "frontend", "{name: http, port: 80}", more))
    caller = await mesh.workload("asker")
    await mesh.control.drain(frontend.grant.id)

    async def nobody_is_ready():
        return (await mesh.get(caller, "frontend/")).status == 503

    try:
        await until(nobody_is_ready)
        assert (await mesh.get(caller, "frontend-any/")).app == "frontend"
    finally:
        again = replace(frontend.registration, id=frontend.grant.id, token=frontend.grant.token)
        await mesh.control.register(again)


class TestWorkloadGroups:
    """A template for workloads that register by themselves."""

    async def test_a_workload_takes_labels_identity_and_place_from_its_group(self, mesh, frontend):
        await mesh.apply(
            """
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: billing}
spec:
  metadata: {labels: {class: vm}, annotations: {note: kept}}
  template: {serviceAccount: billing-vm, locality: region/zone, labels: {tier: back}}
  probe: {httpGet: {path: /ready, port: 8080}}
"""
        )
        await mesh.apply(SERVICE.replace("app: %s", "class: %s") % ("machines", "vm", "{name: http, port: 80}", ""))
        billing = await mesh.workload("billing")
        assert billing.grant.service_account == "billing-vm"
        assert (await mesh.get(frontend, "machines/")).app == "billing"
        labels = {"destination_principal": spiffe_id("shop", "billing-vm"), "destination_workload": "billing"}
        assert await counted(mesh, frontend, **labels) == 1
        instance = mesh.registry.current.instances[billing.grant.id]
        assert instance.locality == "region/zone"
        assert (instance.labels["tier"], instance.labels["app"]) == ("back", "billing")


class TestPortListeners:
    """For clients that dial a port and leave it out of Host."""

    async def test_a_request_at_a_service_s_number_needs_no_port_in_its_host(self):
        books = SERVICE % ("books", "books", "{name: http, port: 9080}", "")
        async with Mesh(books, settings=MeshSettings(port_listeners=True)) as mesh:
            caller = await mesh.workload("caller")
            await mesh.workload("books")

            async def answered():
                return (await mesh.send(f"http://{caller.address}:9080/", "books")).status == 200

            await until(answered)
            for host in ("books", "books.shop", "books:9080", "books.shop.svc.cluster.local:12345"):
                assert (await mesh.send(f"http://{caller.address}:9080/", host)).app == "books"
            assert (await mesh.send(f"http://{caller.address}:9080/", "nobody")).status == 502


async def test_udp_is_refused_with_the_reason(mesh):
    with pytest.raises(Exception, match="UDP does not go through the mesh: sidecars carry TCP only"):
        await mesh.apply(SERVICE % ("dns", "dns", "{name: dns, port: 53, protocol: UDP}", ""))
