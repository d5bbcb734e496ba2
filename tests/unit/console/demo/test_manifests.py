"""The shop's config is valid, and its faults come and go without a trace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.demo import manifests
from console.demo.shop.catalog import FAULT_HEADER
from mesh_runtime.api import Config, ConfigError, ObjectKey, dump
from mesh_runtime.api.admission import admit
from mesh_runtime.store.port import Change

CATALOG = ObjectKey("networking.istio.io", "VirtualService", "shop", "catalog")


@pytest.fixture
def shop() -> Config:
    items = {item.key: item for item in manifests.objects()}
    return Config(revision=3, objects=items, changed_in=dict.fromkeys(items, 3))


def after(config: Config, change: Change) -> Config:
    return replace(config, revision=config.revision + 1, objects={**config.objects, **{o.key: o for o in change.put}})


def test_the_shop_is_admitted_as_it_is(shop: Config) -> None:
    assert list(admit(shop)) == []


def test_the_payment_provider_is_found_where_it_listens() -> None:
    (entry,) = (item for item in manifests.objects(12345) if item.key.kind == "ServiceEntry")
    assert entry.manifest["spec"]["endpoints"] == [{"address": "127.0.0.1", "ports": {"http": 12345}}]


def test_no_fault_is_on_at_first(shop: Config) -> None:
    assert manifests.fault_of(shop) == "off"


@pytest.mark.parametrize("fault", ["slow", "failing"])
def test_a_fault_touches_the_route_to_version_two_only(shop: Config, fault: str) -> None:
    change = manifests.fault_change(shop, fault, author="ada")
    faulty = after(shop, change)
    assert list(admit(faulty)) == []
    assert manifests.fault_of(faulty) == fault
    one, two = faulty.objects[CATALOG].manifest["spec"]["http"][0]["route"]
    assert "headers" not in one
    assert two["headers"] == {"request": {"set": {FAULT_HEADER: fault}}}
    assert two["weight"] == 10
    assert (change.author, change.planned_on) == ("ada", {CATALOG: 3})
    assert fault in change.reason


def test_switching_off_restores_the_object_byte_for_byte(shop: Config) -> None:
    config = shop
    for fault in ("failing", "slow", "off"):
        config = after(config, manifests.fault_change(config, fault))
    assert dump(config.objects.values()) == dump(shop.objects.values())


def test_what_is_no_fault_or_has_no_route_is_refused(shop: Config) -> None:
    with pytest.raises(ConfigError, match="choose off, slow, failing"):
        manifests.fault_change(shop, "sleepy")
    without = replace(shop, objects={key: item for key, item in shop.objects.items() if key != CATALOG})
    with pytest.raises(ConfigError, match="no route to v2"):
        manifests.fault_change(without, "slow")
    assert manifests.fault_of(without) == "off"
