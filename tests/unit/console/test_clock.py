import time
from contextlib import aclosing

from console.clock import SystemClock, rfc3339


async def test_ticks_that_were_missed_are_skipped_not_bunched():
    async with aclosing(SystemClock().every(0.02)) as ticks:
        began = time.monotonic()
        await anext(ticks)
        time.sleep(0.09)  # noqa: ASYNC251  a reader that was busy
        for _ in range(3):
            await anext(ticks)
        assert time.monotonic() - began >= 0.09 + 2 * 0.02


async def test_the_first_tick_comes_at_once_and_says_the_time():
    async with aclosing(SystemClock().every(60)) as ticks:
        assert abs(await anext(ticks) - time.time() * 1000) < 60_000


def test_an_instant_keeps_its_milliseconds_for_machines():
    assert rfc3339(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
