"""A wall clock that is set while the graph watches: nothing is invented, lost, or believed for too long."""

from __future__ import annotations

import pytest
from clocks import FixedClock
from graph_words import T0, answered, edge, seen

from graph.alerts import Facts, Rule, RuleKind, State, evaluate
from graph.history import rebuild
from graph.live import FORGET_AFTER_MS, LiveGraph
from graph.model import GraphType, Presence

WORKLOADS = GraphType.WORKLOAD
PER_SECOND = 50
HOUR_S = 3600
CALLS = edge("web", "cart")


class World:
    """Steady traffic, read every second by a clock that can be set."""

    def __init__(self):
        self.graph = LiveGraph(clock=FixedClock())
        self.passed = self.set_by = 0
        self.frames = []

    @property
    def now_ms(self):
        return T0 + 1000 * (self.passed + self.set_by)

    def watch(self, seconds):
        for _ in range(seconds):
            self.passed += 1
            counted = answered(PER_SECOND * self.passed)
            self.graph.observe([seen(CALLS, counted, at=self.passed + self.set_by)])
            self.graph.tick(self.now_ms)
            if self.passed % 5 == 0:
                self.frames = [one for one in self.frames if one.at_ms < self.now_ms] + [self.graph.frame()]

    def edge(self, window_s):
        found = next(one for one in self.graph.snapshot(WORKLOADS, window_s).edges.values() if "web" in one.source)
        assert found.presence is not Presence.STALE
        return found.signals


@pytest.fixture
def world():
    world = World()
    world.watch(400)
    return world


def test_a_clock_set_back_changes_no_rate_and_loses_no_request(world):
    world.set_by = -HOUR_S
    for _ in range(20):
        world.watch(1)
        # What was read between the clock's leap and the graph's next step counts with the step after it.
        assert world.edge(10).rate == pytest.approx(PER_SECOND, rel=0.11)
        assert [world.edge(window_s).rate for window_s in (60, 300)] == pytest.approx([PER_SECOND] * 2, rel=0.02)
    assert world.edge(HOUR_S).requests == PER_SECOND * world.passed
    (id_,) = world.graph.snapshot(WORKLOADS, 60).edges
    course = world.graph.course(WORKLOADS, 60, id_)
    assert sum(course.rate) / len(course.rate) == pytest.approx(PER_SECOND, rel=0.02)


def test_a_reading_taken_just_before_the_clock_was_set_back_is_believed_for_a_minute_only(world):
    late = [seen(CALLS, answered(PER_SECOND * world.passed), at=world.passed + 1)]
    world.set_by = -HOUR_S
    world.graph.tick(world.now_ms)
    world.graph.observe(late)
    world.watch(130)
    assert world.edge(10).rate == pytest.approx(PER_SECOND, rel=0.01)


def test_who_falls_silent_after_the_clock_was_set_back_is_stale_as_soon_as_ever(world):
    world.set_by = -HOUR_S
    world.watch(2)
    for _ in range(5):
        world.passed += 1
        world.graph.tick(world.now_ms)
    (found,) = world.graph.snapshot(WORKLOADS, 10).edges.values()
    assert found.presence is Presence.STALE


def test_no_window_shows_more_than_there_was_when_a_clock_leaps_forward_or_the_machine_slept(world):
    world.set_by = HOUR_S
    world.graph.tick(world.now_ms)
    for _ in range(20):
        world.watch(1)
        assert all(world.edge(window_s).rate <= PER_SECOND * 1.01 for window_s in (10, 60, 300, HOUR_S))
    world.watch(20)
    assert [world.edge(window_s).rate for window_s in (10, 60)] == pytest.approx([PER_SECOND] * 2, rel=0.01)


def test_a_few_seconds_after_a_leap_forward_rates_are_as_before(world):
    world.set_by = HOUR_S
    world.graph.tick(world.now_ms)
    world.graph.observe([seen(edge("app", "mail"), answered(1), at=world.passed + world.set_by, instance="early")])
    world.watch(2)
    for _ in range(8):
        world.watch(1)
        assert [world.edge(window_s).rate for window_s in (10, 60)] == pytest.approx([PER_SECOND] * 2, rel=0.01)


def test_what_was_forgotten_comes_back_without_what_it_counted_meanwhile(world):
    world.set_by = FORGET_AFTER_MS // 1000 + 1
    world.graph.tick(world.now_ms)
    assert not world.graph.snapshot(WORKLOADS, HOUR_S).edges
    for _ in range(20):
        world.watch(1)
        assert world.edge(10).rate <= PER_SECOND * 1.01
    assert world.edge(10).rate == pytest.approx(PER_SECOND, rel=0.01)


def test_the_past_on_disk_counts_nothing_twice_when_the_clock_was_set_back_among_its_frames(world):
    world.set_by = -200
    world.watch(100)
    for at_s in range(10, 300, 10):
        past = rebuild(world.frames, WORKLOADS, 60, T0 + 1000 * at_s)
        assert past is not None
        (found,) = past.edges.values()
        assert found.signals.rate == pytest.approx(PER_SECOND, rel=0.01), at_s


def test_an_alert_waits_no_longer_for_a_clock_that_was_set_back(world):
    rule = Rule(name="busy", kind=RuleKind.FIND, find="http > 1", for_s=30)
    facts = Facts(snapshot=world.graph.snapshot(WORKLOADS, 10))
    state, _ = evaluate([rule], facts, State(), T0)
    state, events = evaluate([rule], facts, state, T0 - HOUR_S * 1000)
    assert not events
    _, events = evaluate([rule], facts, state, T0 - HOUR_S * 1000 + 30_000)
    assert {event.status for event in events} == {"firing"}
