"""A mesh of which every call is known: what proxies and applications tell of it comes out as what happened."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from clocks import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st
from known_truth import T0, Mesh, by_class, ends, envoy, istio, quantile, requests, spans, target, without_flags

from collectors.dialects import known
from collectors.exposition import Exposition
from collectors.otlp.ingest import Ingest
from collectors.peers import Peers
from graph.live import LiveGraph
from graph.model import GraphType, Inventory, NodeKind, Service, ServiceRef, WorkloadRef

SEEDS = st.integers(0, 2**32)
EVERY_S = 5
few = settings(max_examples=3)
"""A mesh is large: what matters is how much happens in one."""
REPORTS = {"istio": istio, "envoy": envoy}
LONG_S = 3600


def scraped(mesh, dialect, *, keep=lambda _scrape: True, side=""):
    """Give the graph that saw these pages, or only one side's series of them, and when which process was read."""
    exposition = Exposition(known()[dialect], cluster="Kubernetes")
    graph, read = LiveGraph(clock=FakeClock(T0)), defaultdict(list)
    for one in mesh.scrapes(lambda call: (said for said in REPORTS[dialect](call) if side in said[1]), EVERY_S):
        if keep(one):
            about = {"instance": one.replica.pod, "epoch": one.since_ms, "at_ms": one.at_ms, "origin": "page"}
            graph.observe(exposition.read(one.page(), **about, target=target(one.replica)))
            read[one.replica].append(one.at_ms)
        if one.replica == mesh.REPLICAS[-1]:
            graph.tick(one.at_ms)
    return graph, read


def finest(graph, window_s=LONG_S):
    return graph.snapshot(GraphType.FINEST, window_s)


@given(SEEDS)
@few
def test_istios_pages_come_out_to_the_request_by_status_and_flags_whatever_restarts(seed):
    mesh = Mesh(seed)
    mesh.restart(8, every_s=EVERY_S)
    graph, _ = scraped(mesh, "istio")
    assert ends(finest(graph)) == mesh.truth()
    for kind in GraphType:
        errors = sum(edge.signals.errors for edge in graph.snapshot(kind, LONG_S).edges.values())
        assert errors == sum(call.fate.caller.failed for call in mesh.calls), kind


@given(SEEDS)
@few
def test_envoys_pages_count_each_request_once_by_its_last_answer(seed):
    mesh = Mesh(seed)
    mesh.restart(8, every_s=EVERY_S)
    graph, _ = scraped(mesh, "envoy")
    assert ends(finest(graph)) == by_class(mesh.truth())


@given(SEEDS)
@few
def test_where_callers_tell_nothing_callees_count_each_attempt(seed):
    mesh = Mesh(seed)
    graph, _ = scraped(mesh, "istio", side='reporter="destination"')
    assert ends(finest(graph)) == mesh.arrived()


@given(SEEDS, st.floats(0.1, 0.9))
@few
def test_missed_pages_cost_what_only_they_told_and_nothing_more(seed, missed):
    mesh = Mesh(seed)
    mesh.restart(12)
    graph, read = scraped(
        mesh, "istio", side='reporter="source"', keep=lambda one: one.at_ms == T0 or mesh.chance.random() > missed
    )
    unread = mesh.unread(read)
    for route, ended in mesh.truth().items():
        assert ends(finest(graph)).get(route, Counter()).total() == ended.total() - unread[route]


@pytest.mark.parametrize("dialect", REPORTS)
@pytest.mark.parametrize("window_s", [10, 60, 240])
def test_rates_are_those_of_the_time_covered_and_quantiles_lie_in_the_bucket_of_the_true_ones(dialect, window_s):
    mesh = Mesh(7)
    graph, _ = scraped(mesh, dialect)
    edges = finest(graph, window_s).edges.values()
    assert edges
    for edge in edges:
        signals = edge.signals
        assert signals.covered_s == pytest.approx(window_s, rel=0.05)
        since_ms = mesh.end_ms - 1000 * signals.covered_s
        calls = [one for one in mesh.calls if one.at_ms > since_ms and is_on(edge.keys[0], one, dialect)]
        assert signals.rate == pytest.approx(len(calls) / signals.covered_s, rel=0.01)
        if calls:
            assert signals.mean_ms == pytest.approx(sum(one.took_ms for one in calls) / len(calls))
            for share, shown in ((0.5, signals.p50_ms), (0.95, signals.p95_ms), (0.99, signals.p99_ms)):
                low, high = quantile(calls, share)
                assert low <= shown <= high


def is_on(edge, call, dialect):
    """Whether a call is on an edge: Istio tells which workload answered, if any; Envoy's clusters are services."""
    if (edge.source.workload, edge.service.name) != call.route:
        return False
    if dialect == "envoy":
        return call.fate.caller.code != "0"
    reached = call.callee.workload if call.fate.callee else ""
    return (edge.target.workload if edge.target else "") == reached


INVENTORY = Inventory(
    services={
        (ref := ServiceRef("Kubernetes", "shop", name)): Service(
            ref=ref,
            kind=NodeKind.SERVICE,
            hosts=(),
            workloads=tuple(
                WorkloadRef("Kubernetes", "shop", f"{name}-{version}", name, version)
                for version in sorted({one.version for one in Mesh.REPLICAS if one.app == name})
            ),
        )
        for name in ("cart", "mail", "stock")
    }
)


PEERS = Peers(INVENTORY)


async def traced(told, *, wait_s=60):
    """Give the graph that took these spans, a thousand a second, and the receiver that took them."""
    clock = FakeClock(T0)
    graph = LiveGraph(clock=clock)
    ingest = Ingest(graph, clock, peers=lambda: PEERS)
    for number, request in enumerate(requests(told), 1):
        ingest.ingest(request)
        if number % 10 == 0:
            await ingest.flush()
            clock.now += 1000
    clock.now += 1000 * wait_s
    await ingest.flush()
    graph.tick(clock.now)
    return graph, ingest


@given(SEEDS)
@few
async def test_spans_in_any_order_some_of_them_twice_come_out_to_the_request_by_status(seed):
    mesh = Mesh(seed, seconds=120)
    told = spans(mesh.calls)
    repeated = mesh.chance.sample(told, len(told) // 10)
    graph, ingest = await traced(mesh.disorder([*told, *repeated]))
    assert ends(finest(graph)) == without_flags(mesh.truth())
    assert ingest.drops["duplicate_spans"] == len(repeated)
    retried = sum(max(0, len(one.fate.callee) - 1) for one in mesh.calls)
    assert ingest.drops["unpaired_server_spans"] == retried, "a callee that was asked again answers one call"


@given(SEEDS, st.floats(0.02, 0.5))
@few
async def test_spans_that_are_lost_or_come_too_late_cost_no_more_than_their_calls(seed, share):
    mesh = Mesh(seed, seconds=120)
    told = spans(mesh.calls)
    lost = {id(one) for one in told if mesh.chance.random() < share}
    graph, ingest = await traced([one for one in mesh.disorder(told) if id(one) not in lost])
    callers = {one.call.number for one in told if id(one) not in lost and one.sender == one.call.caller}
    assert ends(finest(graph)) == without_flags(mesh.truth(of=lambda call: call.number in callers))
    assert ingest.state.spans == ingest.state.counted_spans + sum(ingest.drops.values())


@given(SEEDS)
@few
async def test_of_sampled_traces_each_counts_for_those_left_out_and_others_for_themselves(seed):
    mesh = Mesh(seed, seconds=120)
    sampled = [one for one in mesh.calls if one.number % 2]
    kept = [one for one in sampled if mesh.chance.random() < 0.25]
    others = [one for one in mesh.calls if not one.number % 2]
    graph, ingest = await traced(mesh.disorder([*spans(kept, state="ot=th:c"), *spans(others)]))
    counted = sum(ended.total() for ended in ends(finest(graph)).values())
    assert counted == 4 * len(kept) + len(others)
    assert abs(counted - len(mesh.calls)) < 5 * 4 * (len(sampled) * 0.25 * 0.75) ** 0.5
    assert 0 < ingest.state.sampled_spans <= len(spans(kept))
