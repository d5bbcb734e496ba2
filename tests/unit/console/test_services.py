import asyncio

import pytest

from console.clock import SystemClock
from console.services import Restarting, serve, serving


class Recorded:
    def __init__(self, name, events, *, fail=False):
        self.name, self.events, self.fail = name, events, fail
        self.well = asyncio.Event()

    async def run(self, ready):
        self.events.append(f"{self.name} starts")
        if self.fail:
            raise ValueError(f"{self.name} cannot")
        ready()
        self.well.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.events.append(f"{self.name} ends")


class Impatient(SystemClock):
    """A clock whose sleeps are noted instead of slept."""

    def __init__(self, naps):
        self.naps, self.slept = naps, []
        self.done = asyncio.Event()

    async def sleep(self, seconds):
        self.slept.append(seconds)
        if len(self.slept) == self.naps:
            self.done.set()
            await asyncio.Event().wait()


async def test_services_start_in_order_and_end_when_the_block_does():
    events = []
    async with serving([Recorded("first", events), Recorded("second", events)]):
        assert events == ["first starts", "second starts"]
    assert sorted(events[2:]) == ["first ends", "second ends"]


async def test_a_failed_start_ends_the_others_and_names_the_reason():
    events = []
    with pytest.raises(ExceptionGroup) as caught:
        await serve([Recorded("good", events), Recorded("bad", events, fail=True), Recorded("later", events)])
    assert "bad cannot" in str(caught.value.exceptions[0])
    assert events == ["good starts", "bad starts", "good ends"]


class Flaky(Recorded):
    """Works, then fails as often as told."""

    async def run(self, ready):
        self.events.append("starts")
        if self.fail and len(self.events) > 1:
            raise ValueError("no more")
        ready()
        self.well.set()
        if self.fail:
            raise ValueError("lost it")
        await asyncio.Event().wait()


async def test_a_restarting_service_waits_longer_each_time_and_shows_why():
    clock = Impatient(4)
    service = Restarting(Flaky("flaky", [], fail=True), clock, first_s=1, most_s=3)
    async with serving([service]):
        await clock.done.wait()
        assert clock.slept == [1, 2, 3, 3]
        assert (service.failure, service.restarts) == ("no more", 3)


async def test_a_service_that_recovered_shows_no_failure():
    flaky = Flaky("flaky", [], fail=True)
    clock = Impatient(9)

    async def mend(seconds):
        flaky.fail = False
        flaky.well.clear()

    clock.sleep = mend
    service = Restarting(flaky, clock)
    async with serving([service]):
        await flaky.well.wait()
        assert (service.failure, service.restarts) == ("", 1)


async def test_a_restarting_service_that_never_worked_fails_the_start():
    with pytest.raises(ExceptionGroup) as caught:
        await serve([Restarting(Recorded("bad", [], fail=True), Impatient(1))])
    assert "bad cannot" in str(caught.value.exceptions[0])
