"""Counters that nobody reads for a while: what they counted meanwhile is no rush afterwards, and is not lost either."""

from __future__ import annotations

import pytest
from clocks import FixedClock
from graph_words import T0, answered, edge, seen

from graph.history import rebuild
from graph.live import LiveGraph
from graph.model import GraphType, Presence

WORKLOADS = GraphType.WORKLOAD
PER_SECOND = 50
SILENT = range(100, 290)
"""When nobody reads."""
CART, MAIL = edge("web", "cart"), edge("web", "mail")


def watch(graph, seconds, *, lost=()):
    """Read two edges' steady traffic second by second; in a silence none, or all but the lost edges."""
    for second in seconds:
        silent = second in SILENT
        edges = [one for one in (CART, MAIL) if not silent or (lost and one not in lost)]
        graph.observe(seen(one, answered(PER_SECOND * second), at=second) for one in edges)
        graph.doubt("a test", {("source-1", one): "lost" for one in lost} if silent else {})
        graph.tick(T0 + 1000 * second)


@pytest.fixture(params=[(), (MAIL,)], ids=["the whole process", "one of its edges"])
def lost(request):
    return request.param


def rates(snapshot):
    assert {one.presence for one in snapshot.edges.values()} == {Presence.LIVE}
    return [one.signals.rate for one in snapshot.edges.values()]


def test_no_window_after_a_silence_shows_more_than_there_was(lost):
    graph = LiveGraph(clock=FixedClock())
    watch(graph, range(1, SILENT.stop), lost=lost)
    for second in range(SILENT.stop, SILENT.stop + 70):
        watch(graph, [second], lost=lost)
        for window_s in (10, 30, 60):
            assert rates(graph.snapshot(WORKLOADS, window_s)) == pytest.approx([PER_SECOND, PER_SECOND])


def test_a_window_that_holds_a_silence_holds_all_that_was_counted_in_it(lost):
    graph = LiveGraph(clock=FixedClock())
    watch(graph, range(1, SILENT.stop + 1), lost=lost)
    counted = {one.signals.requests for one in graph.snapshot(WORKLOADS, 300).edges.values()}
    assert counted == {PER_SECOND * SILENT.stop}


def test_an_edges_course_has_no_peak_where_a_silence_ends():
    graph = LiveGraph(clock=FixedClock())
    watch(graph, range(1, SILENT.stop + 30))
    (id_, _) = graph.snapshot(WORKLOADS, 60).edges
    assert max(graph.series(WORKLOADS, 300, id_).rate) <= PER_SECOND * 1.001


def test_replay_shows_no_rush_after_a_silence_either(lost):
    graph = LiveGraph(clock=FixedClock())
    frames = []
    for second in range(10, SILENT.stop + 60, 10):
        watch(graph, range(second - 9, second + 1), lost=lost)
        frames.append(graph.frame())
    for back_s in (0, 10, 20, 30, 40):
        replayed = rebuild(frames, WORKLOADS, 60, frames[-1].at_ms - 1000 * back_s)
        assert rates(replayed) == pytest.approx([PER_SECOND, PER_SECOND])


def test_a_second_silence_is_noticed_as_soon_as_the_first():
    graph = LiveGraph(clock=FixedClock())
    watch(graph, range(1, SILENT.stop + 3))
    for second in range(6):
        graph.tick(T0 + 1000 * (SILENT.stop + 3 + second))
    assert {one.presence for one in graph.snapshot(WORKLOADS, 10).edges.values()} == {Presence.STALE}
