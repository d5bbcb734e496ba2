"""Spans per second and core of the OTLP receivers, whole process, against plain opentelemetry-proto decoding."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.otlp.ingest import Ingest
from collectors.otlp.over_grpc import EXPORT, GrpcReceiver
from collectors.otlp.over_http import HttpReceiver
from console.clock import SystemClock
from tests.bench.payload import batches
from tests.bench.timing import cpu_seconds, ratio

BATCHES, SPANS, SERVICES, ROUNDS = 60, 512, 1000, 5
IN_FLIGHT = 4


def report() -> Iterator[str]:
    payload = batches(count=BATCHES, spans=SPANS, services=SERVICES)
    with Receivers() as receivers:
        for title, send in (("gRPC", receivers.over_grpc), ("HTTP", receivers.over_http)):
            send(payload)  # warm
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(BATCHES * SPANS / receivers.cpu_of(lambda send=send: send(payload)))
                theirs.append(BATCHES * SPANS / cpu_seconds(lambda: plain(payload)))
            yield ratio(ours, theirs).line(
                f"OTLP over {title}, received, decoded, paired and counted", "spans/s/core", "plain decode and walk"
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

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.otlp_speed"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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


class Nowhere:
    """A live graph's place: takes observations and forgets them."""

    def observe(self, batch: object) -> None:
        list(batch)


async def _serve() -> None:
    ingest = Ingest(Nowhere(), SystemClock())
    receivers = GrpcReceiver(ingest, "127.0.0.1:0"), HttpReceiver(ingest, "127.0.0.1:0")
    running = []
    async with asyncio.TaskGroup() as group:
        for service in (ingest, *receivers):
            ready = asyncio.Event()
            running.append(group.create_task(service.run(ready.set)))
            await ready.wait()
        print(json.dumps({"grpc": receivers[0].port, "http": receivers[1].port}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            await ingest.flush()
            print(json.dumps({"drops": dict(ingest.drops)}), flush=True)
        for task in running:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(_serve())
