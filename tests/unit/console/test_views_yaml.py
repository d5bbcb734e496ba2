from __future__ import annotations

import pytest

from console.views.yaml import compared, lines, tokens

OLD = "\n".join(["spec:", *(f"  key{n}: {n}" for n in range(30)), ""])


@pytest.mark.parametrize(
    "line",
    [
        "spec:",
        "  - host: a.b:80",
        "- weight: 90",
        "plain",
        "",
        "  # note: not a key",
        '  "x y": 1',
        "- - a: b",
        "url: http://x",
    ],
)
def test_highlighting_loses_nothing_of_a_line(line):
    assert "".join(token.text for token in tokens(line)) == line


def test_keys_texts_and_numbers_are_told_apart():
    assert [token.role for token in tokens("  weight: 90")] == ["", "key", "", "number"]
    assert [token.role for token in tokens("  host: catalog")] == ["", "key", "", "text"]


def test_lines_are_numbered_from_one():
    assert [line.number for line in lines("a: 1\nb: 2\n")] == [1, 2]


def test_a_difference_shows_what_goes_above_what_comes_and_folds_the_rest():
    shown = compared(OLD, OLD.replace("key15: 15", "key15: new"))
    assert [line.mark for line in shown] == ["…", *" " * 5, "-", "+", *" " * 5, "…"]
    assert "".join(token.text for token in shown[0].tokens) == "11 unchanged lines"


def test_a_new_object_is_all_additions():
    assert {line.mark for line in compared("", OLD)} == {"+"}


def test_equal_texts_have_no_difference():
    assert {line.mark for line in compared(OLD, OLD)} <= {" ", "…"}
