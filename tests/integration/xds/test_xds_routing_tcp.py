"""Where VirtualServices send connections, by what clients hear."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
import pytest_asyncio
from xds_mesh import Mesh
from xds_servers import serve_tcp

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: db}
spec:
  host: db
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
"""
HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: db}\nspec:\n  hosts: [db]\n  tcp: "


def named_server(name):
    """An application that says who it is."""

    async def start(mesh):
        async def greet(_, writer):
            writer.write(name.encode())
            writer.close()

        return await serve_tcp(mesh, greet)

    return start


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        for version in ("v1", "v2"):
            await mesh.workload("db", version, protocol="tcp", app=named_server(version))
        await mesh.workload("frontend")
        await mesh.workload("reports", namespace="office")
        await mesh.apply(SUBSETS)
        yield mesh


async def greeting(mesh, caller, service="db"):
    workload = mesh.workloads[caller]
    again = replace(workload.registration, id=workload.grant.id, token=workload.grant.token)
    reader, writer = await asyncio.open_connection(*(await mesh.control.register(again)).tcp_services[service])
    heard = await reader.read()
    writer.close()
    return heard.decode()


def to(subset, weight=""):
    return f"{{destination: {{host: db, subset: {subset}}}{weight}}}"


async def test_connections_are_split_by_weights_that_are_relative(mesh):
    await mesh.apply(f"{HEAD}[{{route: [{to('v1', ', weight: 1')}, {to('v2', ', weight: 3')}]}}]")
    heard = Counter([await greeting(mesh, "frontend") for _ in range(120)])
    assert 12 <= heard["v1"] <= 50
    assert heard["v2"] == 120 - heard["v1"]


async def test_rules_for_connections_know_who_calls(mesh):
    await mesh.apply(
        f"{HEAD}[{{match: [{{sourceLabels: {{app: nobody}}}}, {{sourceNamespace: office}}], route: [{to('v2')}]}},"
        f" {{match: [{{sourceLabels: {{app: frontend}}}}], route: [{to('v1')}]}}]"
    )
    assert {await greeting(mesh, "frontend") for _ in range(6)} == {"v1"}
    assert {await greeting(mesh, "reports.office", "db.shop") for _ in range(6)} == {"v2"}


async def test_connections_that_no_rule_is_for_go_where_they_would_without(mesh):
    await mesh.apply(f"{HEAD}[{{match: [{{port: 1}}], route: [{to('v1')}]}}]")
    assert {await greeting(mesh, "frontend") for _ in range(20)} == {"v1", "v2"}
