import asyncio

from clocks import FakeClock
from collector_fakes import Remembering

from collectors.errors import CollectorError
from collectors.poll import MetricsPoll
from graph.model import Counters, EdgeKey, Observation, Protocol, Reporter, WorkloadRef


def seen(origin):
    edge = EdgeKey(WorkloadRef("c", "n", "w", "w", ""), None, WorkloadRef("c", "n", "v", "v", ""), Protocol.HTTP)
    return Observation(
        edge=edge, reporter=Reporter.SOURCE, instance="i", epoch=1, at_ms=1, counters=Counters(), origin=origin
    )


class Scripted:
    name = "scripted"

    def __init__(self, *answers) -> None:
        self.answers = iter(answers)
        self.exhausted = asyncio.Event()

    async def observe(self):
        answer = next(self.answers, None)
        if answer is None:
            self.exhausted.set()
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_what_a_source_observes_arrives_in_the_graph():
    live = Remembering()
    poll = MetricsPoll(Scripted([seen("first")], [seen("second")]), live, FakeClock())
    assert await poll.once()
    assert await poll.once()
    assert live.observations == [seen("first"), seen("second")]
    assert (poll.state.error, poll.state.observations, poll.state.last_success_ms) == ("", 1, 1_000_000)


async def test_a_source_that_fails_is_asked_less_often_until_it_works_again():
    down = [CollectorError("nobody home")] * 7
    source, live, clock = Scripted(*down, [seen("back")]), Remembering(), FakeClock()
    poll = MetricsPoll(source, live, clock, interval_s=1)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(poll.run(lambda: None))
        await source.exhausted.wait()
        running.cancel()
    assert clock.slept == [2, 4, 8, 16, 30, 30, 30]
    assert live.observations == [seen("back")]
    assert (poll.state.failures, poll.state.error) == (0, "")


async def test_a_failure_is_told_and_nothing_is_invented():
    live = Remembering()
    poll = MetricsPoll(Scripted(CollectorError("nobody home")), live, FakeClock())
    assert not await poll.once()
    assert (poll.state.error, poll.state.failures, live.observations) == ("nobody home", 1, [])
