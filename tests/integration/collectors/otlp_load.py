"""A receiver in a process of its own, and a sender in another: run as ``serve PENDING_S`` or ``send PORT RATE SECONDS``.

Both speak JSON lines. The server answers each line of its input with its state. Both measure how late a loop that sleeps
10 ms wakes up: the server's own lag, and beside it the machine's.
"""

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import count

import grpc

from collectors.otlp.ingest import Ingest
from collectors.otlp.limits import Limits
from collectors.otlp.over_grpc import EXPORT
from collectors.otlp.receiver import OtlpReceiver
from console.clock import SystemClock
from graph.live import LiveGraph
from graph.model import GraphType
from tests.bench.payload import again, batches

SPANS, SERVICES, NAMES = 512, 5_000, 50_000
DIFFERENT = 100
"""Requests that are sent in turn, with new trace ids each time."""
WARM_ROUNDS, ROUNDS = 2, 6
"""How often all of them have been sent when everything has been seen, and at least, however slow the machine."""
TWICE = 20
"""Every so many requests, one is sent again, as a sender does that got no answer."""
IN_FLIGHT = 4
BEHIND_S = 0.5
"""So much of a delay is made up for."""
WINDOW_S = 3600


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


async def lag(seen: Counter[int]) -> None:
    """Count how many milliseconds late a sleep ends; a list would grow by a megabyte in five minutes."""
    while True:
        due = time.monotonic() + 0.01
        await asyncio.sleep(0.01)
        seen[round(1000 * (time.monotonic() - due))] += 1


def worst(seen: Counter[int]) -> int:
    """The 99.9th percentile, in milliseconds."""
    return sorted(seen.elements())[seen.total() * 999 // 1000] if seen else 0


async def tick(live: LiveGraph, clock: SystemClock) -> None:
    async for _ in clock.every(1.0):
        live.tick(clock.now_ms())


async def serve(pending_s: int) -> None:
    clock = SystemClock()
    live = LiveGraph(clock=clock)
    ingest = Ingest(live, clock, limits=Limits(pending_s=pending_s))
    receiver = OtlpReceiver(ingest, "127.0.0.1:0", "127.0.0.1:0")
    late: Counter[int] = Counter()
    ready = asyncio.Event()
    gc.freeze()  # as the control plane does
    gc.set_threshold(10_000, 20, 50)
    async with asyncio.TaskGroup() as group:
        parts = (receiver.run(ready.set), tick(live, clock), lag(late))
        running = [group.create_task(part) for part in parts]
        await ready.wait()
        say(receiver.grpc_port)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip() == "warm":
                late.clear()
            await ingest.flush()
            held = {"graph_mib": live.state().bytes / 2**20}
            say(asdict(receiver.state) | {"drops": dict(receiver.drops), "lag_ms": worst(late)} | held)
        for task in running:
            task.cancel()
    live.tick(clock.now_ms())
    edges = live.snapshot(GraphType.WORKLOAD, WINDOW_S).edges.values()
    say(sum(edge.signals.requests for edge in edges))


async def send(port: int, rate: int, seconds: int) -> None:
    payload = await asyncio.to_thread(batches, count=DIFFERENT, spans=SPANS, services=SERVICES, names=NAMES)
    late: Counter[int] = Counter()
    say("ready")
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        measuring = group.create_task(lag(late))
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, ThreadPoolExecutor(IN_FLIGHT) as pool:
            sent, repeated = await paced(payload, rate, seconds, partial(_export, channel.unary_unary(EXPORT), pool))
        measuring.cancel()
    say({"sent": sent, "repeated": repeated, "seconds": time.monotonic() - began, "lag_ms": worst(late)})


def _export(call: grpc.UnaryUnaryMultiCallable, pool: ThreadPoolExecutor, batch: bytes) -> asyncio.Future[bytes]:
    return asyncio.get_running_loop().run_in_executor(pool, partial(call, batch, timeout=60))


async def paced(
    payload: list[bytes], rate: int, seconds: int, export: Callable[[bytes], asyncio.Future[bytes]]
) -> tuple[int, int]:
    """Send whole rounds of the payload until the time is over; return the spans sent, and those sent once more.

    Who was kept waiting goes on at the same pace: to catch up would be a burst, which is another load.
    """
    sent = repeated = 0
    going: set[asyncio.Future[bytes]] = set()
    began = due = time.monotonic()
    for number in count():
        if due > began + seconds and number >= ROUNDS * DIFFERENT and number % DIFFERENT == 0:
            break
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due = max(due, time.monotonic() - BEHIND_S) + SPANS / rate
        batch = again(payload[number % DIFFERENT], 1 + number // DIFFERENT)
        times = 2 if number % TWICE == 0 else 1
        going |= {export(batch) for _ in range(times)}
        sent, repeated = sent + SPANS, repeated + SPANS * (times - 1)
        while len(going) >= 2 * IN_FLIGHT:
            done, going = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
    await asyncio.gather(*going)
    return sent, repeated


if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    asyncio.run({"serve": serve, "send": send}[what](*map(int, numbers)))
