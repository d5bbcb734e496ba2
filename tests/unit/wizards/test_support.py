"""What a mesh cannot do is an answer with a reason."""

from __future__ import annotations

from wizards.intents import Split
from wizards.support import BUNDLED, ISTIO, Native, No, support


def test_both_config_apis_that_are_written_support_a_split() -> None:
    assert support(BUNDLED, Split) == support(ISTIO, Split) == Native()


def test_an_unknown_mesh_says_so() -> None:
    answer = support("osm", Split)
    assert isinstance(answer, No)
    assert "traffic shifting in osm" in answer.reason
