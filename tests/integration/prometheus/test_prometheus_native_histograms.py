"""Latencies that a real Prometheus holds as native histograms only, written to it by remote-write, and passed on by it."""

import math
import random
from collections import Counter

import aiohttp
import cramjam
import pytest
from prometheus_rig import Prometheus, until

from collectors.prometheus.config import PrometheusConfig
from collectors.prometheus.history import PrometheusHistory
from collectors.prometheus.source import PrometheusSource
from collectors.protobuf import messages
from collectors.remote_write.config import RemoteWriteConfig
from collectors.remote_write.intake import Intake
from collectors.remote_write.receiver import RemoteWriteReceiver
from console.clock import SystemClock
from console.services import serving
from graph.live import LiveGraph
from graph.model import GraphType, Inventory

REMOTE = messages(
    "tests.native",
    {
        "Label": [(1, "name", "bytes"), (2, "value", "bytes")],
        "Sample": [(1, "value", "double"), (2, "timestamp", "int64")],
        "Span": [(1, "offset", "uint32"), (2, "length", "uint32")],
        "Histogram": [
            *((1, "count", "uint64"), (3, "sum", "double"), (4, "schema", "uint32")),
            *((11, "spans", "*Span"), (12, "deltas", "*uint64"), (15, "timestamp", "int64")),
        ],
        "TimeSeries": [(1, "labels", "*Label"), (2, "samples", "*Sample"), (4, "histograms", "*Histogram")],
        "WriteRequest": [(1, "timeseries", "*TimeSeries")],
    },
)
"""Signed numbers are given in ZigZag, as they travel."""

LABELS = {
    "reporter": "source",
    "source_workload": "web",
    "source_workload_namespace": "shop",
    "destination_workload": "cart",
    "destination_workload_namespace": "shop",
    "request_protocol": "http",
    "response_code": "200",
    "pod": "web-1",
    "namespace": "shop",
}
SCHEMA, STEP_MS, STEPS = 3, 15_000, 20
NATIVE = "--enable-feature=native-histograms"
CHANCE = random.Random(5)
TOOK_MS = sorted(CHANCE.lognormvariate(3, 1) for _ in range(400))
"""Of the requests of each step."""


def zigzag(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1


def histogram(step: int, at_ms: int):
    """All latencies of so many steps."""
    counts = Counter(math.ceil(math.log2(took) * 2**SCHEMA) for took in TOOK_MS)
    first, last = min(counts), max(counts)
    row = [step * counts[index] for index in range(first, last + 1)]
    return REMOTE["Histogram"](
        count=step * len(TOOK_MS),
        sum=step * sum(TOOK_MS),
        schema=zigzag(SCHEMA),
        spans=[REMOTE["Span"](offset=zigzag(first), length=len(row))],
        deltas=[zigzag(now - before) for before, now in zip([0, *row], row, strict=False)],
        timestamp=at_ms,
    )


def written(times: list[tuple[int, int]]) -> bytes:
    """What a Prometheus would send of these steps, each at its instant."""
    samples = [REMOTE["Sample"](value=step * len(TOOK_MS), timestamp=at_ms) for step, at_ms in times]
    series = [
        REMOTE["TimeSeries"](labels=labels("istio_requests_total"), samples=samples),
        REMOTE["TimeSeries"](
            labels=labels("istio_request_duration_milliseconds"), histograms=[histogram(*one) for one in times]
        ),
    ]
    return bytes(cramjam.snappy.compress_raw(REMOTE["WriteRequest"](timeseries=series).SerializeToString()))


def labels(metric: str):
    named = sorted({"__name__": metric, **LABELS}.items())
    return [REMOTE["Label"](name=name.encode(), value=value.encode()) for name, value in named]


class Forwarding(Prometheus):
    """Sends on what it is sent."""

    receiver = ""

    def _config(self) -> dict:
        to = {"url": self.receiver, "send_native_histograms": True, "queue_config": {"batch_send_deadline": "100ms"}}
        return super()._config() | {"remote_write": [to]}


def check(snapshot):
    """Hold the one edge's latency to what was sent."""
    (edge,) = snapshot.edges.values()
    told = (edge.signals.p50_ms, edge.signals.p95_ms, edge.signals.p99_ms)
    for share, shown in zip((0.5, 0.95, 0.99), told, strict=True):
        true_ms = TOOK_MS[math.ceil(share * len(TOOK_MS)) - 1]
        assert abs(math.log2(shown / true_ms)) <= 2**-SCHEMA
    assert edge.signals.mean_ms == pytest.approx(sum(TOOK_MS) / len(TOOK_MS))
    assert edge.signals.requests % len(TOOK_MS) == 0


async def post(session, server, times):
    async with session.post(f"{server.url}/api/v1/write", data=written(times)) as answer:
        assert answer.status < 300, await answer.text()


async def test_native_histograms_are_read_as_latency_now_and_in_the_past(tmp_path):
    clock = SystemClock()
    now_ms = clock.now_ms()
    times = [(step, now_ms - STEP_MS * (STEPS - step)) for step in range(1, STEPS + 1)]
    server = Prometheus(tmp_path, [], flags=(NATIVE,))
    source = PrometheusSource(PrometheusConfig(url=server.url, name="prod"), clock)
    live = LiveGraph(clock=clock)
    async with server, aiohttp.ClientSession() as session:
        try:
            for part in (times[:-1], times[-1:]):
                await post(session, server, part)
                live.observe(await source.observe())
            live.tick(clock.now_ms())
            past = await PrometheusHistory(source, clock, Inventory).snapshot(GraphType.WORKLOAD, 120, now_ms)
        finally:
            await source.close()
    check(past)
    check(live.snapshot(GraphType.WORKLOAD, 60))


async def test_native_histograms_that_a_prometheus_sends_are_latency(tmp_path):
    clock = SystemClock()
    live = LiveGraph(clock=clock)  # before what it is told of begins to count
    intake = Intake(RemoteWriteConfig(port=0), clock)
    receiver = RemoteWriteReceiver(intake)
    server = Forwarding(tmp_path, [], flags=(NATIVE,))
    async with serving([receiver]), aiohttp.ClientSession() as session:
        server.receiver = f"http://127.0.0.1:{receiver.port}/api/v1/write"
        async with server:
            times = [
                (step, clock.now_ms() + 1000 * step) for step in range(1, STEPS + 1)
            ]  # it sends on what is newer than itself
            await post(session, server, times)
            await until(lambda: intake.state.samples >= 2 * len(times))
    live.observe(await intake.observe())
    live.tick(times[-1][1])
    assert not intake.state.refused
    check(live.snapshot(GraphType.WORKLOAD, 60))
