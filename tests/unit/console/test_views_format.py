from __future__ import annotations

import pytest

from console.views import format as fmt


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (None, "0"),
        (0.004, "<0.01"),
        (0.5, "0.50"),
        (3.14, "3.1"),
        (123.4, "123"),
        (2345, "2.3k"),
        (45678, "46k"),
    ],
)
def test_a_rate_has_three_digits_at_most(value, text):
    assert fmt.rate(value) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(None, "–"), (0, "0 %"), (0.0001, "<0.1 %"), (0.06, "6.0 %"), (0.0999, "10 %"), (0.42, "42 %"), (0.9999, "100 %")],
)
def test_a_share_never_rounds_trouble_down_to_nothing(ratio, text):
    assert fmt.percent(ratio) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (1.25, "1.2 ms"), (88, "88 ms"), (1234, "1.2 s"), (65000, "65 s")]
)
def test_a_latency_is_told_in_seconds_from_one_second_on(value, text):
    assert fmt.milliseconds(value) == text


def test_a_window_has_the_same_name_everywhere_and_says_all_of_its_length():
    told = [fmt.window(s) for s in (10, 90, 5400, 86_400, 129_600, 604_800, 273_660)]
    assert told == ["10 s", "1 min 30 s", "1 h 30 min", "24 h", "36 h", "7 days", "3 days 4 h"]


def test_lengths_of_time_take_their_largest_sensible_unit():
    told = [fmt.duration(s) for s in (12, 89, 600, 7200, 200_000, 3650 * 86_400)]
    assert told == ["12 s", "89 s", "10 min", "2 h", "2 days", "10 years"]
