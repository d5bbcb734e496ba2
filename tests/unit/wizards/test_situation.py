"""The form starts from what is."""

from __future__ import annotations

from collections.abc import Callable

from mesh_runtime.api import Config
from wizards.facts import Facts, VersionFacts
from wizards.intents import Split, Unsplit
from wizards.situation import situation
from wizards.wire import situation_json

Make = Callable[..., Config]


def test_sliders_stand_where_the_split_stands(shop: Config, running: Facts) -> None:
    found = situation(shop, running, "shop", "catalog")
    assert [(option.subset, option.weight, option.exists) for option in found.options] == [
        ("v1", 90, True),
        ("v2", 10, True),
    ]
    assert found.options[0].facts == running[0]
    assert found.gateways == ("mesh",)


def test_a_version_without_a_subset_can_get_one(shop: Config, facts: Callable[..., VersionFacts]) -> None:
    found = situation(shop, (facts("v1"), facts("v2"), facts("V3_rc.1")), "shop", "catalog")
    new = found.options[-1]
    assert (new.subset, new.version, new.weight, new.exists) == ("v3-rc-1", "V3_rc.1", 0, False)
    assert found.versions == {"v3-rc-1": "V3_rc.1"}


def test_before_the_first_split_shares_follow_the_instances(make: Make, running: Facts) -> None:
    found = situation(make(), running, "shop", "catalog")
    assert isinstance(found.now, Unsplit)
    assert {option.subset: option.weight for option in found.options} == {"v1": 67, "v2": 33}
    Split(namespace="shop", service="catalog", weights={option.subset: option.weight for option in found.options})


def test_a_service_of_which_nothing_is_known_offers_nothing(make: Make) -> None:
    assert situation(make(), None, "shop", "catalog").options == ()


def test_gateways_that_lead_to_the_service_are_offered(make: Make, running: Facts) -> None:
    routes = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: way-in, namespace: shop}\n"
        'spec: {hosts: ["*"], gateways: [ingress], http: [{route: [{destination: {host: catalog}}]}]}\n'
    )
    found = situation(make(routes), running, "shop", "catalog")
    assert found.gateways == ("mesh", "shop/ingress")


def test_it_is_plain_on_the_wire(shop: Config, running: Facts) -> None:
    data = situation_json(situation(shop, running, "shop", "catalog"))
    assert data["now"] == {"kind": "split", "weights": {"v1": 90, "v2": 10}}
    assert data["options"][0]["facts"]["instances"] == 2
