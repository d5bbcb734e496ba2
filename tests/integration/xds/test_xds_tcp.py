"""Raw TCP between workloads: whoever speaks first, callers are known, and bytes show while connections last."""

import asyncio
from dataclasses import replace

import pytest
import pytest_asyncio
from xds_mesh import Mesh, free_echo_server, until
from xds_servers import serve_tcp

from collectors.scrape import AdminScrape
from graph.live import LiveGraph
from graph.model import GraphType

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALLERS = ("inventory", "orders")
EVERYBODY = {f"spiffe://cluster.local/ns/shop/sa/{caller}" for caller in CALLERS}


async def greeting_server(mesh):
    """A TCP application that speaks first."""

    async def greet(reader, writer):
        writer.write(b"220 ready\n")
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    return await serve_tcp(mesh, greet)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mode(mesh, "STRICT")
        await mesh.workload("db", protocol="tcp", app=free_echo_server)
        await mesh.workload("mail", protocol="tcp", app=greeting_server)
        for caller in CALLERS:
            await mesh.workload(caller)
        yield mesh


async def mode(mesh, word):
    return await mesh.apply(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
        f"metadata: {{name: default}}\nspec: {{mtls: {{mode: {word}}}}}\n"
    )


async def connect(mesh, caller, service):
    workload = mesh.workloads[caller]
    again = replace(workload.registration, id=workload.grant.id, token=workload.grant.token)
    return await asyncio.open_connection(*(await mesh.control.register(again)).tcp_services[service])


async def echoed(mesh, caller, text):
    reader, writer = await connect(mesh, caller, "db")
    writer.write(text)
    assert await reader.readexactly(len(text)) == text
    writer.close()


async def principals(mesh, service):
    page = (await mesh.admin(mesh.workloads[service], "/stats/prometheus?filter=^istio.tcp_connections_opened")).text
    series = [line for line in page.splitlines() if 'reporter="destination"' in line and not line.endswith(" 0")]
    return {line.partition('source_principal="')[2].partition('"')[0] for line in series}


async def test_every_caller_is_known_however_many_come_at_once(mesh):
    async with asyncio.TaskGroup() as group:
        for caller in CALLERS * 50:
            group.create_task(echoed(mesh, caller, caller.encode() * 1000))
    assert await principals(mesh, "db") == EVERYBODY


async def test_a_server_may_speak_first(mesh):
    for caller in CALLERS:
        reader, writer = await connect(mesh, caller, "mail")
        assert await reader.readline() == b"220 ready\n"
        writer.write(b"helo\n")
        assert await reader.readline() == b"HELO\n"
        writer.close()
    assert await principals(mesh, "mail") == EVERYBODY


async def test_a_connection_that_never_says_who_it_is_does_not_reach_the_application(mesh):
    mail = mesh.workloads["mail"]
    before = await mesh.metrics(mail, "istio_tcp_connections_opened_total", reporter="destination")
    reader, writer = await asyncio.open_connection(mail.address, 15006)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await reader.read(1)
    writer.close()
    assert await mesh.metrics(mail, "istio_tcp_connections_opened_total", reporter="destination") == before


async def test_plaintext_is_connected_at_once_where_it_is_allowed(mesh):
    await mode(mesh, "PERMISSIVE")
    try:
        # A caller that says nothing is plaintext once the listener has waited for a certificate long enough.
        reader, writer = await asyncio.open_connection(mesh.workloads["mail"].address, 15006)
        writer.write(b"helo\n")
        assert [await reader.readline(), await reader.readline()] == [b"220 ready\n", b"HELO\n"]
        writer.close()
        plain = {"reporter": "destination", "connection_security_policy": "none", "source_principal": "unknown"}
        assert await mesh.metrics(mesh.workloads["mail"], "istio_tcp_connections_opened_total", **plain) == 1
    finally:
        await mode(mesh, "STRICT")


class Watch:
    """The graph of a mesh, read when a test says so."""

    def __init__(self, mesh):
        self.clock = mesh.clock
        self.live = LiveGraph(clock=mesh.clock)
        self.scrape = AdminScrape(mesh.registry, mesh.clock)

    async def edges(self):
        self.live.observe(await self.scrape.observe())
        self.live.tick(self.clock.now_ms())
        edges = self.live.snapshot(GraphType.APP, 60).edges.values()
        return {(e.source.rpartition("/")[2], e.target.rpartition("/")[2]): e for e in edges if e.signals.sent_bps}


async def test_bytes_show_in_their_direction_while_the_connection_is_open(mesh):
    watch = Watch(mesh)
    await watch.edges()
    reader, writer = await connect(mesh, "orders", "mail")
    await reader.readline()

    async def flowing():
        writer.write(b"x" * 9_999 + b"\n")
        await reader.readline()
        return "mail" in {target for _, target in await watch.edges()}

    await until(flowing)

    async def arrived():
        writer.write(b"x" * 5_000)  # one way only: no line ends here
        await writer.drain()
        edge = (await watch.edges())["orders", "mail"].signals
        return edge.sent_bps > edge.received_bps * 1.1

    await until(arrived)
    assert set(await watch.edges()) == {("orders", "mail")}
    writer.close()


async def test_bytes_of_closed_connections_are_not_counted_twice(mesh):
    watch = Watch(mesh)
    await watch.edges()
    for _ in range(5):
        await echoed(mesh, "inventory", b"x" * 20_000)

    async def all_closed():
        edge = (await watch.edges()).get(("inventory", "db"))
        return edge and edge.signals.received_bps * edge.signals.covered_s >= 100_000

    await until(all_closed)
    for _ in range(3):
        edge = (await watch.edges())["inventory", "db"].signals
        assert edge.sent_bps * edge.covered_s == pytest.approx(100_000)
        assert edge.received_bps * edge.covered_s == pytest.approx(100_000)
        assert edge.mtls == 1
