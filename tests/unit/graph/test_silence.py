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
    assert max(graph.course(WORKLOADS, 300, id_).rate) <= PER_SECOND * 1.001


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


SCRAPED_EVERY = 15
DOWN = 303
"""When the source of what is read every 15 s fails for the first time; it was last read at 300."""


def outage(graph, seconds):
    """Read one edge as rarely as a Prometheus scrapes, until its source fails."""
    for second in seconds:
        if second < DOWN and not second % SCRAPED_EVERY:
            graph.observe([seen(CART, answered(PER_SECOND * second), at=second)])
        graph.doubt("a test", {("source-1", None): "it is down"} if second >= DOWN else {})
        graph.tick(T0 + 1000 * second)


def only(snapshot):
    (found,) = snapshot.edges.values()
    return found


def believed(graph):
    shown = only(graph.snapshot(WORKLOADS, 10))
    return shown.presence, shown.reason


def test_an_edge_says_that_its_source_is_down_as_soon_as_that_is_known():
    graph = LiveGraph(clock=FixedClock())
    outage(graph, range(1, DOWN))
    assert believed(graph) == (Presence.LIVE, "")
    outage(graph, [DOWN])
    assert believed(graph) == (Presence.LIVE, "it is down")
    outage(graph, range(DOWN + 1, 350))
    assert believed(graph) == (Presence.STALE, "it is down")


def test_while_a_source_is_down_the_rate_neither_falls_nor_leaps():
    graph = LiveGraph(clock=FixedClock())
    outage(graph, range(1, DOWN))
    for second in range(DOWN, 360):
        outage(graph, [second])
        for window_s in (60, 120, 300):
            assert only(graph.snapshot(WORKLOADS, window_s)).signals.rate == pytest.approx(PER_SECOND)


def test_replay_of_an_outage_shows_the_same_rate():
    graph = LiveGraph(clock=FixedClock())
    frames = []
    for second in range(10, 360, 10):
        outage(graph, range(second - 9, second + 1))
        frames.append(graph.frame())
    for back_s in range(0, 60, 10):
        replayed = only(rebuild(frames, WORKLOADS, 60, frames[-1].at_ms - 1000 * back_s))
        assert replayed.signals.rate == pytest.approx(PER_SECOND)


def test_an_edge_that_somebody_else_tells_of_is_not_in_doubt():
    graph = LiveGraph(clock=FixedClock())
    for second in range(1, 20):
        told = ("source-1", "source-2") if second < 18 else ("source-2",)
        graph.observe(seen(CART, answered(PER_SECOND * second), at=second, instance=one) for one in told)
        graph.doubt("a test", {("source-1", None): "its pod is gone"} if second >= 18 else {})
        graph.tick(T0 + 1000 * second)
    assert believed(graph) == (Presence.LIVE, "")


def test_how_old_counts_were_is_known_also_after_others_were_forgotten():
    graph = LiveGraph(clock=FixedClock())
    graph.observe([seen(MAIL, answered(1), at=0, instance="long gone")])
    for second in range(0, 3901, SCRAPED_EVERY):
        graph.observe([seen(CART, answered(PER_SECOND * second), at=second)])
        graph.tick(T0 + 1000 * second + 7000)
    graph.doubt("a test", {("source-1", None): "it is down"})
    graph.tick(T0 + 1000 * 3922)
    assert only(graph.snapshot(WORKLOADS, 60)).signals.rate == pytest.approx(PER_SECOND)
