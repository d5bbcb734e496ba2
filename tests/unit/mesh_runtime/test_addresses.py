"""Every server has a loopback network of its own, and every workload an address of its own in it."""

import socket

import pytest

from mesh_runtime.addresses import REST_S, AddressPlan


class Time:
    ms = 1_000_000

    def __call__(self):
        return self.ms


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def plan_in(tmp_path, time):
    plans = []

    def plan(name="data"):
        (tmp_path / name).mkdir(exist_ok=True)
        plans.append(AddressPlan(tmp_path / name, time))
        return plans[-1]

    yield plan
    for each in plans:
        each.close()


def network(address):
    return address.rsplit(".", 2)[0]


def test_two_servers_have_two_networks(plan_in):
    assert network(plan_in("one").server) != network(plan_in("two").server)


def test_a_network_where_a_killed_servers_proxies_listen_is_kept_for_it(plan_in):
    killed = plan_in("killed")
    address = killed.take("shop/catalog~0")
    with socket.create_server((address, 0)):
        killed.close()
        assert network(plan_in("other").server) != network(killed.server)
        restarted = plan_in("killed")
        assert restarted.server == killed.server
        assert restarted.take("shop/catalog~0") == address


def test_each_instance_has_its_own_address_that_can_be_bound(plan_in):
    plan = plan_in()
    addresses = [plan.take(f"shop/catalog~{number}") for number in range(300)]
    assert len({plan.server, *addresses}) == 301
    assert plan.take("shop/catalog~7") == addresses[7]
    socket.create_server((addresses[299], 0)).close()


def test_an_address_rests_for_an_hour_before_another_instance_gets_it(plan_in, time):
    plan = plan_in()
    given = plan.take("shop/catalog~0")
    plan.give_back("shop/catalog~0")
    assert plan.take("shop/orders~0") != given
    assert plan.take("shop/catalog~0") == given
    plan.give_back("shop/catalog~0")
    time.ms += REST_S * 1000
    assert plan.take("shop/inventory~0") == given
