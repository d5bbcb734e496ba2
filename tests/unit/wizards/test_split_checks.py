"""The checks say what a careful colleague would say before the change is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh_runtime.api import Config
from wizards.analyzers.findings import Level
from wizards.analyzers.split import check
from wizards.facts import Facts, VersionFacts
from wizards.intents import Split

Make = Callable[..., Config]
MakeFacts = Callable[..., VersionFacts]


def split(**weights: int) -> Split:
    return Split(namespace="shop", service="catalog", weights=weights)


def codes(found: Any) -> dict[str, Level]:
    return {finding.code: finding.level for finding in found}


def test_a_shift_between_two_healthy_versions_has_nothing_against_it(shop: Config, running: Facts) -> None:
    found = check(split(v1=20, v2=80), shop, running)
    assert codes(found) == {"MSC1005": Level.INFO}
    assert found[0].message.startswith("1 rule of VirtualService shop/catalog-routes with conditions")


def test_a_share_for_a_version_without_instances_is_an_error(shop: Config, facts: MakeFacts) -> None:
    found = check(split(v1=20, v2=80), shop, (facts("v1"), facts("v2", instances=0)))
    (error,) = (item for item in found if item.level is Level.ERROR)
    assert (error.code, error.path) == ("KIA0203", "weights.v2")
    assert "version=v2" in error.message
    assert "80 %" in error.message
    assert found[0] is error


def test_nothing_for_a_version_without_instances_is_no_error(shop: Config, facts: MakeFacts) -> None:
    assert codes(check(split(v1=100, v2=0), shop, (facts("v1", instances=2),)))["KIA0203"] is Level.INFO


def test_more_for_a_version_that_fails_now_is_a_warning(shop: Config, facts: MakeFacts) -> None:
    failing = (facts("v1"), facts("v2", requests=200, error_ratio=0.31))
    (warning,) = (item for item in check(split(v1=20, v2=80), shop, failing) if item.level is Level.WARNING)
    assert warning.code == "MSC1002"
    assert "31 %" in warning.message
    assert "MSC1002" not in codes(check(split(v1=95, v2=5), shop, failing))


def test_a_few_requests_prove_nothing(shop: Config, facts: MakeFacts) -> None:
    found = check(split(v1=20, v2=80), shop, (facts("v1"), facts("v2", requests=5, error_ratio=1)))
    assert "MSC1002" not in codes(found)


def test_a_running_version_that_gets_nothing_is_mentioned(shop: Config, facts: MakeFacts) -> None:
    found = check(split(v1=20, v2=80), shop, (facts("v1"), facts("v2"), facts("v3")))
    assert [item.message for item in found if item.code == "MSC1003"] == ["v3 runs and would get no requests"]


def test_everything_for_one_instance_is_mentioned(shop: Config, facts: MakeFacts) -> None:
    assert "MSC1008" in codes(check(split(v1=0, v2=100), shop, (facts("v1"), facts("v2"))))
    assert "MSC1008" not in codes(check(split(v1=0, v2=100), shop, (facts("v1"), facts("v2", instances=2))))


def test_what_could_not_be_checked_is_said(shop: Config) -> None:
    assert codes(check(split(v1=20, v2=80), shop, None))["MSC1007"] is Level.INFO


SECOND = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: second, namespace: shop}}
spec: {{hosts: ["{hosts}"], gateways: [{gateways}], http: [{{{more} route: [{{destination: {{host: catalog}}}}]}}]}}
"""


def test_a_second_owner_of_the_host_is_an_error(make: Make, running: Facts) -> None:
    more = SECOND.format(hosts="catalog", gateways="mesh", more="")
    found = check(split(v1=20, v2=80), make(more, more.replace("second", "third")), running)
    (error,) = (item for item in found if item.level is Level.ERROR)
    assert error.code == "KIA1106"
    assert "shop/second" in error.message
    assert "shop/third" in error.message


def test_what_the_wizard_cannot_express_is_an_error_with_the_reason(make: Make, running: Facts) -> None:
    conditional = SECOND.format(hosts="catalog", gateways="mesh", more="match: [{uri: {prefix: /a}}],")
    (error,) = check(split(v1=20, v2=80), make(conditional), running)
    assert (error.code, error.level) == ("MSC1001", Level.ERROR)
    assert "has a condition" in error.message


def test_a_gateway_that_goes_its_own_way_is_a_warning(make: Make, running: Facts) -> None:
    found = check(split(v1=20, v2=80), make(SECOND.format(hosts="*", gateways="ingress", more="")), running)
    (warning,) = (item for item in found if item.level is Level.WARNING)
    assert warning.code == "MSC1004"
    assert "shop/ingress" in warning.message


def test_faults_and_mirrors_on_the_rule_are_mentioned(make: Make, running: Facts) -> None:
    more = "fault: {abort: {httpStatus: 500, percentage: {value: 10}}}, mirror: {host: inventory},"
    found = check(split(v1=20, v2=80), make(SECOND.format(hosts="catalog", gateways="mesh", more=more)), running)
    assert sorted(item.message for item in found if item.code == "MSC1006") == [
        "the rule also injects faults; that stays",
        "the rule also mirrors requests; that stays",
    ]
