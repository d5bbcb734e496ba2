"""How changes come to proxies: nobody is forgotten, and all else has its turn between."""

import asyncio

import pytest
from test_publisher import CATALOG, CHANGED, name, registry

from mesh_runtime.identity.authority import Authority
from mesh_runtime.xds.delivery import Delivery
from mesh_runtime.xds.publisher import Publisher
from mesh_runtime.xds.server import AdsServer
from mesh_runtime.xds.translate import MeshSettings

NUMBERS = range(1, 4)


class Newest:
    """Config or instances as they are at present."""

    def __init__(self, current):
        self.current = current


@pytest.fixture
def publisher(tmp_path):
    return Publisher(Authority(tmp_path, lambda: 1_700_000_000_000), MeshSettings())


@pytest.fixture
def server(tmp_path):
    return AdsServer(tmp_path / "xds.sock", lambda *_: True, lambda: 0)


@pytest.fixture
async def delivery(publisher, server):
    one = Delivery(Newest(CATALOG), Newest(registry(*NUMBERS)), publisher, server)
    await one.serve()
    return one


async def test_all_proxies_are_given_what_there_is(delivery, server):
    assert delivery.is_served(CATALOG.revision, 0)
    assert server.snapshots.keys() == {name(number) for number in NUMBERS}


async def test_others_have_their_turn_before_new_leaves_are_published(delivery, publisher):
    publisher.leaves.rotate_all()
    delivery.serve_anew()
    assert set(publisher.behind) == {name(number) for number in NUMBERS}
    assert not any(map(delivery.has_secrets, publisher.behind))
    await delivery.serve()
    assert not publisher.behind


async def test_what_changes_while_proxies_are_served_comes_to_all_of_them(publisher, server):
    config, instances = Newest(CATALOG), Newest(registry(*range(1, 40)))
    delivery = Delivery(config, instances, publisher, server)
    async with asyncio.TaskGroup() as group:
        group.create_task(delivery.serve())
        await asyncio.sleep(0)
        config.current, instances.current = CHANGED, registry(*NUMBERS)
        delivery.serve_anew()
    assert server.snapshots.keys() == {name(number) for number in NUMBERS}
    assert {one.revision for one in server.snapshots.values()} == {CHANGED.revision}
