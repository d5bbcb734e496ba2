"""Traces that another store keeps: how it is doing is known before anybody looks for one."""

from __future__ import annotations

import asyncio

from clocks import FixedClock

from collectors.traces.jaeger import JaegerTraces
from collectors.traces.remote import Remote
from console.tracestores import StoreWatch


async def test_a_store_that_is_away_is_told_before_anybody_looks_for_a_trace():
    async with JaegerTraces(Remote(url="http://127.0.0.1:1")) as store:
        ready = asyncio.Event()
        await StoreWatch(store, FixedClock()).run(ready.set)
        assert ready.is_set()
        assert "127.0.0.1:1 cannot be reached" in (await store.state()).error
