"""Spans per second and core of the OTLP receivers, whole process, against plain opentelemetry-proto decoding.

Core seconds are the receiving process's CPU time: gRPC's or HTTP's threads, decoding, pairing, counting, folding into
the live graph once a second and, where the store is on, everything that it does until the spans are on disk.

Sender and receiver share one logical CPU, by turns, and the plain decode has it alone. Where two logical CPUs are
hyperthreads of one core, a sender on the other one would slow the receiver down, but nobody the plain decode, and CPU
time says nothing of that.
"""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.otlp.ingest import Ingest
from collectors.otlp.over_grpc import EXPORT
from collectors.otlp.receiver import OtlpReceiver
from collectors.traces.embedded import EmbeddedTraces
from console.clock import SystemClock
from graph.live import LiveGraph
from tests.bench.payload import again, batches
from tests.bench.timing import cpu_seconds, ratio

BATCHES, SPANS, SERVICES, ROUNDS = 240, 512, 1000, 5
IN_FLIGHT = 4
CAPACITY = 2_000_000_000


def report() -> Iterator[str]:
    with on_one_cpu():
        yield from _compared()


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """Keep this thread, and the threads and processes that it starts meanwhile, on one logical CPU."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(usual)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


def _compared() -> Iterator[str]:
    payload = batches(count=BATCHES, spans=SPANS, services=SERVICES)
    for store in ("off", "on"):
        with Receivers(store) as receivers:
            for title, send in (("gRPC", receivers.over_grpc), ("HTTP", receivers.over_http)):
                ours, theirs = [], []
                for number in range(ROUNDS + 1):
                    fresh = [again(batch, hash((title, number)) % 2**64) for batch in payload]
                    rate = BATCHES * SPANS / receivers.cpu_of(lambda send=send, fresh=fresh: send(fresh))
                    if number:  # the first is to warm up
                        ours.append(rate)
                        theirs.append(BATCHES * SPANS / cpu_seconds(lambda fresh=fresh: plain(fresh)))
                yield ratio(ours, theirs).line(
                    f"OTLP over {title} into the graph, trace store {store}", "spans/s/core", "plain decode and walk"
                )


def plain(payload: list[bytes]) -> int:
    """Decode with opentelemetry-proto and look at each span once: what any consumer must at least do."""
    seen = 0
    for data in payload:
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            owner = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    attributes = {pair.key: pair.value for pair in span.attributes}
                    seen += bool(span.trace_id and span.kind and attributes and owner)
    return seen


class Receivers:
    """Both receivers in a process of their own, so that its CPU time is theirs alone."""

    def __init__(self, store: str) -> None:
        self._store = store

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.otlp_speed", self._store],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ports = self._answer()
        self._grpc_port, self._http_port = ports["grpc"], ports["http"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=20)

    def cpu_of(self, work: Callable[[], object]) -> float:
        before = self._cpu()
        work()
        self._settle()
        return self._cpu() - before

    def over_grpc(self, payload: list[bytes]) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self._grpc_port}") as channel:
            export = channel.unary_unary(EXPORT)
            with ThreadPoolExecutor(IN_FLIGHT) as pool:
                list(pool.map(lambda data: _until_taken(lambda: export(data, timeout=30)), payload))

    def over_http(self, payload: list[bytes]) -> None:
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            list(pool.map(self._post, [payload[start::IN_FLIGHT] for start in range(IN_FLIGHT)]))

    def _post(self, payload: list[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._http_port, timeout=30)
        for data in payload:
            status = 503
            while status == 503:  # busy: a sender waits and repeats
                connection.request("POST", "/v1/traces", data, {"content-type": "application/x-protobuf"})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            assert status == 200, status
        connection.close()

    def _settle(self) -> None:
        self._process.stdin.write("settle\n")
        self._process.stdin.flush()
        drops = self._answer()["drops"]
        assert not any(drops.values()), f"the receiver dropped spans: {drops}"

    def _answer(self) -> dict:
        return json.loads(self._process.stdout.readline())

    def _cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _until_taken(call: Callable[[], object]) -> None:
    while True:
        try:
            call()
        except grpc.RpcError as refused:
            if refused.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(0.005)
        else:
            return


async def _serve(store: str) -> None:
    # As the server does once it has started.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    clock = SystemClock()
    live = LiveGraph(clock=clock)
    async with AsyncExitStack() as stack:
        traces = None
        if store == "on":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            traces = await stack.enter_async_context(EmbeddedTraces(folder, CAPACITY))
        ingest = Ingest(live, clock, traces=traces)
        receiver = OtlpReceiver(ingest, "127.0.0.1:0", "127.0.0.1:0")
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(receiver.run(ready.set))
            await ready.wait()
            print(json.dumps({"grpc": receiver.grpc_port, "http": receiver.http_port}), flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                await ingest.flush()
                print(json.dumps({"drops": dict(ingest.drops)}), flush=True)
            running.cancel()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
