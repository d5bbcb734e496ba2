"""What real Envoys count and what programs trace, as edges of one graph."""

import asyncio

import pytest
import pytest_asyncio
from collector_fakes import Remembering, inventory
from otlp_fakes import request, resource, span
from xds_mesh import Mesh, free_echo_server, until

from collectors.otlp.ingest import Ingest
from collectors.peers import Peers
from collectors.poll import MetricsPoll
from collectors.scrape import AdminScrape
from graph.live import LiveGraph
from graph.model import GraphType, NodeKind, Reporter, Service, ServiceRef

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS = 200
PAYLOAD = 1000


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog", "v1")
        await mesh.workload("db", protocol="tcp", app=free_echo_server)
        yield mesh


@pytest.fixture
def scrape(mesh):
    return AdminScrape(mesh.registry, mesh.clock)


def words(observation):
    edge = observation.edge
    return (
        edge.source.workload,
        edge.service and edge.service.name,
        edge.target and edge.target.workload,
        edge.protocol.value,
        observation.reporter.value,
        observation.security.value,
    )


async def test_both_ends_count_every_request_and_agree(mesh, scrape):
    frontend = mesh.workloads["frontend"]
    before = {words(one): sum(one.counters.requests.values()) for one in await scrape.observe()}
    mesh.workloads["catalog-v1"].fail[500] = 7
    for _ in range(REQUESTS):
        await mesh.get(frontend, "catalog/")
    source = ("frontend", "catalog", "catalog-v1", "http", "source", "mutual_tls")
    target = ("unknown", "catalog", "catalog-v1", "http", "destination", "mutual_tls")
    seen = {words(one): one for one in await scrape.observe()}
    for who in (source, target):
        assert sum(seen[who].counters.requests.values()) - before.get(who, 0) == REQUESTS
        codes = {outcome.code: count for outcome, count in seen[who].counters.requests.items()}
        assert codes == {"200": REQUESTS - 7, "500": 7}
        assert seen[who].source_principal == "spiffe://cluster.local/ns/shop/sa/frontend"
        assert seen[who].destination_principal == "spiffe://cluster.local/ns/shop/sa/catalog"
    assert seen[source].edge.target.version == "v1"
    assert not any(state.error for state in scrape.states.values())


async def test_latency_arrives_once_the_proxies_have_flushed_it(mesh, scrape):
    await mesh.get(mesh.workloads["frontend"], "catalog/")

    async def flushed():
        return [
            one
            for one in await scrape.observe()
            if words(one)[:3] == ("frontend", "catalog", "catalog-v1")
            and one.counters.latency_ms
            and one.counters.latency_ms.counts[-1] == sum(one.counters.requests.values())
        ]

    await until(flushed)


async def test_tcp_bytes_flow_from_source_to_target_while_the_connection_lasts(mesh, scrape):
    frontend = mesh.workloads["frontend"]
    again = frontend.registration.__class__(
        **{name: getattr(frontend.registration, name) for name in frontend.registration.__slots__}
        | {"id": frontend.grant.id, "token": frontend.grant.token}
    )
    host, port = (await mesh.control.register(again)).tcp_services["db"]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(bytes(PAYLOAD))
    await reader.readexactly(PAYLOAD)
    writer.write(bytes(PAYLOAD))
    await reader.readexactly(PAYLOAD)

    async def counted():
        tcp = {words(one)[4]: one.counters for one in await scrape.observe() if words(one)[3] == "tcp"}
        return len(tcp) == 2 and all(
            (one.sent_bytes, one.received_bytes, one.opened, one.closed) == (2 * PAYLOAD, 2 * PAYLOAD, 1, 0)
            for one in tcp.values()
        )

    await until(counted)
    writer.close()


async def test_proxies_and_spans_meet_in_one_edge_of_the_graph(mesh, scrape):
    frontend = mesh.workloads["frontend"]
    live = LiveGraph(clock=mesh.clock)
    poll = MetricsPoll(scrape, live, mesh.clock)
    services = [
        Service(ref=ServiceRef("Kubernetes", "shop", name), kind=NodeKind.SERVICE, hosts=(), workloads=(), ports=ports)
        for name, ports in (("catalog", {80: "http"}), ("frontend", {80: "http"}), ("db", {80: "tcp"}))
    ]
    known = inventory(mesh.registry.current, services)
    live.inventory(known)
    peers = Peers(known, mesh.registry.current)
    traced = Remembering()
    spans = Ingest(traced, mesh.clock, peers=lambda: peers)
    await poll.once()
    live.tick(mesh.clock.now_ms())
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(spans.run(ready.set))
        await ready.wait()
        for number in range(1, 21):
            await mesh.get(frontend, "catalog/")
            caller = span(
                "client", 1, trace=number, server__address="catalog", server__port=80, http__response__status_code=200
            )
            query = span(
                "client", 3, trace=number, db__system__name="redis", server__address=frontend.address, server__port=80
            )
            callee = span("server", 2, parent=1, trace=number)
            spans.ingest(
                request((resource("frontend"), [caller, query]), (resource("catalog", version="v1"), [callee]))
            )
        await spans.flush()
        running.cancel()
    await poll.once()
    live.observe(traced.observations)
    live.tick(mesh.clock.now_ms() + 1000)
    edges = live.snapshot(GraphType.VERSIONED_APP, 60).edges.values()
    by_target = {edge.target: edge for edge in edges}
    assert len(edges) == 2
    catalog = by_target["vapp:Kubernetes/shop/catalog/v1"]
    assert {one.reporter for one in catalog.evidence} == {Reporter.SOURCE, Reporter.DESTINATION, Reporter.TRACE}
    assert catalog.signals.requests == 20
    assert Reporter.TRACE in {one.reporter for one in by_target["vapp:Kubernetes/shop/db"].evidence}
