"""The laws that keep the graph true, on whatever readings come."""

from __future__ import annotations

from dataclasses import replace

import pytest
from clocks import FixedClock
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.differ import apply, delta
from graph.frames import decode, encode
from graph.health import ANNOTATION
from graph.history import rebuild
from graph.ledger import Ledger
from graph.live import LiveGraph
from graph.model import (
    Counters,
    EdgeKey,
    GraphType,
    Histogram,
    Inventory,
    NodeKind,
    Observation,
    Outcome,
    Protocol,
    Reporter,
    Security,
    Service,
    ServiceRef,
    Workload,
    WorkloadRef,
)

laws = settings(max_examples=60, deadline=None)
"""Two cores shared by everything: time says nothing about a law."""

T0 = 1_700_000_000_000
OK, FAILED = Outcome("200", "", "-"), Outcome("503", "", "UF")
BOUNDS = (1.0, 10.0, 100.0, float("inf"))


WORKLOADS = [WorkloadRef("c", "ns", f"{app}-{version}", app, version) for app in "ab" for version in ("v1", "v2")]
EDGES = st.builds(
    lambda source, target, protocol: EdgeKey(source, ServiceRef("c", "ns", target.app), target, protocol),
    st.sampled_from(WORKLOADS),
    st.sampled_from(WORKLOADS),
    st.sampled_from([Protocol.HTTP, Protocol.GRPC]),
)
SERIES = st.tuples(EDGES, st.sampled_from([Reporter.SOURCE, Reporter.DESTINATION]), st.sampled_from(["i1", "i2"]))
STEPS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), min_size=1, max_size=5)
HISTORIES = st.dictionaries(SERIES, st.lists(STEPS, min_size=1, max_size=3), min_size=1, max_size=5)
"""Per series its runs, each a list of (requests that went well, that failed) between two readings."""


def counters(ok: int, failed: int) -> Counters:
    total = float(ok + failed)
    return Counters(
        requests={outcome: float(count) for outcome, count in ((OK, ok), (FAILED, failed)) if count},
        latency_ms=Histogram(BOUNDS, (0.0, float(ok), total, total), 5.0 * ok + 50.0 * failed) if total else None,
    )


def readings(histories) -> list[Observation]:
    """What the instances say, run after run, a reading per second."""
    told = []
    for (edge, reporter, instance), runs in histories.items():
        second = 0
        for run in runs:
            epoch, ok, failed = T0 + second, 0, 0
            for more_ok, more_failed in run:
                second, ok, failed = second + 1, ok + more_ok, failed + more_failed
                told.append(
                    Observation(
                        edge=edge,
                        reporter=reporter,
                        instance=instance,
                        epoch=epoch,
                        at_ms=T0 + 1000 * second,
                        counters=counters(ok, failed),
                        security=Security.MUTUAL_TLS,
                    )
                )
    return told


def truth(histories, chosen=lambda _key: True) -> int:
    """All requests that the instances counted."""
    return sum(sum(step) for key, runs in histories.items() if chosen(key) for run in runs for step in run)


def contents(ledger: Ledger) -> dict[object, float]:
    return {
        (ledger.series[series].key, ledger.columns[column]): value
        for series, column, value in zip(ledger.cells.series, ledger.cells.column, ledger.cells.values, strict=True)
        if value
    }


def folded(batch) -> dict[object, float]:
    ledger = Ledger(T0)
    ledger.fold(batch)
    return contents(ledger)


def watched(batches) -> LiveGraph:
    graph = LiveGraph(clock=FixedClock(T0))
    for second, batch in enumerate(batches, start=1):
        graph.observe(batch)
        graph.tick(T0 + 1000 * second)
    return graph


def by_second(told) -> list[list[Observation]]:
    last = max(one.at_ms for one in told)
    return [[one for one in told if one.at_ms == at] for at in range(T0 + 1000, last + 1000, 1000)]


@given(HISTORIES, st.randoms(use_true_random=False))
@laws
def test_folding_does_not_depend_on_order(histories, chance):
    told = readings(histories)
    shuffled = list(told)
    chance.shuffle(shuffled)
    assert folded(shuffled) == folded(told)


@given(HISTORIES, st.randoms(use_true_random=False))
@laws
def test_folding_is_idempotent(histories, chance):
    told = readings(histories)
    repeated = [*told, *chance.choices(told, k=len(told))]
    assert folded(repeated) == folded(told)
    chance.shuffle(repeated)
    assert folded(repeated) == folded(told)


@given(HISTORIES)
@laws
def test_restarts_lose_nothing(histories):
    counted = sum(
        value
        for (_, column), value in folded(readings(histories)).items()
        if not isinstance(column, str) and len(column) == 2 and column[0] in set(Protocol)
    )
    assert counted == truth(histories)


@given(HISTORIES)
@laws
def test_restarts_without_a_new_epoch_are_seen_when_a_counter_falls(histories):
    told = [replace(one, epoch=T0) for one in readings(histories)]
    ledger = Ledger(T0)
    ledger.fold(told)
    for key, runs in histories.items():
        expected, last = 0, (0, 0)
        for run in runs:
            ok = failed = 0
            for more_ok, more_failed in run:
                ok, failed = ok + more_ok, failed + more_failed
                if ok < last[0] or failed < last[1]:
                    expected += sum(last)
                last = (ok, failed)
        expected += sum(last)
        mine = [
            one
            for one in contents(ledger).items()
            if one[0][0][:3] == key and one[0][1] in {(key[0].protocol, OK), (key[0].protocol, FAILED)}
        ]
        assert sum(value for _, value in mine) == expected


@given(HISTORIES)
@laws
def test_replicas_count_each_and_reporters_count_once(histories):
    graph = watched(by_second(readings(histories)))
    snapshot = graph.snapshot(GraphType.WORKLOAD, 3600)
    shown = {edge.keys: edge.signals.requests for edge in snapshot.edges.values()}
    for (key,) in {edge.keys for edge in snapshot.edges.values()}:
        source = truth(histories, lambda one, key=key: one[0] == key and one[1] is Reporter.SOURCE)
        destination = truth(histories, lambda one, key=key: one[0] == key and one[1] is Reporter.DESTINATION)
        assert shown[key,] == (source or destination)


@given(HISTORIES, st.sampled_from(list(GraphType)))
@laws
def test_every_projection_adds_up_to_the_whole(histories, kind):
    graph = watched(by_second(readings(histories)))
    finest = graph.snapshot(GraphType.WORKLOAD, 3600)
    rolled_up = graph.snapshot(kind, 3600)
    for name in ("requests", "errors"):
        whole = sum(getattr(edge.signals, name) for edge in finest.edges.values())
        assert sum(getattr(edge.signals, name) for edge in rolled_up.edges.values()) == whole
        for side in ("inbound", "outbound"):
            signals = [getattr(node, side) for node in rolled_up.nodes.values()]
            assert sum(getattr(one, name) for one in signals if one) == whole


@given(HISTORIES, st.sampled_from(list(GraphType)), st.sampled_from([10, 60]))
@laws
def test_a_delta_applied_to_the_old_snapshot_gives_the_new_one(histories, kind, window_s):
    graph = LiveGraph(clock=FixedClock(T0))
    old = graph.snapshot(kind, window_s)
    for second, batch in enumerate(by_second(readings(histories)), start=1):
        graph.observe(batch)
        graph.tick(T0 + 1000 * second)
        new = graph.snapshot(kind, window_s)
        assert apply(old, delta(old, new)) == new
        old = new


@given(HISTORIES)
@laws
def test_a_snapshot_does_not_depend_on_the_ones_before(histories):
    batches = by_second(readings(histories))
    told_often, told_once = LiveGraph(clock=FixedClock(T0)), watched(batches)
    for second, batch in enumerate(batches, start=1):
        told_often.observe(batch)
        told_often.tick(T0 + 1000 * second)
        told_often.snapshot(GraphType.VERSIONED_APP, 10)
    often, once = (graph.snapshot(GraphType.VERSIONED_APP, 10) for graph in (told_often, told_once))
    assert often.nodes == once.nodes
    # An edge without traffic keeps its object, with what was covered when it fell silent.
    busy = {id_ for id_, edge in once.edges.items() if edge.signals.requests}
    assert often.edges.keys() == once.edges.keys()
    assert all(often.edges[id_].signals == once.edges[id_].signals for id_ in busy)


@given(HISTORIES, st.sampled_from(list(GraphType)))
@laws
def test_a_frame_from_the_disk_gives_the_snapshot_it_was_taken_of(histories, kind):
    graph = watched(by_second(readings(histories)))
    rebuilt = rebuild([decode(encode(graph.frame()))], kind, 3600, T0 + 10_000_000)
    assert rebuilt is not None
    assert rebuilt == graph.snapshot(kind, 3600)


KNOWN = st.builds(
    lambda ref, kind, replicas, account, badges, annotation: Workload(
        ref=ref,
        kind=kind,
        replicas=replicas,
        desired=1,
        service_account=account,
        badges=badges,
        annotations={ANNOTATION: annotation},
    ),
    st.sampled_from([*WORKLOADS, WorkloadRef("c", "ns", "idle", "idle", "")]),
    st.sampled_from([NodeKind.WORKLOAD, NodeKind.GATEWAY]),
    st.integers(0, 2),
    st.sampled_from(["", "one"]),
    st.sampled_from([(), ("no-sidecar",)]),
    st.sampled_from(["", "5XX,1,2,http,inbound"]),
)
CALLED = st.builds(
    lambda app, kind, workloads, labels: Service(
        ref=ServiceRef("c", "ns", app), kind=kind, hosts=(app,), workloads=tuple(workloads), labels=labels
    ),
    st.sampled_from("ab"),
    st.sampled_from([NodeKind.SERVICE, NodeKind.EXTERNAL]),
    st.lists(st.sampled_from(WORKLOADS), unique=True, max_size=2),
    st.sampled_from([{}, {"team": "red"}]),
)
INVENTORIES = st.builds(
    lambda workloads, services: Inventory(
        workloads={one.ref: one for one in workloads}, services={one.ref: one for one in services}
    ),
    st.lists(KNOWN, max_size=4),
    st.lists(CALLED, max_size=2),
)


@given(HISTORIES, st.lists(INVENTORIES, min_size=2, max_size=4), st.booleans(), st.sampled_from(list(GraphType)))
@laws
def test_what_was_known_before_does_not_show(histories, inventories, only_told_more, kind):
    if only_told_more:
        first = inventories[0]
        more = {"badges": ("waypoint",), "annotations": {ANNOTATION: "5XX,1,2,http,inbound"}}
        again = {ref: replace(one, replicas=one.replicas + 1, **more) for ref, one in first.workloads.items()}
        inventories = [first, Inventory(workloads=again, services=first.services)]
    changing, settled = LiveGraph(clock=FixedClock(T0)), LiveGraph(clock=FixedClock(T0))
    for graph in (changing, settled):
        graph.inventory(inventories[0 if graph is changing else -1])
        graph.observe(readings(histories))
        graph.tick(T0 + 10_000)
    for known in inventories:
        changing.snapshot(kind, 60)
        changing.inventory(known)
        changing.tick(T0 + 10_000)
        settled.tick(T0 + 10_000)
    shown, expected = changing.snapshot(kind, 60), settled.snapshot(kind, 60)
    assert dict(shown.nodes) == dict(expected.nodes)
    # As above, an edge without traffic keeps what was covered when it fell silent.
    edges, known = (
        {one.id: one if one.signals.requests else one._replace(signals=None) for one in graph.edges.values()}
        for graph in (shown, expected)
    )
    assert edges == known


@given(HISTORIES)
@laws
def test_quantiles_lie_in_order_and_within_what_was_sampled(histories):
    for edge in watched(by_second(readings(histories))).snapshot(GraphType.APP, 3600).edges.values():
        signals = edge.signals
        if signals.requests:
            assert 1 <= signals.p50_ms <= signals.p95_ms <= signals.p99_ms <= 100
            assert signals.mean_ms == pytest.approx(5 + 45 * signals.error_ratio)
