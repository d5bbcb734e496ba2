"""A gateway: which hosts and ports it opens, and where they lead."""

import pytest
import pytest_asyncio
from xds_mesh import Mesh

from mesh_runtime.xds.translate import MeshSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

GATEWAY = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress}
spec:
  selector: {istio: ingress}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*.example.com", "shop/plain.test"]
  - port: {number: 9080, name: more, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog}
spec:
  host: catalog
  subsets:
  - {name: v1, labels: {version: v1}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com, elsewhere.org]
  gateways: [ingress]
  http:
  - match: [{uri: {prefix: /catalog}}]
    route: [{destination: {host: catalog, subset: v1}}]
    rewrite: {uri: /}
  - match: [{gateways: [mesh]}]
    directResponse: {status: 418}
  - route: [{destination: {host: frontend}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: special}
spec:
  hosts: [shop.example.com]
  gateways: [shop/ingress]
  http:
  - match: [{uri: {prefix: /special}}]
    route: [{destination: {host: catalog}}]
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    # As for a user who may not bind ports below 1024.
    async with Mesh(settings=MeshSettings(unprivileged_from=1024)) as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog", "v1")
        await mesh.gateway("ingress", istio="ingress")
        await mesh.apply(GATEWAY)
        yield mesh


def call(mesh, host, path="", port=8080):
    return mesh.send(f"http://{mesh.workloads['ingress'].address}:{port}/{path}", host)


async def test_a_port_that_may_not_be_bound_is_opened_at_8000_more_and_both_are_shown(mesh):
    (gateway,) = mesh.control.gateways()
    assert (gateway.workload, gateway.ports) == ("ingress", {80: 8080, 9080: 9080})
    assert (await call(mesh, "shop.example.com")).status == 200


@pytest.mark.parametrize("host", ["shop.example.com", "shop.example.com:8080", "shop.example.com:80"])
async def test_a_host_is_served_whichever_port_the_client_names(mesh, host):
    assert (await call(mesh, host)).app == "frontend"


async def test_rules_lead_through_mutual_tls_to_workloads(mesh):
    answer = await call(mesh, "shop.example.com", "catalog/books")
    assert answer.app == "catalog-v1"
    assert "URI=spiffe://cluster.local/ns/shop/sa/ingress" in answer.seen["headers"]["x-forwarded-client-cert"]


async def test_several_virtual_services_share_a_host_and_the_one_for_everything_comes_last(mesh):
    assert (await call(mesh, "shop.example.com", "special")).app == "catalog-v1"


@pytest.mark.parametrize("host", ["elsewhere.org", "other.example.com", "plain.test"])
async def test_a_host_that_gateway_and_rules_do_not_share_is_not_found_and_counted(mesh, host):
    ingress = mesh.workloads["ingress"]
    before = await mesh.metrics(ingress, "istio_requests_total", response_code="404", response_flags="NR")
    assert (await call(mesh, host)).status == 404
    assert await mesh.metrics(ingress, "istio_requests_total", response_code="404", response_flags="NR") == before + 1


async def test_a_server_for_every_host_serves_all_that_rules_name(mesh):
    assert (await call(mesh, "elsewhere.org", port=9080)).app == "frontend"


async def test_gateway_rules_are_not_for_sidecars(mesh):
    assert (await mesh.get(mesh.workloads["frontend"], "shop.example.com/")).status != 200


async def test_a_gateway_reports_as_the_source(mesh):
    ingress = mesh.workloads["ingress"]
    labels = {"reporter": "source", "source_workload": "ingress", "destination_workload": "frontend"}
    before = await mesh.metrics(ingress, "istio_requests_total", connection_security_policy="mutual_tls", **labels)
    await call(mesh, "shop.example.com")
    after = await mesh.metrics(ingress, "istio_requests_total", connection_security_policy="mutual_tls", **labels)
    assert after == before + 1


async def test_a_gateway_that_is_changed_opens_and_closes_ports(mesh):
    await mesh.apply(
        """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: late}
spec:
  selector: {istio: ingress}
  servers: [{port: {number: 9081, name: http, protocol: HTTP}, hosts: ["*"]}]
"""
    )
    assert (await call(mesh, "nobody", port=9081)).status == 404
