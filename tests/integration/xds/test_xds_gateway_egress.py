"""Leaving the mesh through a gateway: mutual TLS to it, TLS of its own from there."""

import json

import pytest
import pytest_asyncio
from aiohttp import web
from own_ca import OwnCA, secret
from tls_visits import is_refused, visit
from xds_mesh import Mesh

from mesh_runtime.xds.translate import MeshSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

CA = OwnCA("outside")
MANIFESTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: http-tls, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: %(port)d, http-tls: %(port)d}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: out}
spec:
  selector: {istio: egress}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [api.example.com]
    tls: {mode: ISTIO_MUTUAL}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: to-egress}
spec:
  host: egress
  subsets:
  - name: api
    trafficPolicy:
      portLevelSettings:
      - port: {number: 443}
        tls: {mode: ISTIO_MUTUAL, sni: api.example.com}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: originate}
spec:
  host: api.example.com
  trafficPolicy:
    portLevelSettings:
    - port: {number: 443}
      tls: {mode: SIMPLE, credentialName: outside, sni: api.example.com, subjectAltNames: [api.example.com]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: through-egress}
spec:
  hosts: [api.example.com]
  gateways: [mesh, out]
  http:
  - match: [{gateways: [mesh], port: 80}]
    route: [{destination: {host: egress, subset: api, port: {number: 443}}}]
  - match: [{gateways: [out], port: 443}]
    route: [{destination: {host: api.example.com, port: {number: 443}}}]
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh(settings=MeshSettings(unprivileged_from=1024)) as mesh:
        await mesh.workload("frontend")
        await mesh.gateway("egress", ports={"https": 443, "http": 80}, istio="egress")
        outside = MANIFESTS % {"port": await outside_server(mesh)}
        await mesh.apply(f"{outside}\n---\n{secret('outside', {'cacert': CA.pem})}")
        yield mesh


async def outside_server(mesh):
    """Something outside the mesh that speaks HTTPS only."""

    async def answer(request):
        wire = request.transport.get_extra_info("ssl_object")
        return web.json_response({"tls": wire.version(), "host": request.host, "path": request.path})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    mesh.stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=CA.server(CA.issue("api.example.com"))).start()
    return runner.addresses[0][1]


async def test_requests_leave_through_the_gateway_with_tls_of_its_own(mesh):
    egress = mesh.workloads["egress"]
    labels = {"reporter": "source", "source_workload": "egress", "response_code": "200"}
    before = await mesh.metrics(egress, "istio_requests_total", **labels)
    answer = await mesh.get(mesh.workloads["frontend"], "api.example.com/a")
    assert answer.status == 200, answer.text
    assert json.loads(answer.text) == {"tls": "TLSv1.3", "host": "api.example.com", "path": "/a"}
    assert await mesh.metrics(egress, "istio_requests_total", **labels) == before + 1


async def test_the_gateway_is_for_members_of_the_mesh_only(mesh):
    assert await is_refused(visit(mesh.workloads["egress"].address, 8443, "api.example.com", CA.client()))
