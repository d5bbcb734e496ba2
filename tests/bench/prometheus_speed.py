"""From 10,000 series in a real Prometheus to a finished graph, against the slowest single query of the same tick."""

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[1] / "integration" / "prometheus"))

from prometheus_rig import Exporter, Job, Prometheus, served, until

from collectors.dialects import istio
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.config import PrometheusConfig
from collectors.prometheus.source import PrometheusSource
from console.clock import SystemClock
from graph.live import LiveGraph
from graph.model import GraphType
from tests.bench.timing import ratio

PODS = 50
EDGES = 10
BOUNDS = (
    "0.5",
    "1",
    "5",
    "10",
    "25",
    "50",
    "100",
    "250",
    "500",
    "1000",
    "2500",
    "5000",
    "10000",
    "60000",
    "300000",
    "+Inf",
)
ROUNDS = 12


def page(pod: int) -> str:
    """A sidecar's page: 10 edges of 20 series, all of which grow."""
    return template(pod).replace("@", str(int(10 * time.time()) % 10_000_000))


@cache
def template(pod: int) -> str:
    lines = []
    for edge in range(EDGES):
        labels = ",".join(
            f'{name}="{value}"'
            for name, value in {
                "reporter": "source",
                "source_workload": f"caller-{pod}",
                "source_workload_namespace": f"team-{pod % 8}",
                "source_principal": f"spiffe://cluster.local/ns/team-{pod % 8}/sa/caller-{pod}",
                "source_app": f"caller-{pod}",
                "source_version": "v1",
                "source_canonical_service": f"caller-{pod}",
                "source_canonical_revision": "v1",
                "source_cluster": "Kubernetes",
                "destination_workload": f"callee-{(pod + edge) % PODS}-v1",
                "destination_workload_namespace": f"team-{(pod + edge) % 8}",
                "destination_principal": f"spiffe://cluster.local/ns/team-{(pod + edge) % 8}/sa/callee",
                "destination_app": f"callee-{(pod + edge) % PODS}",
                "destination_version": "v1",
                "destination_service": f"callee-{(pod + edge) % PODS}.team-{(pod + edge) % 8}.svc.cluster.local",
                "destination_canonical_service": f"callee-{(pod + edge) % PODS}",
                "destination_canonical_revision": "v1",
                "destination_service_name": f"callee-{(pod + edge) % PODS}",
                "destination_service_namespace": f"team-{(pod + edge) % 8}",
                "destination_cluster": "Kubernetes",
                "request_protocol": "http",
                "response_code": "200",
                "response_flags": "-",
                "connection_security_policy": "unknown",
            }.items()
        )
        lines += [f'istio_requests_total{{{labels},grpc_response_status="{code}"}} @' for code in ("", "0", "14")]
        lines += [
            f'istio_request_duration_milliseconds_bucket{{{labels},le="{bound}"}} {number}@'
            for number, bound in enumerate(BOUNDS)
        ]
        lines.append(f"istio_request_duration_milliseconds_sum{{{labels}}} 7@")
    return "\n".join(lines) + "\n"


class Recording(PrometheusClient):
    """Remembers what was asked of it."""

    def __init__(self, config, clock) -> None:
        super().__init__(config, clock)
        self.asked: list[tuple[str, int]] = []

    async def samples(self, expression, *, at_ms):
        self.asked.append((expression, at_ms))
        return await super().samples(expression, at_ms=at_ms)


async def report() -> AsyncIterator[str]:
    exporter = Exporter()
    exporter.pages = {f"{pod}": lambda pod=pod: page(pod) for pod in range(PODS)}
    with tempfile.TemporaryDirectory() as directory:
        async with served(exporter.app) as url:
            jobs = [
                Job(f"pod-{pod}", [url[7:]], path=f"/{pod}", labels={"pod": f"caller-{pod}", "namespace": "mesh"})
                for pod in range(PODS)
            ]
            async with Prometheus(Path(directory), jobs, interval="5s") as server:
                await until(lambda: server.value("count(count_over_time(istio_requests_total[30s]) > 2) >= 1500"), 60)
                async for line in _measured(server):
                    yield line


async def _measured(server: Prometheus) -> AsyncIterator[str]:
    clock = SystemClock()
    config = PrometheusConfig(url=server.url, name="bench", dialects=("istio",), timeout_s=60)
    client = Recording(config, clock)
    source = PrometheusSource(config, clock, dialects=lambda: {"istio": istio.DIALECT}, client=client)
    live = LiveGraph(clock=clock)
    plain = PrometheusClient(config, clock)
    wall, cpu = ([], []), ([], [])
    await _graph(source, live, clock)
    # As the server does once it has started.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    for _ in range(ROUNDS):
        # As in life: samples of the last few seconds are new.
        await asyncio.sleep(5)
        client.asked.clear()
        began, used = time.perf_counter(), time.process_time()
        snapshot = await _graph(source, live, clock)
        took, ours = time.perf_counter() - began, time.process_time() - used
        slowest, theirs = max([await _alone(plain, server, *asked) for asked in client.asked])
        wall[0].append(took)
        wall[1].append(slowest)
        cpu[0].append(theirs + ours)
        cpu[1].append(theirs)
    state = source.state.dialects[0]
    await source.close()
    await plain.close()
    title = f"{state.series:,} series of {state.instances} processes in Prometheus to a graph of {len(snapshot.edges)} edges"
    yield ratio(*wall).line(title, "s", "its slowest query alone")
    yield ratio(*cpu).line("  in CPU: that query and all that we do", "s", "that query alone")
    yield "  goal: 1.3 at most"


async def _graph(source, live, clock):
    live.observe(await source.observe())
    live.tick(clock.now_ms())
    return live.snapshot(GraphType.VERSIONED_APP, 60)


async def _alone(client: PrometheusClient, server: Prometheus, expression: str, at_ms: int) -> tuple[float, float]:
    """What the server takes for the answer, which is received and not read: by the clock, and of its CPU."""
    began, used = time.perf_counter(), server.cpu_s()
    await client._exchange("POST", "query", {"query": expression, "time": f"{at_ms / 1000:.3f}"})
    return time.perf_counter() - began, server.cpu_s() - used
