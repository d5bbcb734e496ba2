"""Names in a sentence."""

from __future__ import annotations

from console.enumerated import enumerated


def test_names_beyond_the_most_are_counted():
    assert enumerated([], 2) == ""
    assert enumerated(["cart", "pay"], 2) == "cart, pay"
    assert enumerated(["cart", "pay", "web", "db"], 2) == "cart, pay and 2 more"
