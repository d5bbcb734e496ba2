"""What DestinationRules mean to the receiving end, and to gateways."""

import pytest
import pytest_asyncio
from aiohttp import web
from xds_mesh import Mesh, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: catalog}
spec:
  selector: {app: catalog}
  ports: [{name: http, port: 80, targetPort: http}, {name: web, port: 81, targetPort: http}]
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog}
spec: {host: catalog, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}}
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh(SERVICE) as mesh:
        mesh.peers = []
        await mesh.workload("frontend")
        await mesh.workload("catalog", app=noting_peers)
        await mesh.gateway("ingress", istio="ingress")
        yield mesh


async def noting_peers(mesh):
    async def answer(request):
        mesh.peers.append(request.transport.get_extra_info("peername"))
        return web.Response()

    served = web.Application()
    served.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(served, access_log=None)
    await runner.setup()
    mesh.stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner.addresses[0][1]


async def test_limits_of_connections_hold_between_a_sidecar_and_its_application(mesh):
    async def connections():
        mesh.peers.clear()
        for _ in range(4):
            assert (await mesh.get(mesh.workloads["frontend"], "catalog/")).status == 200
        return len(set(mesh.peers))

    assert await connections() == 1
    await mesh.apply(RULE)

    async def all_are_new():
        return await connections() == 4

    await until(all_are_new)


async def test_a_gateway_speaks_http1_where_no_protocol_is_declared_and_a_sidecar_what_its_application_speaks(mesh):
    def spoken(name):
        clusters = mesh.control.resources(mesh.workloads[name].grant.node_id, "clusters")
        found = next(one for one in clusters if one["name"] == "outbound|81||catalog.shop.svc.cluster.local")
        (options,) = found["typed_extension_protocol_options"].values()
        return next(name for name in options if name.endswith("_config"))

    assert (spoken("frontend"), spoken("ingress")) == ("use_downstream_protocol_config", "explicit_http_config")
