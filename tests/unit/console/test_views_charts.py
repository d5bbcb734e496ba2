"""Charts of services and workloads: what is told of times without traffic, and of times that nobody knows."""

from __future__ import annotations

from console.views.item import side, spans_within
from graph.course import Course
from graph.health import Direction
from graph.model import Signals

QUIET = Signals(60, 60)


def course(*rates):
    """One point a minute; ``None``: nobody watched."""
    zeros = tuple(rate and 0.0 for rate in rates)
    nobody = (None,) * len(rates)
    return Course(tuple(60_000 * n for n in range(len(rates))), rates, zeros, nobody, nobody, nobody, zeros, zeros)


def inbound(told):
    return side(Direction.INBOUND, QUIET, told, span_s=900, silence="Nobody has called it.")


def test_a_quiet_minute_hides_nothing_of_what_went_before():
    view = inbound(course(2.0, 1.0, 0.0))
    requests, *_ = view.charts
    assert (requests.metric.value, requests.top, view.silence) == ("0", "2.0 rps", "")


def test_what_nobody_watched_is_no_zero():
    requests, *_ = inbound(course(2.0, None, 1.0, 1.0)).charts
    assert [text for _, text in requests.points] == ["2.0 rps", "–", "1.0 rps", "1.0 rps"]


def test_silence_is_said_only_of_all_that_time():
    view = inbound(course(0.0, 0.0, None))
    assert (view.charts, view.silence) == ((), "Nobody has called it.")


def test_longer_spans_are_offered_where_somebody_remembers_more_than_the_shorter_tell():
    assert spans_within(600) == (300, 900, 3600)
    assert spans_within(3700)[-1] == 21_600
    assert spans_within(90_000)[-1] == 604_800
