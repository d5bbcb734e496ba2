"""One window, made at once."""

from __future__ import annotations

import pytest
from graph_words import T0, answered, edge, inventory, seen, workload

from graph.model import GraphType, Inventory, Presence, Reporter
from graph.moment import snapshot_of

WORKLOADS = GraphType.WORKLOAD


def only_edge(snapshot):
    (found,) = snapshot.edges.values()
    return found


def test_increases_are_what_the_window_holds():
    increase = seen(edge("web", "cart"), answered(90, failed=10, samples=(7.0,) * 100), at=300, epoch=T0)
    snapshot = snapshot_of([increase], Inventory(), WORKLOADS, T0, T0 + 300_000)
    found = only_edge(snapshot)
    assert (found.signals.requests, found.signals.errors) == (100, 10)
    assert found.signals.rate == pytest.approx(100 / 300)
    assert (found.signals.window_s, found.signals.covered_s) == (300, 300)
    assert (snapshot.window_s, snapshot.at_ms, found.presence) == (300, T0 + 300_000, Presence.LIVE)


def test_readings_of_a_process_that_was_counting_before_begin_with_the_first():
    calls = edge("web", "cart")
    readings = [seen(calls, answered(1000), at=0, epoch=T0 - 5000), seen(calls, answered(1060), at=60, epoch=T0 - 5000)]
    assert only_edge(snapshot_of(readings, Inventory(), WORKLOADS, T0, T0 + 60_000)).signals.requests == 60


def test_two_reporters_count_once_in_a_moment_too():
    calls = edge("web", "cart")
    told = [seen(calls, answered(100), at=60), seen(calls, answered(99), at=60, by=Reporter.DESTINATION)]
    assert only_edge(snapshot_of(told, Inventory(), WORKLOADS, T0, T0 + 60_000)).signals.requests == 100


def test_what_was_last_heard_long_before_the_end_is_stale():
    told = [seen(edge("web", "cart"), answered(100), at=60)]
    found = only_edge(snapshot_of(told, Inventory(), WORKLOADS, T0, T0 + 3_600_000))
    assert found.presence is Presence.STALE
    assert found.signals.covered_s == 60


def test_what_exists_without_traffic_is_there():
    snapshot = snapshot_of([], inventory(workload("web")), WORKLOADS, T0, T0 + 60_000, window_s=90)
    assert [node.label for node in snapshot.nodes.values()] == ["web"]
    assert snapshot.window_s == 90


def test_a_window_covers_no_more_of_itself_than_is_known():
    told = [seen(edge("web", "cart"), answered(120), at=60, epoch=T0)]
    signals = only_edge(
        snapshot_of(told, Inventory(), WORKLOADS, T0, T0 + 60_000, known_ms=T0 + 20_000, window_s=60)
    ).signals
    assert (signals.requests, signals.covered_s, signals.rate) == (120, 40, 3)
