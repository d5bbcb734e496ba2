"""The writer changes what it was asked to change, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mesh_runtime.api import Config, dump
from mesh_runtime.api.admission import admit
from wizards.intents import Foreign, Split, Unsplit
from wizards.writers.istio import read, write

Make = Callable[..., Config]


def split(**changes: Any) -> Split:
    return Split(**{"namespace": "shop", "service": "catalog", "weights": {"v1": 20, "v2": 80}, **changes})


def after(config: Config, written: Any) -> Config:
    assert not isinstance(written, Foreign), written
    result = Config(revision=8, objects={**config.objects, **{item.key: item for item in written}})
    assert list(admit(result)) == []
    return result


def catalog_routes(*rules: str, hosts: str = "catalog", gateways: str = "mesh", name: str = "other") -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        f"metadata: {{name: {name}, namespace: shop}}\n"
        f"spec:\n  hosts: ['{hosts}']\n  gateways: [{gateways}]\n  http: [{', '.join(rules)}]\n"
    )


def test_the_present_split_is_read(shop: Config) -> None:
    assert read(shop, "shop", "catalog") == split(weights={"v1": 90, "v2": 10})


def test_only_the_two_weights_change(shop: Config) -> None:
    (routes,) = after_only = write(split(), shop)  # type: ignore[misc]
    assert [str(item.key) for item in after_only] == ["VirtualService shop/catalog-routes"]
    before = dump([shop.objects[routes.key]])
    assert dump([routes]) == before.replace("weight: 90", "weight: 20").replace("weight: 10", "weight: 80")


def test_a_split_that_holds_already_writes_nothing(shop: Config) -> None:
    assert write(split(weights={"v1": 90, "v2": 10}), shop) == ()


def test_a_subset_left_out_gets_nothing_but_keeps_its_place(shop: Config) -> None:
    result = after(shop, write(split(weights={"v1": 100}), shop))
    assert read(result, "shop", "catalog") == split(weights={"v1": 100, "v2": 0})


def test_both_objects_are_made_where_there_are_none(make: Make) -> None:
    config = make()
    assert isinstance(read(config, "shop", "catalog"), Unsplit)
    rules, routes = write(split(), config)  # type: ignore[misc]
    assert dump([rules, routes]) == (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: catalog\n  namespace: shop\n"
        "spec:\n  host: catalog.shop.svc.cluster.local\n  subsets:\n"
        "  - name: v1\n    labels:\n      version: v1\n  - name: v2\n    labels:\n      version: v2\n"
        "---\n"
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: catalog\n  namespace: shop\n"
        "spec:\n  hosts:\n  - catalog.shop.svc.cluster.local\n  http:\n  - route:\n"
        "    - destination:\n        host: catalog.shop.svc.cluster.local\n        subset: v1\n      weight: 20\n"
        "    - destination:\n        host: catalog.shop.svc.cluster.local\n        subset: v2\n      weight: 80\n"
    )
    assert read(after(config, (rules, routes)), "shop", "catalog") == split()


def test_a_new_subset_is_added_to_what_is_there(shop: Config) -> None:
    wanted = split(weights={"v1": 50, "v2": 30, "v3-rc-1": 20}, versions={"v3-rc-1": "v3_RC.1"})
    rules, _ = written = write(wanted, shop)  # type: ignore[misc]
    assert rules.manifest["spec"]["subsets"][-1] == {"name": "v3-rc-1", "labels": {"version": "v3_RC.1"}}
    assert rules.manifest["metadata"]["labels"] == {"team": "shelf"}
    assert rules.manifest["spec"]["trafficPolicy"] == {"outlierDetection": {"consecutive5xxErrors": 5}}
    result = after(shop, written)
    assert read(result, "shop", "catalog") == wanted
    (routes,) = (item for item in result.of("VirtualService"))
    added = routes.manifest["spec"]["http"][1]["route"][2]
    assert added == {"destination": {"host": "catalog", "subset": "v3-rc-1"}, "weight": 20}


def test_a_rule_for_the_whole_service_becomes_a_split_and_keeps_the_rest(make: Make) -> None:
    rule = "{timeout: 3s, route: [{destination: {host: catalog, port: {number: 80}}}]}"
    config = make(catalog_routes(rule))
    assert isinstance(read(config, "shop", "catalog"), Unsplit)
    result = after(config, write(split(), config))
    assert read(result, "shop", "catalog") == split()
    (routes,) = result.of("VirtualService")
    assert routes.key.name == "other"
    (written,) = routes.manifest["spec"]["http"]
    assert written["timeout"] == "3s"
    assert {target["destination"]["port"]["number"] for target in written["route"]} == {80}


def test_one_destination_without_a_weight_has_everything(make: Make) -> None:
    subsets = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: c, namespace: shop}\nspec: {host: catalog.shop.svc.cluster.local, subsets: [{name: v1, labels: {version: v1}}]}\n"
    config = make(subsets, catalog_routes("{route: [{destination: {host: catalog, subset: v1}}]}"))
    assert read(config, "shop", "catalog") == split(weights={"v1": 100})


def test_a_gateways_split_is_read_and_written_on_its_own(make: Make) -> None:
    rule = "{route: [{destination: {host: catalog}}]}"
    config = make(catalog_routes(rule, hosts="*", gateways="ingress"))
    result = after(config, write(split(gateway="ingress"), config))
    assert read(result, "shop", "catalog", "shop/ingress") == split(gateway="ingress")
    assert isinstance(read(result, "shop", "catalog"), Unsplit)
    (routes,) = result.of("VirtualService")
    assert routes.manifest["spec"]["gateways"] == ["ingress"]
    assert routes.manifest["spec"]["hosts"] == ["*"]


def test_a_prefix_of_everything_is_no_condition(make: Make) -> None:
    rules = "{match: [{uri: {prefix: /}}], route: [{destination: {host: catalog}}]}"
    config = make(catalog_routes(rules))
    assert read(after(config, write(split(), config)), "shop", "catalog") == split()


def test_a_name_that_is_taken_by_another_host_is_not_reused(make: Make) -> None:
    taken = catalog_routes("{route: [{destination: {host: inventory}}]}", hosts="inventory", name="catalog")
    config = make(taken)
    _, routes = write(split(), config)  # type: ignore[misc]
    assert routes.key.name == "catalog-split"


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (["{redirect: {uri: /elsewhere}}"], "redirects"),
        (["{directResponse: {status: 503}}"], "answers by itself"),
        (["{match: [{uri: {prefix: /a}}], route: [{destination: {host: catalog}}]}"], "has a condition"),
        (
            ["{route: [{destination: {host: catalog}, weight: 50}, {destination: {host: inventory}, weight: 50}]}"],
            "also sends to inventory",
        ),
        (
            [
                (
                    "{route: [{destination: {host: catalog}, weight: 50},"
                    " {destination: {host: catalog, subset: v1}, weight: 50}]}"
                )
            ],
            "shares with the whole service",
        ),
        (
            [
                (
                    "{route: [{destination: {host: catalog, subset: v1}, weight: 50},"
                    " {destination: {host: catalog, subset: v1}, weight: 50}]}"
                )
            ],
            "names a subset twice",
        ),
    ],
)
def test_an_unknown_shape_is_left_alone(make: Make, rules: list[str], reason: str) -> None:
    config = make(catalog_routes(*rules))
    for answer in (read(config, "shop", "catalog"), write(split(), config)):
        assert isinstance(answer, Foreign)
        assert reason in answer.reason
        assert answer.object is not None
        assert answer.object.name == "other"


def test_two_owners_of_one_host_are_left_alone(make: Make) -> None:
    rule = "{route: [{destination: {host: catalog}}]}"
    config = make(catalog_routes(rule), catalog_routes(rule, hosts="catalog.shop.svc.cluster.local", name="second"))
    answer = write(split(), config)
    assert isinstance(answer, Foreign)
    assert "shop/other and VirtualService shop/second" in answer.reason


@pytest.mark.parametrize(
    ("service", "gateway", "reason"),
    [
        ("db", "mesh", "TCP"),
        ("nowhere", "mesh", "there is no Service"),
        ("catalog", "ingress", "no VirtualService leads"),
    ],
)
def test_what_cannot_be_split_says_why(make: Make, service: str, gateway: str, reason: str) -> None:
    answer = write(split(service=service, gateway=gateway), make())
    assert isinstance(answer, Foreign)
    assert reason in answer.reason
