"""What a client that tunnels through its sidecar by CONNECT finds: the mesh, as without a tunnel, or a plain refusal."""

import asyncio
import json
import os
import sys
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from xds_mesh import PATIENCE_S, Answer, Mesh, free_echo_server, until
from xds_servers import free_grpc_server

from collectors.scrape import AdminScrape
from graph.model import Protocol

pytestmark = pytest.mark.asyncio(loop_scope="module")

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""
SPLIT = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog}
spec:
  host: catalog
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog}
spec:
  hosts: [catalog]
  http:
  - match: [{uri: {prefix: /new}}]
    route: [{destination: {host: catalog, subset: v2}}]
  - route:
    - {destination: {host: catalog, subset: v1}, weight: 70}
    - {destination: {host: catalog, subset: v2}, weight: 30}
"""
NOWHERE = {"response_code": "502", "response_flags": "NC", "destination_service_name": "BlackHoleCluster"}
CLIENT = """
import grpc, sys
with grpc.insecure_channel(sys.argv[1]) as channel:
    try:
        print(channel.unary_unary("/rates/ok")(b"7", timeout=60))
    except grpc.RpcError as refused:
        print(refused.code().name, refused.details())
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh(STRICT) as mesh:
        await mesh.workload("frontend")
        for version in ("v1", "v2"):
            await mesh.workload("catalog", version)
        await mesh.workload("rates", protocol="grpc", app=free_grpc_server)
        await mesh.workload("db", protocol="tcp", app=free_echo_server)
        await mesh.apply(SPLIT)
        yield mesh


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


def channel(caller, target):
    return grpc.aio.insecure_channel(target, options=[("grpc.http_proxy", f"http://{caller.address}:15001")])


class Tunnel:
    """One connection to a sidecar, with the answer to its CONNECT."""

    def __init__(self, frontend, target):
        self._frontend = frontend
        self._target = target

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(self._frontend.address, 15001)
        self.answer = await self.send(f"CONNECT {self._target} HTTP/1.1\r\nhost: {self._target}\r\n\r\n")
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    async def get(self, host, path="/"):
        return await self.send(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")

    async def send(self, request):
        async with asyncio.timeout(PATIENCE_S):
            self.writer.write(request.encode())
            head, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
            return Answer(int(head.split()[1]), headers, body.decode())


def through_a_tunnel(frontend, target, paths):
    """Ask one service for paths, as a program does whose HTTP library was told to tunnel. Returns who answered."""
    connection = HTTPConnection(frontend.address, 15001, timeout=60)
    connection.set_tunnel(*target)
    answered = []
    for path in paths:
        connection.request("GET", path)
        answered.append(json.load(connection.getresponse())["app"])
    connection.close()
    return answered


async def all_closed(mesh, frontend):
    """Wait for the end of every tunnel, which is when it would be counted."""
    line = 'envoy_cluster_upstream_cx_active{envoy_cluster_name="tunnel"} 0'

    async def closed():
        return line in (await mesh.admin(frontend, "/stats/prometheus?filter=upstream_cx_active")).text

    await until(closed)


async def counted(mesh, proxy, **labels):
    return await mesh.metrics(proxy, "istio_requests_total", **labels)


async def answered(mesh, proxy):
    """Requests that it counted as a caller."""
    return await counted(mesh, proxy, reporter="source", response_code="200")


async def test_a_grpc_client_reaches_a_service_and_both_ends_count_its_outcomes_and_messages(mesh, frontend):
    before = await answered(mesh, frontend)
    async with channel(frontend, "rates:80") as rates:
        assert await rates.unary_unary("/rates/ok")(b"7") == b"7"
        assert [each async for each in rates.unary_stream("/rates/count")(b"")] == [b"1", b"2", b"3"]
        with pytest.raises(grpc.aio.AioRpcError, match="no such rate"):
            await rates.unary_unary("/rates/missing")(b"")
    await all_closed(mesh, frontend)
    for proxy, reporter in ((frontend, "source"), (mesh.workloads["rates"], "destination")):
        labels = {
            "reporter": reporter,
            "request_protocol": "grpc",
            "response_code": "200",
            "destination_workload": "rates",
            "destination_service": "rates.shop.svc.cluster.local",
            "connection_security_policy": "mutual_tls",
        }
        outcomes = [await counted(mesh, proxy, grpc_response_status=code, **labels) for code in ("0", "5")]
        assert outcomes == [2, 1]
        of_calls = {name: labels[name] for name in ("reporter", "request_protocol", "destination_workload")}
        messages = [
            await mesh.metrics(proxy, f"istio_{way}_messages_total", **of_calls) for way in ("request", "response")
        ]
        assert messages == [3, 4]
    drawn = [
        one for one in await AdminScrape(mesh.registry, mesh.clock).observe() if one.edge.protocol is Protocol.GRPC
    ]
    assert [(one.counters.request_messages, one.counters.response_messages) for one in drawn] == [(3, 4)] * 2
    assert await answered(mesh, frontend) == before + 3  # none of them is the tunnel


async def asked_by_a_program(caller, target):
    """What a gRPC client in a process of its own is answered: it goes on trying behind one's back while it lives."""
    proxy = f"http://{caller.address}:15001"
    variables = {**os.environ, "http_proxy": proxy, "no_proxy": "127.0.0.1,localhost,::1"}
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, target),
        env=variables,
        cwd=Path(__file__).parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await client.communicate()
    return output.decode().strip()


async def test_a_grpc_client_needs_nothing_but_the_proxy_variable(frontend):
    assert await asked_by_a_program(frontend, "rates:80") == "b'7'"


async def test_a_grpc_client_is_told_at_once_that_a_service_is_unknown(mesh):
    caller = mesh.workloads["catalog-v1"]
    before = await counted(mesh, caller, **NOWHERE)
    answer = await asked_by_a_program(caller, "nobody:80")
    assert answer.startswith("UNAVAILABLE")
    assert "502" in answer
    assert await counted(mesh, caller, **NOWHERE) > before


async def test_requests_in_a_tunnel_are_split_and_matched_like_all_others(mesh, frontend):
    await all_closed(mesh, frontend)
    before = await answered(mesh, frontend)
    paths = ["/new/things", *["/"] * 200]
    matched, *rest = await asyncio.to_thread(through_a_tunnel, frontend, ("catalog", 80), paths)
    assert matched == "catalog-v2"
    split = Counter(rest)
    assert set(split) == {"catalog-v1", "catalog-v2"}
    assert 28 <= split["catalog-v2"] <= 92  # 60 +- 4.9 sigma: one in a million
    await all_closed(mesh, frontend)
    assert await answered(mesh, frontend) == before + 201
    assert await counted(mesh, frontend, reporter="source", destination_workload="catalog-v2") >= split["catalog-v2"]


async def test_an_unknown_host_in_a_tunnel_is_refused_and_counted(mesh, frontend):
    before = await counted(mesh, frontend, **NOWHERE)
    async with Tunnel(frontend, "catalog:80") as tunnel:
        answer = await tunnel.get("nobody")
    assert answer.status == 502
    assert "nobody: there is no such service" in answer.text
    assert await counted(mesh, frontend, **NOWHERE) == before + 1


@pytest.mark.parametrize("target", ["nobody:80", "catalog:443", "catalog.shop:443"])
async def test_a_tunnel_to_a_name_or_port_that_the_mesh_does_not_have_is_refused_and_counted(mesh, frontend, target):
    before = await counted(mesh, frontend, **NOWHERE)
    async with Tunnel(frontend, target) as tunnel:
        assert tunnel.answer.status == 502
        assert tunnel.answer.text.startswith(f"{target}: there is no such service in the mesh, or no such port of it")
    assert await counted(mesh, frontend, **NOWHERE) == before + 1


async def test_raw_bytes_reach_a_service_through_a_tunnel(mesh, frontend):
    opened = {"reporter": "source", "destination_service_name": "db", "connection_security_policy": "mutual_tls"}
    before = await mesh.metrics(frontend, "istio_tcp_connections_opened_total", **opened)
    async with Tunnel(frontend, "db:80") as tunnel:
        assert tunnel.answer.status == 200
        tunnel.writer.write(b"hello")
        assert await tunnel.reader.readexactly(5) == b"hello"
    assert await mesh.metrics(frontend, "istio_tcp_connections_opened_total", **opened) == before + 1


async def test_tls_to_a_plain_port_ends_at_once(frontend):
    async with Tunnel(frontend, "catalog:80") as tunnel:
        assert tunnel.answer.status == 200
        tunnel.writer.write(bytes.fromhex("16030100c8010000c40303") + bytes(200))
        async with asyncio.timeout(PATIENCE_S):
            assert (await tunnel.reader.read()).startswith(b"HTTP/1.1 400")


async def test_a_program_is_told_why_its_tunnel_is_refused(frontend):
    with pytest.raises(OSError, match="502 Bad Gateway"):
        await asyncio.to_thread(through_a_tunnel, frontend, ("payments", 443), ["/"])


async def test_a_tunnel_outlives_a_change_of_the_routes_and_follows_it(mesh, frontend):
    async with Tunnel(frontend, "catalog:80") as tunnel:
        await mesh.apply(SPLIT.replace("weight: 70", "weight: 0").replace("weight: 30", "weight: 100"))
        assert {(await tunnel.get("catalog")).app for _ in range(10)} == {"catalog-v2"}
        await mesh.apply(SPLIT)
