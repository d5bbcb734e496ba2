import json
from contextlib import aclosing

import pytest

from console.web.stream import KEPT, Key, Stream
from graph.live import LiveGraph
from graph.model import Counters, EdgeKey, GraphType, Observation, Outcome, Protocol, Reporter, WorkloadRef

KEY = Key(GraphType.APP, 60)


class Clock:
    def now_ms(self):
        return 0


class World:
    """A live graph that changes when told."""

    def __init__(self):
        self.live = LiveGraph(clock=Clock())
        self.stream = Stream(self.live)
        self.at_ms = 0

    def step(self):
        self.at_ms += 1000
        source, target = (WorkloadRef("k", "shop", app, app, "") for app in ("web", f"app{self.at_ms}"))
        edge = EdgeKey(source, None, target, Protocol.HTTP)
        counters = Counters(requests={Outcome("200", "", "-"): 5})
        self.live.observe(
            [
                Observation(
                    edge=edge, reporter=Reporter.SOURCE, instance="web", epoch=1, at_ms=self.at_ms, counters=counters
                )
            ]
        )
        self.live.tick(self.at_ms)
        self.stream.publish()

    def reader(self):
        return aclosing(self.stream.messages_of(KEY))


async def read(messages):
    return json.loads(await anext(messages))


@pytest.fixture
def world():
    one = World()
    one.step()
    return one


async def test_a_reader_that_keeps_up_gets_every_difference_once(world):
    async with world.reader() as reader:
        first = await read(reader)
        for _ in range(10):
            world.step()
            change = await read(reader)
            assert (change["type"], change["from"], change["to"]) == ("delta", first["revision"], first["revision"] + 1)
            first["revision"] += 1


async def test_a_reader_that_is_a_little_late_gets_what_it_missed_in_order(world):
    async with world.reader() as reader:
        revision = (await read(reader))["revision"]
        for _ in range(KEPT):
            world.step()
        seen = [await read(reader) for _ in range(KEPT)]
        assert [(m["type"], m["from"]) for m in seen] == [("delta", revision + n) for n in range(KEPT)]


async def test_a_reader_that_is_too_late_gets_a_snapshot_and_goes_on_from_there(world):
    async with world.reader() as reader:
        await read(reader)
        for _ in range(KEPT + 1):
            world.step()
        whole = await read(reader)
        assert (whole["type"], whole["revision"]) == ("snapshot", world.live.revision)
        assert world.stream.resyncs == 1
        world.step()
        assert (await read(reader))["from"] == whole["revision"]


async def test_all_readers_of_a_topic_share_one_encoding(world):
    async with world.reader() as one, world.reader() as other:
        assert await anext(one) is await anext(other)
        world.step()
        assert await anext(one) is await anext(other)


async def test_a_topic_that_nobody_reads_is_not_computed(world):
    async with world.reader() as reader:
        await read(reader)
        assert world.stream.readers == 1
    assert world.stream.readers == 0
    world.step()
    async with world.reader() as reader:
        assert (await read(reader))["revision"] == world.live.revision
