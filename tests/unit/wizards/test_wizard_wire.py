"""An intent from the outside is checked field by field."""

from __future__ import annotations

from typing import Any

import pytest

from wizards.intents import InvalidIntentError, Split
from wizards.wire import intent_json, intent_of, planned_on_of

GOOD: dict[str, Any] = {"namespace": "shop", "service": "catalog", "weights": {"v1": 20, "v2": 80}}


def test_an_intent_comes_back_as_it_went() -> None:
    split = Split(namespace="shop", service="catalog", weights={"v1": 100}, gateway="ingress", versions={"v1": "V1"})
    assert intent_of(intent_json(split)) == split
    assert intent_of(intent_json(split)).versions == split.versions


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (None, "intent"),
        ([], "intent"),
        ({**GOOD, "namespace": 5}, "namespace"),
        ({**GOOD, "service": ""}, "service"),
        ({**GOOD, "weights": [1]}, "weights"),
        ({**GOOD, "weights": {"v1": "100"}}, "weights.v1"),
        ({**GOOD, "weights": {f"v{n}": 1 for n in range(101)}}, "weights"),
        ({**GOOD, "versions": {"v1": 1}}, "versions"),
        ({**GOOD, "gateway": None}, "gateway"),
        ({**GOOD, "wieghts": {}}, "wieghts"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_field(data: Any, field: str) -> None:
    with pytest.raises(InvalidIntentError) as refused:
        intent_of(data)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "data", [None, {}, [1], [["g", "k", "n", "x"]], [["g", "k", "n", "x", "1"]], [[1, 2, 3, 4, 5]]]
)
def test_a_plan_that_was_tampered_with_is_refused(data: Any) -> None:
    with pytest.raises(InvalidIntentError, match="plannedOn"):
        planned_on_of(data)
