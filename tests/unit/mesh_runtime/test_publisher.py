"""Who is served when: many new proxies take long, and others must have their turn."""

import pytest
from test_translate import config, instance, service

from mesh_runtime.api import Config
from mesh_runtime.identity.authority import Authority
from mesh_runtime.registry import RegistryState
from mesh_runtime.xds.publisher import Publisher
from mesh_runtime.xds.translate import MeshSettings

CATALOG = config(service("catalog"))
CHANGED = Config(revision=2, objects=config(service("catalog", "[{name: http, port: 81}]")).objects)


def registry(*numbers):
    found = [instance("catalog", number=number) for number in numbers]
    return RegistryState(instances={one.id: one for one in found})


def name(number):
    return instance("catalog", number=number).node_id


@pytest.fixture
def publisher(tmp_path):
    return Publisher(Authority(tmp_path, lambda: 1_700_000_000_000), MeshSettings())


def test_without_time_one_proxy_after_the_other_is_served(publisher):
    publisher.take(CATALOG, registry(1, 2, 3))
    assert publisher.serve(slice_s=0).keys() == {name(1)}
    assert set(publisher.behind) == {name(2), name(3)}
    assert publisher.serve(slice_s=0).keys() == {name(2)}
    assert publisher.serve(slice_s=0).keys() == {name(3)}
    assert not publisher.behind


def test_a_change_comes_to_those_that_carry_requests_before_new_proxies_are_served(publisher):
    publisher.snapshots(CATALOG, registry(2, 3))
    publisher.take(CHANGED, registry(1, 2, 3))
    after = {**publisher.serve(slice_s=0), **publisher.serve(slice_s=0)}
    assert after.keys() == {name(2), name(3)}
    assert {one.revision for one in after.values()} == {2}
    assert set(publisher.behind) == {name(1)}


def test_new_proxies_come_to_their_turn_however_often_something_changes(publisher):
    publisher.snapshots(CATALOG, registry(2, 3))
    served = set()
    for change in (CHANGED, CATALOG):
        publisher.take(change, registry(1, 2, 3))
        served |= publisher.serve(slice_s=0).keys()
    assert name(1) in served


def test_who_waited_for_one_change_does_not_wait_longer_for_the_next(publisher):
    publisher.snapshots(CATALOG, registry(1, 2))
    publisher.take(CHANGED, registry(1, 2))
    first = publisher.serve(slice_s=0)
    publisher.take(CHANGED, registry(1, 2))
    assert {*first, *publisher.serve(slice_s=0)} == {name(1), name(2)}


def test_a_turn_in_which_nobody_is_behind_costs_the_next_change_nothing(publisher):
    served = publisher.snapshots(CATALOG, registry(1))
    publisher.serve()
    again = publisher.snapshots(Config(revision=2, objects=CATALOG.objects), registry(1))
    assert again[name(1)].revision == 2
    assert all(offer is served[name(1)].resources[kind] for kind, offer in again[name(1)].resources.items())


def test_a_proxy_that_is_gone_is_served_no_longer_though_others_wait(publisher):
    publisher.snapshots(CATALOG, registry(1, 2, 3))
    assert publisher.take(CHANGED, registry(2, 3)) == {name(2), name(3)}
    assert publisher.serve().keys() == {name(2), name(3)}


def test_new_leaves_are_signed_only_for_those_that_are_served(publisher):
    publisher.snapshots(CATALOG, registry(1, 2))
    before = dict(publisher.leaves.current)
    publisher.leaves.rotate_all()
    publisher.take(CATALOG, registry(1, 2))
    served = publisher.serve(slice_s=0)
    assert {node for node, leaf in publisher.leaves.current.items() if leaf.serial != before[node].serial} == {*served}
