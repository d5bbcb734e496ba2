"""Virtual hosts that are sent one by one: what becomes of them when they go, move, or the stream or listener is new."""

import pytest
import pytest_asyncio
from xds_mesh import NAMESPACE, Mesh, until

from mesh_runtime.api.objects import ObjectKey

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{host}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
"""
ANSWER = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: catalog}}
spec: {{hosts: [catalog], http: [{{directResponse: {{status: {status}}}}}]}}
"""
LOGGED = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs}
spec: {accessLogging: [{providers: [{name: envoy}]}]}
"""
ROUTES = ObjectKey("networking.istio.io", "VirtualService", NAMESPACE, "catalog")
PATCH = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: extra}
spec:
  configPatches:
  - applyTo: VIRTUAL_HOST
    match: {context: SIDECAR_OUTBOUND}
    patch:
      operation: ADD
      value:
        name: own/extra
        domains: [extra.example]
        routes: [{match: {prefix: /}, direct_response: {status: 418}}]
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog")
        mesh.port = await mesh.application("elsewhere")
        yield mesh


async def call(mesh, host):
    return await mesh.get(mesh.workloads["frontend"], host)


def entry(mesh, name, host):
    return ENTRY.format(name=name, host=host, port=mesh.port)


def entry_key(name):
    return ObjectKey("networking.istio.io", "ServiceEntry", NAMESPACE, name)


async def test_a_host_that_is_gone_is_unknown_and_the_others_stay(mesh):
    await mesh.apply(entry(mesh, "one", "one.shop.svc.cluster.local"))
    assert (await call(mesh, "one.shop.svc.cluster.local")).app == "elsewhere"
    await mesh.delete(entry_key("one"))
    assert (await call(mesh, "one.shop.svc.cluster.local")).status == 502
    assert (await call(mesh, "catalog")).app == "catalog"


async def test_a_name_that_goes_over_to_another_host_is_never_there_twice(mesh):
    routes = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: two}\n"
    routes += "spec: {hosts: [two.example], http: [{directResponse: {status: 418}}]}\n"
    await mesh.apply(routes)
    assert (await call(mesh, "two.example")).status == 418
    await mesh.apply(entry(mesh, "two", "two.example"))
    await mesh.delete(ObjectKey("networking.istio.io", "VirtualService", NAMESPACE, "two"))
    assert (await call(mesh, "two.example")).app == "elsewhere"
    await mesh.apply(routes)
    await mesh.delete(entry_key("two"))
    assert (await call(mesh, "two.example")).status == 418


async def test_a_new_listener_has_the_virtual_hosts_and_gets_those_that_change_later(mesh):
    await mesh.apply(LOGGED)
    assert (await call(mesh, "catalog")).app == "catalog"
    await mesh.apply(ANSWER.format(status=417))
    assert (await call(mesh, "catalog")).status == 417
    await mesh.delete(ObjectKey("telemetry.istio.io", "Telemetry", NAMESPACE, "logs"), ROUTES)
    assert (await call(mesh, "catalog")).app == "catalog"


async def test_what_changed_while_the_server_was_away_is_made_up_for(mesh):
    await mesh.apply(entry(mesh, "one", "one.shop.svc.cluster.local"))
    await mesh.stop_control()
    assert (await call(mesh, "one.shop.svc.cluster.local")).app == "elsewhere"
    await mesh.apply(ANSWER.format(status=416), settle=False)
    await mesh.delete(entry_key("one"), settle=False)
    await mesh.start_control()

    async def follows():
        return (await call(mesh, "catalog")).status == 416 and (
            await call(mesh, "one.shop.svc.cluster.local")
        ).status == 502

    await until(follows)
    await mesh.delete(ROUTES)
    assert (await call(mesh, "catalog")).app == "catalog"


async def test_a_virtual_host_of_an_envoy_filter_is_sent_whatever_its_name(mesh):
    await mesh.apply(PATCH)
    assert (await call(mesh, "extra.example")).status == 418
    await mesh.delete(ObjectKey("networking.istio.io", "EnvoyFilter", NAMESPACE, "extra"))
    assert (await call(mesh, "extra.example")).status != 418
    assert (await call(mesh, "catalog")).app == "catalog"
