"""Counters that are read every few seconds, or once a minute: rates of any window neither sway nor vanish in between."""

from __future__ import annotations

import pytest
from clocks import FixedClock
from graph_words import T0, answered, edge, seen

from graph.history import rebuild
from graph.live import LiveGraph
from graph.model import GraphType, Presence, Reporter

WORKLOADS = GraphType.WORKLOAD
PER_SECOND = 40
CART, MAIL = edge("web", "cart"), edge("web", "mail")
FROM_S, UNTIL_S = 150, 215
LATE_S = 2
"""So much later than it was scraped a reading is known here."""


class Scraped:
    """A graph of steady traffic, of which each process tells at its own instants."""

    def __init__(self, every_s, *phases):
        self.graph = LiveGraph(clock=FixedClock())
        self._every_s, self._phases = every_s, phases

    def until(self, second):
        """Live until this second, and return the graph."""
        for now in range(round((self.graph.at_ms - T0) / 1000) + 1, second + 1):
            for number, phase in enumerate(self._phases):
                at = now - LATE_S
                if at > 0 and (at - phase) % self._every_s == 0:
                    counted = answered(PER_SECOND * at)
                    self.graph.observe(seen(one, counted, at=at, instance=f"web-{number}") for one in (CART, MAIL))
            self.graph.tick(T0 + 1000 * now)
        return self.graph


@pytest.mark.parametrize(("every_s", "window_s"), [(2, 10), (15, 10), (15, 25), (15, 60), (60, 10)])
def test_a_steady_rate_is_shown_as_such_in_every_window(every_s, window_s):
    scraped = Scraped(every_s, 0, every_s // 2)
    for second in range(FROM_S, UNTIL_S):
        shown = scraped.until(second).snapshot(WORKLOADS, window_s)
        assert {one.presence for one in shown.edges.values()} == {Presence.LIVE}
        rates = [one.signals.rate for one in shown.edges.values()]
        assert rates == pytest.approx([2 * PER_SECOND, 2 * PER_SECOND], rel=0.01)


def test_readings_each_second_that_are_known_early_or_late_make_no_rate_sway():
    graph = LiveGraph(clock=FixedClock())
    for now in range(1, 60):
        at = now if now % 4 else now - 0.9
        graph.observe([seen(CART, answered(round(PER_SECOND * at)), at=at)])
        graph.tick(T0 + 1000 * now)
        (shown,) = graph.snapshot(WORKLOADS, 10).edges.values()
        assert now < 12 or shown.signals.rate == pytest.approx(PER_SECOND, rel=0.01)


def test_nodes_show_what_their_edges_do_together():
    scraped = Scraped(15, 0, 4, 11)
    for second in range(FROM_S, UNTIL_S):
        shown = scraped.until(second).snapshot(WORKLOADS, 20)
        (web,) = (node for node in shown.nodes.values() if node.workload == "web")
        assert web.outbound.rate == pytest.approx(sum(one.signals.rate for one in shown.edges.values()))


def test_counts_are_those_that_were_read_and_cover_the_time_between_the_readings():
    shown = Scraped(15, 0).until(FROM_S).snapshot(WORKLOADS, 60)
    assert {(one.signals.requests, one.signals.covered_s) for one in shown.edges.values()} == {(60 * PER_SECOND, 60)}
    shown = Scraped(15, 0).until(FROM_S).snapshot(WORKLOADS, 50)
    assert {(one.signals.requests, one.signals.covered_s) for one in shown.edges.values()} == {(45 * PER_SECOND, 45)}


def test_traffic_that_ends_is_gone_with_the_next_reading():
    graph = Scraped(15, 0).until(FROM_S)
    last = answered(PER_SECOND * FROM_S)
    for second in range(FROM_S + 1, FROM_S + 40):
        if second % 15 == 0:
            graph.observe(seen(one, last, at=second, instance="web-0") for one in (CART, MAIL))
        graph.tick(T0 + 1000 * second)
    assert {one.presence for one in graph.snapshot(WORKLOADS, 10).edges.values()} == {Presence.IDLE}


@pytest.mark.parametrize("window_s", [10, 30, 60])
def test_replay_shows_the_same_steady_rate(window_s):
    scraped = Scraped(15, 0, 7)
    frames = [scraped.until(second).frame() for second in range(10, FROM_S, 10)]
    for back_s in range(0, 50, 10):
        replayed = rebuild(frames, WORKLOADS, window_s, frames[-1].at_ms - 1000 * back_s)
        rates = [one.signals.rate for one in replayed.edges.values()]
        assert rates == pytest.approx([2 * PER_SECOND, 2 * PER_SECOND], rel=0.01)


@pytest.mark.parametrize("evenly", [True, False])
def test_a_course_has_neither_peaks_nor_gaps(evenly):
    graph = Scraped(15, 0, 7).until(UNTIL_S)
    (id_, _) = graph.snapshot(WORKLOADS, 60).edges
    course = graph.course(WORKLOADS, 120, id_, evenly=evenly)
    assert len(course.rate) > 10
    assert course.rate == pytest.approx([2 * PER_SECOND] * len(course.rate), rel=0.01)


def test_a_young_graph_knows_since_when_it_counts():
    graph, rates = LiveGraph(clock=FixedClock()), []
    for second in range(40):
        at = second - 9
        if second % 15 == 0:
            graph.observe([seen(CART, answered(PER_SECOND * (100 + at)), at=at, epoch=5)])
        graph.tick(T0 + 1000 * second)
        rates += [one.signals.rate for one in graph.snapshot(WORKLOADS, 60).edges.values() if second >= 15]
    assert rates == pytest.approx([PER_SECOND] * 25)


def test_an_edge_that_nobody_tells_of_any_more_shows_the_rate_that_was_read_last():
    graph, rates = LiveGraph(clock=FixedClock()), []
    for second in range(FROM_S, FROM_S + 200):
        for reporter, phase in ((Reporter.SOURCE, 0), (Reporter.DESTINATION, 11)):
            if second % 15 == phase and second < FROM_S + 100:
                counted = answered(PER_SECOND * second)
                graph.observe([seen(CART, counted, at=second, by=reporter)])
        graph.tick(T0 + 1000 * second)
        rates += [one.signals.rate for one in graph.snapshot(WORKLOADS, 60).edges.values()]
    assert {round(rate) for rate in rates[60:]} == {PER_SECOND, 0}
