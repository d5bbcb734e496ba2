"""What a workload finds in the mesh: names, mutual TLS, raw TCP, gRPC, hosts outside, and what is counted."""

import asyncio
import ssl
from dataclasses import replace

import aiohttp
import grpc
import pytest
import pytest_asyncio
from xds_mesh import PATIENCE_S, Mesh, free_echo_server, until
from xds_servers import free_grpc_server

from mesh_runtime.api.objects import ObjectKey
from mesh_runtime.identity.authority import spiffe_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog", "v1")
        await mesh.workload("orders")
        yield mesh


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


@pytest.fixture
def catalog(mesh):
    return mesh.workloads["catalog-v1"]


async def accept(mesh, mode):
    return await mesh.apply(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        f"metadata: {{name: default}}\nspec: {{mtls: {{mode: {mode}}}}}\n"
    )


def plaintext(mesh, catalog):
    return mesh.send(f"http://{catalog.address}:15006/", "catalog")


@pytest.mark.parametrize(
    "host",
    [
        "catalog",
        "catalog:80",
        "catalog.shop",
        "catalog.shop:80",
        "catalog.shop.svc",
        "catalog.shop.svc.cluster.local",
        "catalog.shop.svc.cluster.local:80",
    ],
)
async def test_a_service_is_reached_by_each_of_its_names(mesh, frontend, host):
    answer = await mesh.get(frontend, f"{host}/some/path?a=b")
    assert answer.status == 200
    assert answer.seen["path"] == "/some/path?a=b"


async def test_a_proxy_variable_works_like_a_host_header(mesh, frontend):
    proxy = f"http://{frontend.address}:15001"
    async with mesh.http.get("http://catalog.shop/by/proxy", proxy=proxy) as answer:
        assert (await answer.json())["path"] == "/by/proxy"


@pytest.mark.parametrize("host", ["nobody", "catalog:81", "catalog.shop:81", "nobody.svc", "a.b.svc.cluster.local"])
async def test_an_unknown_host_of_the_mesh_is_refused_and_counted(mesh, frontend, host):
    unknown = {"response_code": "502", "response_flags": "NC", "destination_service_name": "BlackHoleCluster"}
    before = await mesh.metrics(frontend, "istio_requests_total", **unknown)
    answer = await mesh.get(frontend, f"{host}/")
    assert answer.status == 502
    assert host in answer.text
    assert await mesh.metrics(frontend, "istio_requests_total", **unknown) == before + 1


async def test_both_ends_count_the_same_requests_with_principals_and_versions(mesh, frontend, catalog):
    await accept(mesh, "STRICT")
    source = {
        "reporter": "source",
        "source_workload": "frontend",
        "source_principal": spiffe_id("shop", "frontend"),
        "destination_workload": "catalog-v1",
        "destination_canonical_service": "catalog",
        "destination_canonical_revision": "v1",
        "destination_principal": spiffe_id("shop", "catalog"),
        "destination_service": "catalog.shop.svc.cluster.local",
        "destination_service_name": "catalog",
        "destination_service_namespace": "shop",
        "connection_security_policy": "mutual_tls",
        "request_protocol": "http",
        "response_code": "200",
        "response_flags": "-",
    }
    destination = {**source, "reporter": "destination", "source_workload": "unknown"}
    ends = ((frontend, source), (catalog, destination))
    await mesh.drained()  # what only a replaced listener counted is forgotten with it
    before = [await mesh.metrics(proxy, "istio_requests_total", **labels) for proxy, labels in ends]
    await mesh.share(frontend, "catalog/", count=25)
    after = [await mesh.metrics(proxy, "istio_requests_total", **labels) for proxy, labels in ends]
    assert [now - then for now, then in zip(after, before, strict=True)] == [25, 25]


async def test_a_latency_histogram_is_kept_per_edge(mesh, frontend):
    await mesh.get(frontend, "catalog/")
    bucket = {"le": "500", "destination_workload": "catalog-v1"}
    await until(lambda: mesh.metrics(frontend, "istio_request_duration_milliseconds_bucket", **bucket))


async def test_strict_refuses_plaintext_and_callers_without_certificate(mesh, frontend, catalog):
    await accept(mesh, "STRICT")
    with pytest.raises(aiohttp.ClientConnectionError):
        await plaintext(mesh, catalog)
    anonymous = ssl.create_default_context(cadata=mesh.authority.root_pem)
    anonymous.check_hostname = False
    with pytest.raises((aiohttp.ClientConnectionError, ssl.SSLError)):
        async with mesh.http.get(f"https://{catalog.address}:15006/", ssl=anonymous) as answer:
            await answer.read()
    assert (await mesh.get(frontend, "catalog/")).status == 200


async def test_a_workload_proves_who_it_is_with_tls_1_3(mesh, catalog, tmp_path):
    await accept(mesh, "STRICT")
    leaf = mesh.authority.issue(spiffe_id("shop", "tester"))
    (tmp_path / "leaf.pem").write_text(leaf.chain_pem + leaf.key_pem)
    context = ssl.create_default_context(cadata=mesh.authority.root_pem)
    context.check_hostname = False
    context.load_cert_chain(tmp_path / "leaf.pem")
    context.set_alpn_protocols(["istio", "http/1.1"])
    reader, writer = await asyncio.open_connection(catalog.address, 15006, ssl=context)
    tls = writer.get_extra_info("ssl_object")
    assert tls.version() == "TLSv1.3"
    assert tls.selected_alpn_protocol() == "http/1.1"
    assert tls.getpeercert()["subjectAltName"] == (("URI", spiffe_id("shop", "catalog")),)
    writer.write(b"GET / HTTP/1.1\r\nHost: catalog\r\nConnection: close\r\n\r\n")
    assert b"URI=spiffe://cluster.local/ns/shop/sa/tester" in await reader.read()
    writer.close()


async def test_permissive_takes_both_and_tells_them_apart(mesh, frontend, catalog):
    await accept(mesh, "PERMISSIVE")
    plain = {"reporter": "destination", "connection_security_policy": "none", "source_principal": "unknown"}
    mutual = {"reporter": "destination", "connection_security_policy": "mutual_tls"}
    await mesh.drained()
    before = [await mesh.metrics(catalog, "istio_requests_total", **labels) for labels in (plain, mutual)]
    assert (await plaintext(mesh, catalog)).status == 200
    assert (await mesh.get(frontend, "catalog/")).status == 200
    after = [await mesh.metrics(catalog, "istio_requests_total", **labels) for labels in (plain, mutual)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1]


async def test_what_a_plaintext_caller_claims_to_be_is_removed(mesh, catalog):
    await accept(mesh, "PERMISSIVE")
    claim = {"x-forwarded-client-cert": "URI=spiffe://cluster.local/ns/shop/sa/frontend"}
    answer = await mesh.send(f"http://{catalog.address}:15006/", "catalog", headers=claim)
    assert "x-forwarded-client-cert" not in answer.seen["headers"]


async def test_disable_means_plaintext_on_both_ends(mesh, frontend, catalog):
    # By way of PERMISSIVE, as in Istio: callers and callees do not change over at the same instant.
    await accept(mesh, "PERMISSIVE")
    await accept(mesh, "DISABLE")
    counted = {"reporter": "source", "destination_workload": "catalog-v1", "connection_security_policy": "none"}

    async def is_plain():
        answer = await mesh.get(frontend, "catalog/")
        return answer.status == 200 and "x-forwarded-client-cert" not in answer.seen["headers"]

    # Connections made before are used until the callee has drained them, and may break meanwhile.
    await until(is_plain)
    before = await mesh.metrics(frontend, "istio_requests_total", **counted)
    assert (await mesh.get(frontend, "catalog/")).status == 200
    assert await mesh.metrics(frontend, "istio_requests_total", **counted) == before + 1
    assert (await plaintext(mesh, catalog)).status == 200


async def test_a_destination_rule_decides_for_the_caller(mesh, frontend):
    await accept(mesh, "STRICT")
    rule = (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: orders}\n"
        "spec: {host: orders, trafficPolicy: {tls: {mode: %s}}}\n"
    )
    await mesh.apply(rule % "DISABLE")
    assert (await mesh.get(frontend, "orders/")).status == 503
    await mesh.apply(rule % "ISTIO_MUTUAL")
    assert (await mesh.get(frontend, "orders/")).status == 200


async def test_somebody_else_at_a_service_s_address_is_not_believed(mesh, frontend, catalog):
    await accept(mesh, "STRICT")
    instance = mesh.registry.current.instances[mesh.workloads["orders"].grant.id]
    labels = {"app": "vault"}
    impostor = replace(
        instance, id="shop/vault~0", node_id="vault", labels=labels, address=catalog.address, service_account="vault"
    )
    mesh.registry.put(impostor)
    try:
        await mesh.apply(
            "apiVersion: v1\nkind: Service\nmetadata: {name: vault}\n"
            "spec: {selector: {app: vault}, ports: [{name: http, port: 80}]}\n"
        )
        assert (await mesh.get(frontend, "vault/")).status == 503
    finally:
        mesh.registry.remove(impostor.id)


async def test_a_workload_s_service_is_made_if_there_is_none(mesh, catalog):
    service = mesh.store.current.objects[ObjectKey("", "Service", "shop", "catalog")]
    assert service.manifest["spec"] == {
        "selector": {"app": "catalog"},
        "ports": [{"name": "http", "port": 80, "targetPort": catalog.port}],
    }


async def test_an_instance_that_starts_or_drains_gets_no_requests(mesh, frontend):
    second = await mesh.workload("orders", "v2", starting=True)
    assert set(await mesh.share(frontend, "orders/", count=20)) == {"orders"}
    ready = replace(second.registration, id=second.grant.id, token=second.grant.token, starting=False)
    await mesh.control.register(ready)

    async def both_answer():
        return set(await mesh.share(frontend, "orders/", count=20)) == {"orders", "orders-v2"}

    async def one_answers():
        return set(await mesh.share(frontend, "orders/", count=20)) == {"orders"}

    await until(both_answer)
    await mesh.control.drain(second.grant.id)
    await until(one_answers)


async def test_why_an_instance_gets_no_requests_is_said_until_it_gets_them(mesh):
    ill = await mesh.workload("payments", starting=True, trouble="its application is ill")

    def said():
        return next(proxy.notes for proxy in mesh.control.status() if proxy.instance_id == ill.grant.id)

    assert said() == ("gets no requests: its application is ill",)
    who = {"id": ill.grant.id, "token": ill.grant.token}
    await mesh.control.register(replace(ill.registration, **who, starting=False, trouble=""))
    assert said() == ()


async def test_raw_tcp_goes_through_both_sidecars_and_is_counted(mesh, frontend):
    await accept(mesh, "STRICT")
    db = await mesh.workload("db", protocol="tcp", app=free_echo_server)
    again = replace(frontend.registration, id=frontend.grant.id, token=frontend.grant.token)
    host, port = (await mesh.control.register(again)).tcp_services["db"]
    assert host == frontend.address
    await mesh.control.settled(mesh.store.current.revision, PATIENCE_S)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"x" * 1000)
    assert await reader.readexactly(1000) == b"x" * 1000
    opened = {"request_protocol": "tcp", "destination_service_name": "db", "connection_security_policy": "mutual_tls"}
    for proxy, reporter in ((frontend, "source"), (db, "destination")):
        labels = {**opened, "reporter": reporter, "destination_workload": "db"}
        assert await mesh.metrics(proxy, "istio_tcp_connections_opened_total", **labels) == 1
    live = (await mesh.admin(frontend, "/stats/prometheus?filter=^tcp")).text
    name = "outbound|80||db_shop_svc_cluster_local"
    assert f'envoy_tcp_downstream_cx_tx_bytes_total{{envoy_tcp_prefix="{name}"}} 1000' in live
    writer.close()
    await until(lambda: mesh.metrics(frontend, "istio_tcp_connections_closed_total", reporter="source"))
    assert await mesh.metrics(frontend, "istio_tcp_sent_bytes_total", reporter="source") == 1000


async def test_plaintext_tcp_to_a_strict_port_is_closed(mesh):
    await accept(mesh, "STRICT")
    reader, writer = await asyncio.open_connection(mesh.workloads["db"].address, 15006)
    writer.write(b"hello")
    assert b"hello" not in await reader.read()  # but a TLS alert
    writer.close()


async def test_grpc_outcomes_are_counted_from_the_trailers(mesh, frontend):
    await accept(mesh, "STRICT")
    rates = await mesh.workload("rates", protocol="grpc", app=free_grpc_server)
    options = [("grpc.default_authority", "rates"), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(f"{frontend.address}:15001", options=options) as channel:
        assert await channel.unary_unary("/rates/ok")(b"7") == b"7"
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await channel.unary_unary("/rates/missing")(b"")
    for proxy, reporter in ((frontend, "source"), (rates, "destination")):
        labels = {"reporter": reporter, "request_protocol": "grpc", "destination_workload": "rates"}
        outcomes = [
            await mesh.metrics(proxy, "istio_requests_total", grpc_response_status=code, response_code="200", **labels)
            for code in ("0", "5")
        ]
        assert outcomes == [1, 1]


@pytest.mark.parametrize(("resolution", "address"), [("STATIC", "127.0.0.1"), ("DNS", "localhost")])
async def test_a_host_outside_the_mesh_is_called_in_plaintext(mesh, frontend, resolution, address):
    outside = mesh.workloads["orders"].port  # an application's own port is outside as far as the mesh is concerned
    await mesh.apply(
        f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: payments}}
spec:
  hosts: [payments.example.com]
  resolution: {resolution}
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: {address}, ports: {{http: {outside}}}}}]
"""
    )
    answer = await mesh.get(frontend, "payments.example.com/pay")
    assert answer.seen["headers"]["host"] == "payments.example.com"
    counted = {"destination_service_name": "payments.example.com", "connection_security_policy": "none"}
    assert await mesh.metrics(frontend, "istio_requests_total", destination_workload="", **counted) >= 1


async def test_a_listed_workload_answers_for_a_service_of_its_labels(mesh, frontend):
    outside = mesh.workloads["orders"].port
    await mesh.apply(
        f"""
apiVersion: v1
kind: Service
metadata: {{name: legacy}}
spec: {{selector: {{app: legacy}}, ports: [{{name: http, port: 80}}]}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: legacy-vm}}
spec: {{address: 127.0.0.1, ports: {{http: {outside}}}, labels: {{app: legacy, version: v7}}}}
"""
    )
    assert (await mesh.get(frontend, "legacy/")).status == 200
    labels = {"destination_workload": "legacy-vm", "destination_canonical_revision": "v7"}
    assert await mesh.metrics(frontend, "istio_requests_total", **labels) == 1


async def test_services_of_another_namespace_need_their_namespace_in_the_name(mesh, frontend):
    await mesh.workload("audit", namespace="other")
    assert (await mesh.get(frontend, "audit.other/")).app == "audit"
    assert (await mesh.get(frontend, "audit/")).status == 502
