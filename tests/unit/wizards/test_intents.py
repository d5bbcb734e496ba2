"""An intent that makes no sense cannot be made."""

from __future__ import annotations

from typing import Any

import pytest

from wizards.intents import InvalidIntentError, Split, share


def split(**changes: Any) -> Split:
    return Split(**{"namespace": "shop", "service": "catalog", "weights": {"v1": 80, "v2": 20}, **changes})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weights": {"v1": 80, "v2": 30}}, "weights"),
        ({"weights": {}}, "weights"),
        ({"weights": {"v1": 101, "v2": -1}}, "weights.v1"),
        ({"weights": {"v1": 50.0, "v2": 50}}, "weights.v1"),
        ({"weights": {"v1": True, "v2": 99}}, "weights.v1"),
        ({"weights": {"V 1": 100}}, "weights.V 1"),
        ({"versions": {"v3": "not a label!"}}, "versions.v3"),
        ({"service": "cat alog"}, "service"),
        ({"namespace": ""}, "namespace"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidIntentError) as refused:
        split(**changes)
    assert refused.value.field == field


def test_a_gateway_is_named_in_full() -> None:
    assert split(gateway="ingress").gateway == "shop/ingress"
    assert split(gateway="edge/ingress").gateway == "edge/ingress"
    assert split().gateway == "mesh"


def test_a_subset_that_is_not_mentioned_gets_nothing() -> None:
    assert split().weight("v3") == 0


def test_whole_percents_are_shared_out_to_the_last_one() -> None:
    assert share(100, {"a": 1, "b": 1, "c": 1}) == {"a": 34, "b": 33, "c": 33}
    assert share(100, {"a": 0, "b": 0}) == {"a": 50, "b": 50}
    assert share(100, {}) == {}
