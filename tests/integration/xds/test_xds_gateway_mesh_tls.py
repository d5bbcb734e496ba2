"""The mesh's own TLS at a gateway, raw TCP, and several Gateways on one port."""

import json
import ssl
from collections import Counter

import pytest
import pytest_asyncio
from own_ca import OwnCA, load, tls_secret
from tls_visits import echoed, is_refused, visit
from xds_mesh import Mesh
from xds_servers import serve_tcp

from mesh_runtime.xds.translate import MeshSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

CA = OwnCA()
CERTIFICATE = CA.issue("*.example.com")

MANIFESTS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: across}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: 15443, name: tls-across, protocol: TLS}
    hosts: ["*.shop.svc.cluster.local"]
    tls: {mode: AUTO_PASSTHROUGH}
  - port: {number: 9443, name: https-mesh, protocol: HTTPS}
    hosts: [inside.example.com]
    tls: {mode: ISTIO_MUTUAL}
  - port: {number: 9100, name: tcp, protocol: TCP}
    hosts: ["*"]
  - port: {number: 9100, name: tcp-local, protocol: TCP}
    hosts: ["local"]
    bind: 127.0.0.1
  - port: {number: 9200, name: grpc-web, protocol: GRPC-WEB}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: frontend}
spec: {host: frontend, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: inside}
spec:
  hosts: ["*"]
  gateways: [across]
  http:
  - route: [{destination: {host: frontend}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bytes}
spec:
  hosts: ["*"]
  gateways: [across]
  tcp:
  - match: [{port: 9100}]
    route:
    - {destination: {host: one}, weight: 80}
    - {destination: {host: two}, weight: 20}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: first, namespace: a}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: 8443, name: https, protocol: HTTPS}
    hosts: [first.example.com]
    tls: {mode: SIMPLE, credentialName: web}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: second, namespace: b}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: 8443, name: https, protocol: HTTPS}
    hosts: ["shop/second.example.com", "elsewhere/third.example.com"]
    tls: {mode: SIMPLE, credentialName: web}
  - port: {number: 8443, name: https-again, protocol: HTTPS}
    hosts: ["./first.example.com"]
    tls: {mode: SIMPLE, credentialName: web}
  - port: {number: 8443, name: plain, protocol: TCP}
    hosts: ["*"]
    bind: 127.0.0.1
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: third, namespace: z}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: 9100, name: http, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: several}
spec:
  hosts: [first.example.com, second.example.com, third.example.com]
  gateways: [a/first, b/second]
  http:
  - route: [{destination: {host: frontend}}]
"""


def telling(name):
    """An application that answers every connection with its name."""

    async def start(mesh):
        async def answer(reader, writer):
            await reader.read(1)
            writer.write(name)
            writer.close()

        return await serve_tcp(mesh, answer)

    return start


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh(settings=MeshSettings(unprivileged_from=1024)) as mesh:
        await mesh.workload("frontend", "v1")
        await mesh.workload("one", protocol="tcp", app=telling(b"1"))
        await mesh.workload("two", protocol="tcp", app=telling(b"2"))
        await mesh.gateway("ingress", istio="ingress")
        await mesh.apply(f"{MANIFESTS}\n---\n{tls_secret('web', CERTIFICATE)}")
        yield mesh


class Member:
    """A workload's certificate, as its proxy has it."""

    def __init__(self, mesh, account):
        leaf = mesh.authority.issue(f"spiffe://cluster.local/ns/shop/sa/{account}")
        self.pem, self.key_pem = leaf.chain_pem, leaf.key_pem


def of_the_mesh(mesh, alpn, pair=True):
    context = ssl.create_default_context(cadata=mesh.authority.root_pem)
    context.check_hostname = False
    context.set_alpn_protocols(alpn)
    if pair:
        load(context, Member(mesh, "caller"))
    return context


def at(mesh):
    return mesh.workloads["ingress"].address


async def test_a_server_of_the_mesh_takes_the_mesh_s_certificates_only(mesh):
    answer = await visit(at(mesh), 9443, "inside.example.com", of_the_mesh(mesh, ["http/1.1"]))
    assert json.loads(answer.text)["app"] == "frontend-v1"
    assert answer.certificate["subjectAltName"] == (("URI", "spiffe://cluster.local/ns/shop/sa/ingress"),)
    assert await is_refused(visit(at(mesh), 9443, "inside.example.com", of_the_mesh(mesh, ["http/1.1"], pair=False)))


@pytest.mark.parametrize("subset", ["", "v1"])
async def test_the_mesh_s_tls_is_passed_on_by_the_service_it_names(mesh, subset):
    name = f"outbound_.80_.{subset}_.frontend.shop.svc.cluster.local"
    answer = await visit(at(mesh), 15443, name, of_the_mesh(mesh, ["istio", "http/1.1"]), host="frontend")
    seen = json.loads(answer.text)
    assert seen["app"] == "frontend-v1"
    assert "URI=spiffe://cluster.local/ns/shop/sa/caller" in seen["headers"]["x-forwarded-client-cert"]
    assert answer.certificate["subjectAltName"] == (("URI", "spiffe://cluster.local/ns/shop/sa/frontend"),)


async def test_nobody_else_is_passed_on(mesh):
    name = "outbound_.80_._.frontend.shop.svc.cluster.local"
    assert await is_refused(visit(at(mesh), 15443, name, of_the_mesh(mesh, ["http/1.1"])))
    unknown = "outbound_.81_._.frontend.shop.svc.cluster.local"
    assert await is_refused(visit(at(mesh), 15443, unknown, of_the_mesh(mesh, ["istio"])))


async def test_connections_are_shared_by_weight(mesh):
    found = Counter([await echoed(at(mesh), 9100, b"?") for _ in range(200)])
    assert set(found) == {b"1", b"2"}
    assert 10 < found[b"2"] < 80


async def test_an_address_of_its_own_is_bound_beside_the_gateway_s(mesh):
    assert await echoed("127.0.0.1", 9100, b"?") in {b"1", b"2"}


async def test_servers_of_several_gateways_share_a_port(mesh):
    for name in ("first.example.com", "second.example.com"):
        answer = await visit(at(mesh), 8443, name, CA.client())
        assert (answer.status, json.loads(answer.text)["app"]) == (200, "frontend-v1")


async def test_a_host_of_another_namespace_s_rules_is_not_found(mesh):
    assert (await visit(at(mesh), 8443, "third.example.com", CA.client())).status == 404


async def test_what_does_not_fit_is_left_out_and_said(mesh):
    (status,) = [one for one in mesh.control.status() if one.workload == "ingress"]
    assert status.notes == (
        "Gateway b/second port 8443 (https-again) is left out: first.example.com is served by Gateway a/first",
        "Gateway z/third port 9100 (http) is left out: the port speaks TCP for Gateway shop/across",
    )


async def test_grpc_web_is_translated(mesh):
    headers = {"content-type": "application/grpc-web", "x-grpc-web": "1"}
    answer = await mesh.send(
        f"http://{at(mesh)}:9200/a.Service/Call", "any.example.com", "POST", headers, b"\0\0\0\0\0"
    )
    assert answer.headers["content-type"].startswith("application/grpc-web")


async def test_what_a_client_claims_to_have_been_seen_with_is_removed(mesh):
    forged = ["x-forwarded-client-cert: By=me", "x-forwarded-for: 10.9.9.9", "x-forwarded-proto: http"]
    answer = await visit(at(mesh), 8443, "first.example.com", CA.client(), headers=forged)
    seen = json.loads(answer.text)["headers"]
    assert "By=me" not in seen["x-forwarded-client-cert"]
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-for"].startswith("10.9.9.9,")
