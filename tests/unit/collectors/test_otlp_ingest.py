import asyncio
import itertools
import tracemalloc

import pytest
from clocks import FakeClock
from collector_fakes import Remembering
from otlp_fakes import request, resource, span

from collectors.errors import CollectorError
from collectors.otlp.ingest import Ingest
from collectors.otlp.limits import Limits
from collectors.peers import Peers
from graph.model import OPERATIONS, OTHER, Inventory, NodeKind, Service, ServiceRef


class Broken:
    def __init__(self) -> None:
        self.taken = []

    def append(self, raw, spans):
        self.taken.append((raw, spans))

    def flush(self):
        raise CollectorError("the disk is full")


class Forgetful:
    def observe(self, batch):
        pass


async def after(*requests, **options):
    """Take requests, let time pass, end; what it amounts to, by edge."""
    sink, live, _ = await observed(*requests, **options)
    return sink, {one.edge: one for one in live.observations}


async def observed(*requests, seconds: int = 0, traces=None, **limits):
    clock, live = FakeClock(), Remembering()
    sink = Ingest(live, clock, limits=Limits(**limits), traces=traces)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(sink.run(ready.set))
        await ready.wait()
        for one in requests:
            sink.ingest(one)
        await sink.flush()
        clock.now += seconds * 1000
        await sink.flush()
        running.cancel()
    newest = {(one.edge, one.operation, one.instance): one for one in live.observations}
    return sink, live, list(newest.values())


async def test_a_caller_whose_callee_never_answers_is_counted_once_its_time_is_over():
    call = request((resource("web"), [span("client", 1, server__address="api.example.com")]))
    sink, edges = await after(call, seconds=11)
    assert [edge.target.app for edge in edges] == ["ext:api.example.com"]
    assert sink.state.pending_spans == 0


async def test_what_is_left_over_is_counted_as_dropped_by_reason():
    lost = request((resource("web"), [span("client", 1), span("server", 2, parent=77), span("server", 3)]))
    sink, _ = await after(lost, seconds=11)
    assert sink.drops["unpaired_client_spans"] == 1
    assert sink.drops["unpaired_server_spans"] == 1


async def test_pending_spans_and_edges_are_bounded_and_what_exceeds_them_is_counted():
    calls = [
        request((resource(f"web-{number}"), [span("client", number, server__address=f"host-{number}")]))
        for number in range(1, 31)
    ]
    sink, edges = await after(*calls, seconds=11, pending_spans=20, edges=15)
    assert len(edges) == 15
    assert (sink.drops["pending_full_spans"], sink.drops["edges_full_spans"]) == (10, 5)


async def test_long_names_are_cut():
    _, edges = await after(request((resource("w" * 9999), [span("client", 1, db__system="d" * 9999)])), name_chars=100)
    [edge] = edges
    assert (len(edge.source.app), len(edge.target.app)) == (100, 103)


async def test_an_idle_edge_is_still_heard_of_and_its_count_stays():
    query = request((resource("web"), [span("client", 1, db__system="redis")]))
    _, edges = await after(query, seconds=600)
    [observation] = edges.values()
    assert observation.at_ms >= 1_600_000
    assert sum(observation.counters.requests.values()) == 1


async def test_spans_reach_the_store_as_they_came_and_one_that_fails_costs_no_edges():
    store, live = Broken(), Remembering()
    sink = Ingest(live, FakeClock(), traces=store)
    query = request((resource("web"), [span("client", 1, db__system="redis")]))
    sink.ingest(query)
    with pytest.raises(CollectorError, match="the disk is full"):
        await sink.flush()
    assert store.taken == [(query, 1)]
    assert len(live.observations) == 1


async def test_what_was_counted_is_in_the_graph_even_if_the_service_ends_in_the_middle_of_telling_it():
    live = Remembering()
    sink = Ingest(live, FakeClock())
    for number in range(1, 1001):
        sink.ingest(request((resource("web"), [span("client", number, db__system=f"db{number}")])))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(sink.run(lambda: None))
        await live.seen.wait()
        assert len(live.observations) < 1000
        running.cancel()
    assert len({one.edge for one in live.observations}) == 1000


async def test_telling_the_graph_of_many_edges_takes_no_more_memory_than_of_few():
    async def peak(edges: int) -> int:
        sink = Ingest(Forgetful(), FakeClock())
        calls = [span("client", one, db__system="redis", server__address=f"cache-{one}") for one in range(1, edges + 1)]
        sink.ingest(request((resource("web"), calls)))
        tracemalloc.start()
        await sink.flush()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert await peak(2000) < 1.5 * await peak(500)


async def test_a_retry_of_a_request_is_counted_once():
    call = request((resource("web"), [span("client", 1, db__system="redis"), span("client", 2)]))
    more = request((resource("cart"), [span("server", 3, parent=2)]))
    sink, edges = await after(call, call, more, more, call)
    assert sum(sum(one.counters.requests.values()) for one in edges.values()) == 2
    assert sink.drops["duplicate_spans"] == 5


async def test_every_span_taken_is_counted_or_dropped_for_a_reason():
    parts = [
        (resource("web"), [span("client", number, trace=trace, name=f"call {number}") for number in range(1, 30)])
        for trace in (1, 2)
    ]
    callees = (resource("cart"), [span("server", 100 + number, parent=number) for number in range(1, 60)])
    others = (
        resource("cart"),
        [span("server", 1, trace=3), span("internal", 2, trace=3), span("consumer", 3, trace=3)],
    )
    queries = (resource("db"), [span("client", number, trace=4, db__system=f"db{number}") for number in range(1, 30)])
    whole = request(*parts, callees, others, queries)
    for seconds in (0, 11, 40):
        sink, edges = await after(whole, whole, seconds=seconds, pending_spans=40, edges=20, series=10)
        state = sink.state
        assert state.spans == 2 * (29 * 2 + 59 + 3 + 29)
        assert state.spans == state.counted_spans + state.internal_spans + state.pending_spans + sum(
            sink.drops.values()
        )
        counted = sum(sum(one.counters.requests.values()) for one in edges.values())
        assert 0 < counted <= state.counted_spans


async def test_a_sampled_call_counts_for_those_that_were_left_out_and_is_told_to_be_an_estimate():
    one = span("client", 1, db__system="redis", ms=10)
    sampled = span("client", 2, db__system="redis", ms=10)
    sampled.trace_state = "ot=th:c"
    sink, _, seen = await observed(request((resource("web"), [one, sampled])))
    assert {(each.origin, sum(each.counters.requests.values())) for each in seen} == {
        ("OTLP spans", 1),
        ("OTLP spans, sampled", 4),
    }
    assert {each.counters.latency_ms.counts[-1] for each in seen} == {1, 4}
    assert sink.state.sampled_spans == 1


async def test_operations_are_named_up_to_a_bound_and_the_rest_is_one():
    spans = [span("client", number, name=f"query {number}", db__system="redis") for number in range(1, 151)]
    sink, _, seen = await observed(request((resource("web"), spans)))
    by_operation = {each.operation: sum(each.counters.requests.values()) for each in seen}
    assert len(by_operation) == OPERATIONS + 1
    assert by_operation["query 1"] == 1
    assert by_operation[OTHER] == 150 - OPERATIONS == sink.state.other_operations


async def test_no_more_series_are_kept_than_there_is_room_for_and_no_call_is_lost():
    spans = [span("client", number, name=f"query {number}", db__system=f"db{number % 5}") for number in range(1, 101)]
    sink, _, seen = await observed(request((resource("web"), spans)), series=20)
    assert len(seen) == sink.state.series <= 20 + 5
    assert sum(sum(each.counters.requests.values()) for each in seen) == 100
    assert sink.state.other_operations == sum(
        sum(each.counters.requests.values()) for each in seen if each.operation == OTHER
    )


async def test_only_what_has_changed_is_told_again():
    clock, live = FakeClock(), Remembering()
    sink = Ingest(live, clock)
    sink.ingest(request((resource("web"), [span("client", n, db__system=f"db{n}") for n in range(1, 21)])))
    await sink.flush()
    assert len(live.observations) == 20
    sink.ingest(request((resource("web"), [span("client", 21, db__system="db7")])))
    await sink.flush()
    assert [one.edge.target.app for one in live.observations[20:]] == ["db:db7"]


async def test_a_new_inventory_is_asked_from_the_next_call_on():
    cart = ServiceRef("Kubernetes", "shop", "cart")
    known = Inventory(services={cart: Service(ref=cart, kind=NodeKind.SERVICE, hosts=(), workloads=())})
    peers = [Peers(Inventory()), Peers(known)]
    live = Remembering()
    sink = Ingest(live, FakeClock(), peers=lambda: peers[0])
    for number in (1, 2):
        caller = (resource("web"), [span("client", number, server__address="cart")])
        sink.ingest(request(caller, (resource("cart"), [span("server", 10 + number, parent=number)])))
        peers.reverse()
    await sink.flush()
    assert {one.edge.service for one in live.observations} == {None, cart}


async def test_what_is_idle_is_let_go_with_its_names():
    clock, live = FakeClock(), Remembering()
    sink = Ingest(live, clock, limits=Limits(edges=3))
    query = (span("client", n, name=f"query {n}", db__system=f"db{n}") for n in itertools.count(1))
    for _ in range(3):
        sink.ingest(request((resource("web"), list(itertools.islice(query, 3)))))
        await sink.flush()
        clock.now += 3_700_000
        await sink.flush()
    assert sink.state.edges == sink.state.series == 0
    assert not any(sink.drops.values())
