"""What the frame around all pages says of what they show."""

from __future__ import annotations

import pytest

from console.signals.signal import Area, Presence, Signal
from console.views.shell import silence
from console.widgets import shell as widgets

NOW = 1_700_000_000_000


def signal(name: str, presence: Presence, area: Area = Area.METRICS) -> Signal:
    return Signal(area=area, name=name, text="does not answer; and more", presence=presence)


FINE, DOWN, OLD = signal("a", Presence.PRESENT), signal("b", Presence.FAILING), signal("c", Presence.STALE)
ELSEWHERE = signal("d", Presence.FAILING, Area.LOGS)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([FINE, ELSEWHERE], "none of the proxies answers"),
        ([FINE, DOWN, ELSEWHERE], "b: does not answer"),
        ([DOWN, OLD], "b: does not answer, and 1 other source"),
    ],
)
def test_when_nobody_is_heard_any_more_one_line_says_for_how_long_and_why(found, why):
    told = silence(NOW - 40_000, NOW, found)
    assert told == ("40 s", why)
    drawn = str(widgets.silence(told))
    assert "No news for 40 s" in drawn
    assert "/signals" in drawn


def test_while_anybody_is_heard_nothing_is_said_of_sources_that_are_not():
    told = silence(None, NOW, [DOWN])
    assert told is None
    assert widgets.silence(told) is None
