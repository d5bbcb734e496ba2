import asyncio

import pytest
from collector_fakes import FakeClock, Remembering
from otlp_fakes import request, resource, span

from collectors.errors import CollectorError
from collectors.otlp.ingest import Ingest
from collectors.otlp.limits import Limits


class Broken:
    def append(self, raw, spans):
        pass

    def flush(self):
        raise CollectorError("the disk is full")


async def after(*requests, seconds: int = 0, traces=None, **limits):
    """Take requests, let time pass, end; what it amounts to."""
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
    return sink, {one.edge: one for one in live.observations}


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


async def test_a_store_that_fails_costs_no_edges_and_is_told():
    query = request((resource("web"), [span("client", 1, db__system="redis")]))
    sink, edges = await after(query, traces=Broken())
    assert len(edges) == 1
    assert (sink.drops["store_failed_spans"], sink.state.store_error) == (1, "the disk is full")


async def test_a_worker_that_breaks_ends_the_service_so_that_it_is_started_again():
    class Unforeseen(Broken):
        def append(self, raw, spans):
            raise RuntimeError("a bug")

    clock = FakeClock()
    sink = Ingest(Remembering(), clock, traces=Unforeseen())
    sink.ingest(request((resource("web"), [span("server", 1)])))
    with pytest.raises(RuntimeError, match="a bug"):
        await sink.run(lambda: None)
