"""CUSTOM policies: a server of the mesh decides."""

import grpc
import pytest
import pytest_asyncio
import yaml
from aiohttp import web
from xds_mesh import Mesh, mesh_config, until

from mesh_runtime.api.objects import ObjectKey
from mesh_runtime.xds import protos

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESH = """
extensionProviders:
- name: by-http
  envoyExtAuthzHttp:
    service: judge.shop.svc.cluster.local
    port: 80
    timeout: 2s
    pathPrefix: /check
    includeRequestHeadersInCheck: [x-pass]
    includeAdditionalHeadersInCheck: {x-asked-by: mesh}
    headersToUpstreamOnAllow: [x-judged]
    headersToDownstreamOnDeny: [x-why]
- name: by-grpc
  envoyExtAuthzGrpc: {service: clerk.shop.svc.cluster.local, port: 80, timeout: 2s}
- name: nowhere
  envoyExtAuthzHttp: {service: nobody.shop.svc.cluster.local, port: 80}
"""
CONFIG = f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: catalog}}
spec:
  host: catalog
  trafficPolicy: {{connectionPool: {{http: {{maxRequestsPerConnection: 1}}}}}}
---
{mesh_config(MESH)}
"""


async def judge(mesh):
    async def check(request):
        mesh.asked.append((request.path, dict(request.headers)))
        if request.headers.get("x-pass") == "yes":
            return web.Response(headers={"x-judged": "fine"})
        return web.Response(status=403, text="no", headers={"x-why": "no pass"})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", check)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    mesh.stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner.addresses[0][1]


async def clerk(mesh):
    async def check(request, _context):
        allowed = request.attributes.request.http.headers.get("x-pass") == "yes"
        return protos.message("envoy.service.auth.v3.CheckResponse", {"status": {"code": 0 if allowed else 7}})

    handler = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=protos.message_class("envoy.service.auth.v3.CheckRequest").FromString,
        response_serializer=lambda answer: answer.SerializeToString(),
    )
    server = grpc.aio.server()
    service = "envoy.service.auth.v3.Authorization"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Check": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    mesh.stack.push_async_callback(server.stop, None)
    return port


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        mesh.asked = []
        await mesh.workload("frontend")
        await mesh.workload("catalog")
        await mesh.workload("judge", app=judge)
        await mesh.workload("clerk", app=clerk, protocol="grpc")
        await mesh.apply(CONFIG)
        yield mesh


async def custom(mesh, provider, path):
    rules = [{"to": [{"operation": {"paths": [path]}}]}]
    spec = {
        "selector": {"matchLabels": {"app": "catalog"}},
        "action": "CUSTOM",
        "provider": {"name": provider},
        "rules": rules,
    }
    head = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": provider}}
    await mesh.apply(yaml.safe_dump({**head, "spec": spec}))


async def ask(mesh, path, **headers):
    return await mesh.get(mesh.workloads["frontend"], f"catalog/{path}", headers=headers)


async def test_a_server_is_asked_with_http_and_only_about_what_the_rules_match(mesh):
    await custom(mesh, "by-http", "/private*")
    assert (await ask(mesh, "public")).status == 200
    assert not mesh.asked
    refused = await ask(mesh, "private/x")
    assert (refused.status, refused.text, refused.headers["x-why"]) == (403, "no", "no pass")
    allowed = await ask(mesh, "private/x", **{"x-pass": "yes"})
    assert allowed.seen["headers"]["x-judged"] == "fine"
    path, headers = mesh.asked[-1]
    assert path == "/check/private/x"
    assert headers["x-asked-by"] == "mesh"


async def test_a_server_is_asked_with_grpc(mesh):
    await custom(mesh, "by-grpc", "/secret")
    assert (await ask(mesh, "secret")).status == 403
    assert (await ask(mesh, "secret", **{"x-pass": "yes"})).status == 200
    assert (await ask(mesh, "other")).status == 200


@pytest.mark.parametrize("provider", ["nowhere", "unknown"])
async def test_what_nobody_can_be_asked_about_is_denied(mesh, provider):
    await custom(mesh, provider, "/closed")
    assert (await ask(mesh, "closed")).status == 403
    assert (await ask(mesh, "open")).status == 200
    await mesh.delete(ObjectKey("security.istio.io", "AuthorizationPolicy", "shop", provider))


@pytest.mark.parametrize(("action", "method"), [("ALLOW", "GET"), ("DENY", "POST")])
async def test_a_custom_policy_is_asked_before_all_others_and_does_not_decide_for_them(mesh, action, method):
    await custom(mesh, "by-http", "/both")
    rules = [{"to": [{"operation": {"methods": [method]}}]}]
    head = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "method"}}
    spec = {"rules": rules, "action": action, "selector": {"matchLabels": {"app": "catalog"}}}
    await mesh.apply(yaml.safe_dump({**head, "spec": spec}))

    def post(**headers):
        return mesh.get(mesh.workloads["frontend"], "catalog/both", method="POST", headers=headers)

    async def refused():
        return (await post()).text == "no"

    await until(refused)
    assert (await ask(mesh, "both", **{"x-pass": "yes"})).status == 200
    posted = await post(**{"x-pass": "yes"})
    assert (posted.status, posted.text) == (403, "RBAC: access denied")
