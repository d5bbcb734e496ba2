"""Instances outlive the server that knows them, and leave when their agents fall silent."""

import asyncio
import socket

import pytest

from mesh_runtime.registry import LEASE_S, Instance, Registry, Role


class Time:
    def __init__(self):
        self.ms = 1_000_000

    def __call__(self):
        return self.ms

    def pass_s(self, seconds):
        self.ms += int(seconds * 1000)


def catalog(number=0, **changes):
    fields = {
        "id": f"shop/catalog-v1~{number}",
        "role": Role.SIDECAR,
        "node_id": f"sidecar~127.64.1.{number + 1}~catalog-v1~{number}.shop",
        "namespace": "shop",
        "workload": "catalog-v1",
        "service": "catalog",
        "version": "v1",
        "service_account": "catalog",
        "labels": {"app": "catalog", "version": "v1"},
        "address": f"127.64.1.{number + 1}",
        "ports": {"http": 8080},
    }
    return Instance(**{**fields, **changes})


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def opened(tmp_path, time):
    registries = []

    def open_registry():
        registries.append(Registry(tmp_path / "registry.db", time))
        return registries[-1]

    yield open_registry
    for registry in registries:
        registry.close()


def test_a_restarted_server_knows_every_instance_and_token(opened, time):
    killed = opened()
    put = killed.put(catalog(), "secret")
    time.pass_s(3600)
    restarted = opened()
    found = restarted.current.instances[put.id]
    assert (found.address, found.labels, found.ports, found.role) == (put.address, put.labels, put.ports, Role.SIDECAR)
    assert restarted.proves(put.id, "secret")
    assert restarted.expire() == ()


def test_a_restarted_server_forgets_the_instances_whose_proxies_died_too(opened, tmp_path):
    killed = opened()
    admin = tmp_path / "alive.sock"
    with socket.socket(socket.AF_UNIX) as proxy:
        proxy.bind(str(admin))
        proxy.listen()
        alive = killed.put(catalog(0, admin=str(admin)), "secret")
        killed.put(catalog(1, admin=str(tmp_path / "never.sock")), "secret")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "dead.sock"))
            killed.put(catalog(2, admin=str(tmp_path / "dead.sock")), "secret")
        assert set(opened().current.instances) == {alive.id}


def test_a_silent_instance_leaves_and_a_renewed_one_stays(opened, time):
    registry = opened()
    silent, alive = registry.put(catalog(0)), registry.put(catalog(1))
    for _ in range(int(LEASE_S) - 1):
        time.pass_s(1)
        assert registry.expire() == ()
    assert registry.renew([alive.id]) == ()
    time.pass_s(1)
    assert registry.expire() == (silent.id,)
    assert set(registry.current.instances) == {alive.id}


def test_nobody_leaves_because_the_server_itself_stood_still(opened, time):
    registry = opened()
    instance = registry.put(catalog())
    time.pass_s(3600)
    assert registry.expire() == ()
    time.pass_s(1)
    assert registry.expire() == ()
    assert set(registry.current.instances) == {instance.id}


def test_a_heartbeat_names_the_ids_to_register_again(opened):
    registry = opened()
    known = registry.put(catalog())
    assert registry.renew([known.id, "shop/gone~0"]) == ("shop/gone~0",)


def test_a_token_proves_only_the_instance_it_was_issued_to(opened):
    registry = opened()
    mine, other = registry.put(catalog(0), "mine"), registry.put(catalog(1), "other")
    assert registry.proves(mine.id, "mine")
    assert not registry.proves(other.id, "mine")
    assert not registry.proves("shop/unknown~0", "")
    registry.remove(mine.id)
    assert not registry.proves(mine.id, "mine")


def test_an_instance_without_a_token_can_be_proved_by_nobody(opened):
    registry = opened()
    instance = registry.put(catalog())
    assert not registry.proves(instance.id, "")


def test_putting_an_instance_again_keeps_its_token(opened):
    registry = opened()
    registry.put(catalog(), "secret")
    registry.drain(catalog().id)
    assert registry.current.instances[catalog().id].draining
    assert registry.proves(catalog().id, "secret")


def test_freed_numbers_are_used_again(opened):
    registry = opened()
    registry.put(catalog(0))
    registry.put(catalog(1))
    assert registry.free_id("shop", "catalog-v1") == "shop/catalog-v1~2"
    registry.remove(catalog(0).id)
    assert registry.free_id("shop", "catalog-v1") == "shop/catalog-v1~0"


async def test_a_watcher_sees_the_newest_state_and_sleeps_through_renewals(opened):
    registry = opened()
    watch = registry.watch()
    assert (await anext(watch)).instances == {}
    registry.put(catalog(0))
    registry.put(catalog(1))
    assert len((await anext(watch)).instances) == 2
    registry.renew([catalog(0).id])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await anext(watch)
