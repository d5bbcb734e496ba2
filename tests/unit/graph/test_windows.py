"""Marks over time, and quantiles of merged histograms."""

from __future__ import annotations

import numpy as np
import pytest
from graph_words import T0

from graph.windows import Mark, Marks

WINDOWS = (10, 17, 60, 90, 300, 420, 900, 1800, 3600)


def after(seconds: int) -> Marks:
    """Marks of a counter that counts one per second."""
    marks = Marks(T0)
    for second in range(1, seconds + 1):
        marks.add(Mark(T0 + 1000 * second, np.array([float(second)])))
    return marks


@pytest.fixture(scope="module")
def old():
    """Marks of a longer time than any window. Only read."""
    return after(5000)


@pytest.mark.parametrize("window_s", WINDOWS)
def test_a_window_is_as_long_as_it_says_within_a_twentieth(old, window_s):
    covered = (old.now.at_ms - old.then(window_s).at_ms) / 1000
    assert covered == pytest.approx(window_s, rel=0.05)


@pytest.mark.parametrize("window_s", [10, 33, 60])
def test_a_window_up_to_a_minute_is_exactly_as_long_as_it_says(window_s):
    marks = after(300)
    for second in range(301, 340):
        marks.add(Mark(T0 + 1000 * second, np.array([float(second)])))
        assert marks.now.at_ms - marks.then(window_s).at_ms == 1000 * window_s


def test_old_marks_grow_sparse_so_that_memory_is_bounded(old):
    assert len(old.marks) < 140
    assert len(after(9000).marks) == pytest.approx(len(old.marks), abs=3)


def test_a_young_graph_covers_what_it_has_seen():
    marks = after(30)
    assert marks.then(3600).at_ms == T0


@pytest.mark.parametrize("evenly", [True, False])
def test_a_young_graph_has_a_course_over_any_window(evenly):
    instants = [mark.at_ms for mark in after(30).within(3600, 60, evenly=evenly)]
    assert instants == [T0 + 1000 * second for second in range(31)]


@pytest.mark.parametrize("window_s", WINDOWS)
def test_points_of_a_window_are_evenly_spread(old, window_s):
    steps = np.diff([mark.at_ms for mark in old.within(window_s, 60)])
    assert 10 <= len(steps) <= 60
    assert steps.max() <= 2.1 * steps.min()


def test_points_not_evenly_spread_are_as_close_together_as_memory_has_them(old):
    instants = [mark.at_ms for mark in old.within(900, 60, evenly=False)]
    steps = np.diff(instants)
    assert instants[-1] == old.now.at_ms
    assert instants[0] == old.then(900).at_ms
    assert steps[-1] < 20_000 < steps[0]


def test_a_clock_set_back_keeps_the_order():
    marks = after(5)
    marks.add(Mark(T0, np.array([6.0])))
    instants = [mark.at_ms for mark in (*marks.marks, marks.now)]
    assert instants == sorted(set(instants))
    assert marks.now.values[0] == 6


def random_walks(seconds, cells=40):
    """Marks of counters of every size, whole and not, that come one after the other; and what they should hold."""
    chance, marks, known = np.random.default_rng(5), Marks(T0), {}
    sizes = 10.0 ** chance.uniform(-1, 11, cells)
    values = np.zeros(0)
    for second in range(1, seconds + 1):
        grown = np.zeros(min(cells, 3 + second // 10))
        grown[: len(values)] = values
        step = chance.random(len(grown)) * sizes[: len(grown)]
        values = grown + np.where(np.arange(len(grown)) % 3 == 0, step, np.floor(step))
        marks.add(Mark(T0 + 1000 * second, values.copy()))
        known[T0 + 1000 * second] = values
    return marks, known


def padded(values, cells):
    return np.concatenate((values, np.zeros(cells - len(values))))


def test_marks_of_the_past_hold_every_count_to_the_last_bit():
    marks, known = random_walks(2000)
    for mark in marks.marks[1:]:
        assert np.array_equal(mark.padded(50), padded(known[mark.at_ms], 50))


def test_marks_follow_the_ledger_in_forgetting():
    marks, known = random_walks(900)
    cells = np.arange(0, 40, 2)
    marks.keep(cells)
    marks.add(Mark(T0 + 901_000, marks.now.values + 1))
    for mark in marks.marks[1:]:
        assert np.array_equal(mark.padded(20), padded(known[mark.at_ms], 40)[cells])


def test_counts_of_the_past_take_two_bytes_each():
    marks = Marks(T0)
    for second in range(1, 3601):
        marks.add(Mark(T0 + 1000 * second, np.full(1000, 10.0 * second)))
    assert marks.nbytes < 2.2 * 1000 * len(marks.marks) + 3 * 8000
