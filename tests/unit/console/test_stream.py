import asyncio
import json
from contextlib import AsyncExitStack, aclosing

import pytest

from console.web.stream import KEPT, MOST_ASKED, REST, Key, Stream, TooManyTopicsError
from graph.live import LiveGraph
from graph.model import Counters, EdgeKey, GraphType, Observation, Outcome, Protocol, Reporter, WorkloadRef

KEY = Key(GraphType.APP, 60)


DAY = Key(GraphType.APP, 86_400)


class Clock:
    now = 0
    slept = 0.0

    def now_ms(self):
        return self.now

    steady_ms = now_ms

    async def sleep(self, seconds):
        self.slept += seconds
        self.now += int(1000 * seconds)
        await asyncio.sleep(0)


class World:
    """A live graph that changes when told."""

    def __init__(self):
        self.clock = Clock()
        self.live = LiveGraph(clock=self.clock)
        self.asked = 0
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

    def reader(self, key=KEY):
        async def ask():
            self.asked += 1
            await self.clock.sleep(0.1)
            return self.live.snapshot(key.type, 3600)

        return aclosing(self.stream.messages_of(key, ask, self.clock))


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


async def test_a_window_that_memory_does_not_hold_is_asked_for_now_and_then(world):
    async with world.reader(DAY) as reader:
        first = await read(reader)
        assert (first["type"], first["revision"], first["every"]) == ("snapshot", 1, 300)
        world.step()
        began_ms = world.clock.now
        change = await read(reader)
        assert (change["type"], change["from"], change["to"]) == ("delta", 1, 2)
        assert 290_000 < world.clock.now - began_ms <= 300_100
    assert world.asked == 2


async def test_its_readers_share_one_answer_and_who_comes_later_waits_for_none(world):
    async with world.reader(DAY) as one, world.reader(DAY) as other, world.reader(DAY) as later:
        first, same = await asyncio.gather(read(one), read(other))
        assert first == same == await read(later)
        assert world.asked == 1
        change, same = await asyncio.gather(read(one), read(other))
        assert change == same == await read(later)
        assert world.asked == 2


async def test_who_answers_slowly_is_asked_more_seldom(world):
    slow = 60

    async def ask():
        world.asked += 1
        await world.clock.sleep(slow)
        return world.live.snapshot(DAY.type, 3600)

    async with aclosing(world.stream.messages_of(DAY, ask, world.clock)) as reader:
        await read(reader)
        await read(reader)
    assert world.clock.now >= 1000 * REST * slow


async def test_windows_beyond_memory_are_bounded(world):
    async with AsyncExitStack() as stack:
        for number in range(MOST_ASKED):
            await anext(await stack.enter_async_context(world.reader(Key(GraphType.APP, 7200 + number))))
        beyond = await stack.enter_async_context(world.reader(DAY))
        with pytest.raises(TooManyTopicsError):
            await anext(beyond)
        await anext(await stack.enter_async_context(world.reader()))
