"""Nodes and edges that are made when somebody looks at them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from graph.records import Table, column
from graph.rows import Rows, some


class Thing(NamedTuple):
    id: str
    size: float | None


class Things:
    """Rows of two things; `asked` is what had to be made."""

    def __init__(self):
        self.ids = column(["one", "two"])
        self.asked = []
        self.sizes = [1.0, 2.0]

    def maker(self):
        sizes = np.array(self.sizes)

        def make(numbers):
            self.asked.append(numbers.tolist())
            return Table(Thing, {"id": self.ids[numbers].tolist(), "size": sizes[numbers]})

        return make


@pytest.fixture
def things():
    return Things()


BOTH, FIRST, SECOND, NONE = (np.array(one) for one in ([True, True], [True, False], [False, True], [False, False]))


def test_rows_are_made_once_somebody_looks(things):
    rows = Rows.first(things.ids, 1, BOTH, things.maker())
    assert (list(rows), len(rows), things.asked) == (["one", "two"], 2, [])
    assert rows["two"] == Thing("two", 2.0)
    assert dict(rows) == {"one": Thing("one", 1.0), "two": Thing("two", 2.0)}
    assert things.asked == [[0, 1]]


def test_what_did_not_change_is_the_same_object_whichever_revision_is_looked_at_first(things):
    old = Rows.first(things.ids, 1, BOTH, things.maker())
    things.sizes[0] = 5.0
    new = old.next(2, FIRST, BOTH, things.maker())
    assert new["one"].size == 5
    assert old["one"].size == 1
    assert new["two"] is old["two"]
    assert things.asked == [[0, 1], [0]]


def test_the_difference_is_what_changed_since_or_was_not_there(things):
    old = Rows.first(things.ids, 1, FIRST, things.maker())
    between = old.next(2, FIRST, FIRST, things.maker())
    new = between.next(3, NONE, BOTH, things.maker())
    assert list(new.changed(old)) == ["one", "two"]
    assert list(new.changed(between)) == ["two"]
    assert new.gone(old) == ()
    gone = new.next(4, NONE, SECOND, things.maker())
    assert (list(gone.changed(new)), gone.gone(new)) == ([], ("one",))
    assert things.asked == []


def test_a_number_that_is_not_known_is_none(things):
    things.sizes[1] = float("nan")
    assert Rows.first(things.ids, 1, BOTH, things.maker())["two"].size is None


def test_some_rows_can_be_had_without_making_others(things):
    rows = Rows.first(things.ids, 1, BOTH, things.maker())
    assert "two" in rows
    assert "three" not in rows
    assert dict(some(rows, ["two"])) == {"two": Thing("two", 2.0)}
    assert things.asked == [[1]]
    assert some(dict(rows), ["two"]) == {"two": rows["two"]}
