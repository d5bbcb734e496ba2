import asyncio
import math
from pathlib import Path

import pytest
from clocks import FakeClock
from collector_fakes import Remembering, instance, inventory
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from otlp_fakes import pairs, resource

from collectors import dialects
from collectors.otlp.ingest import NOBODY, Ingest
from collectors.otlp.limits import RefusedError
from collectors.otlp.metrics import Metrics
from collectors.otlp.receiver import OtlpReceiver
from collectors.peers import Peers
from console.clock import SystemClock
from graph.live import LiveGraph
from graph.model import GraphType, NodeKind, Outcome, Protocol, Reporter, Service, ServiceRef
from mesh_runtime.registry import RegistryState

NOW_MS = 1_790_000_000_000
NOW_NS = NOW_MS * 1_000_000
DELTA, CUMULATIVE = 1, 2
CATALOG = ServiceRef("Kubernetes", "shop", "catalog")
OK = {"http.request.method": "GET", "server.address": "catalog", "server.port": 80, "http.response.status_code": 200}


def known() -> Peers:
    state = RegistryState(revision=1, instances={"catalog": instance("catalog", address="127.64.0.9")})
    services = [Service(ref=CATALOG, kind=NodeKind.SERVICE, hosts=(), workloads=(), ports={80: "http"})]
    return Peers(inventory(state, services), state)


class Sender:
    """An application's process with one metric, as an SDK would send it."""

    def __init__(self, *, app="web", peers=NOBODY, began_ms=NOW_MS, dialects=None, **about):
        self.live = Remembering()
        self.clock = FakeClock(began_ms)
        self.metrics = Metrics(self.live, self.clock, peers=lambda: peers, dialects=dialects)
        self.about = resource(app, **{"service.instance.id": f"{app}-0"} | about)

    def send(self, name, *points, kind="histogram", temporality=CUMULATIVE, unit="s"):
        request = ExportMetricsServiceRequest()
        part = request.resource_metrics.add()
        part.resource.attributes.extend(pairs(self.about))
        metric = part.scope_metrics.add().metrics.add(name=name, unit=unit)
        data = getattr(metric, kind)
        if kind in {"sum", "histogram", "exponential_histogram"}:
            data.aggregation_temporality = temporality
        for attributes, fields in points:
            point = data.data_points.add(**fields)
            point.attributes.extend(pairs(attributes))
        return ExportMetricsServiceResponse.FromString(
            self.metrics.take(request.SerializeToString()).SerializeToString()
        )

    def edges(self):
        return {one.edge: one for one in self.metrics.collect(NOW_MS)}

    def counted(self):
        [one] = self.edges().values()
        return one.counters


def histogram(*counts, total=0.0, start_s=0, at_s=10, bounds=(0.1, 1.0)):
    return {
        "count": sum(counts),
        "sum": total,
        "bucket_counts": counts,
        "explicit_bounds": bounds,
        "start_time_unix_nano": NOW_NS + start_s * 10**9,
        "time_unix_nano": NOW_NS + at_s * 10**9,
    }


def exponential(scale, offset, *counts, zero=0, start_s=0, at_s=10):
    return {
        "count": sum(counts) + zero,
        "sum": 1.0,
        "scale": scale,
        "zero_count": zero,
        "positive": {"offset": offset, "bucket_counts": counts},
        "start_time_unix_nano": NOW_NS + start_s * 10**9,
        "time_unix_nano": NOW_NS + at_s * 10**9,
    }


def test_a_callers_histogram_is_an_edge_with_requests_outcomes_and_latency():
    web = Sender(peers=known())
    failed = OK | {"http.response.status_code": 503, "error.type": "503"}
    web.send("http.client.request.duration", (OK, histogram(3, 5, 1, total=4.5)), (failed, histogram(0, 0, 2, total=3)))
    [(edge, observed)] = web.edges().items()
    assert (edge.source.app, edge.service, edge.target.workload, edge.protocol) == ("web", CATALOG, "catalog", "http")
    assert observed.reporter is Reporter.APPLICATION
    assert observed.instance == "web-0"
    assert observed.counters.requests == {Outcome("200", "", "-"): 9, Outcome("503", "", "-"): 2}
    assert observed.counters.latency_ms.bounds == (100, 1000, math.inf)
    assert observed.counters.latency_ms.counts == (3, 8, 11)
    assert observed.counters.latency_ms.total == 7500


def test_cumulative_points_count_what_they_add_and_a_restart_begins_anew():
    web = Sender()
    for fields in (
        histogram(1, 1, 0, at_s=10),
        histogram(2, 1, 0, at_s=20),
        histogram(2, 1, 0, at_s=20),  # sent again
        histogram(4, 0, 0, start_s=25, at_s=30),  # started again
    ):
        web.send("http.client.request.duration", (OK, fields))
    assert web.counted().requests == {Outcome("200", "", "-"): 7}


def test_delta_points_are_added_up_and_one_that_comes_twice_counts_once():
    web = Sender()
    for fields in (histogram(1, 1, 0, at_s=10), histogram(1, 1, 0, at_s=10), histogram(0, 5, 0, start_s=10, at_s=20)):
        web.send("http.client.request.duration", (OK, fields), temporality=DELTA)
    assert web.counted().requests == {Outcome("200", "", "-"): 7}


def test_what_was_counted_before_the_server_listened_is_not_counted():
    web = Sender()
    web.send("http.client.request.duration", (OK, histogram(1000, 0, 0, start_s=-3600, at_s=10)))
    web.send("http.client.request.duration", (OK, histogram(1002, 1, 0, start_s=-3600, at_s=20)))
    assert web.counted().requests == {Outcome("200", "", "-"): 3}


def test_exponential_histograms_may_change_their_scale():
    web = Sender()
    # Scale 3 has eight buckets per power of two, scale 0 one: 0.125 to 0.25 s is -24 to -17 there and -3 here.
    web.send(
        "http.client.request.duration", (OK, exponential(3, -24, 1, 1, 1, 1, 1, 1, 1, 1)), kind="exponential_histogram"
    )
    web.send(
        "http.client.request.duration", (OK, exponential(0, -3, 10, 5, zero=1, at_s=20)), kind="exponential_histogram"
    )
    counters = web.counted()
    assert counters.requests == {Outcome("200", "", "-"): 16}
    below = dict(zip(counters.latency_ms.bounds, counters.latency_ms.counts, strict=True))
    assert below[100.0] == 1
    assert below[300.0] == 11
    assert below[math.inf] == 16


@pytest.mark.parametrize(
    ("name", "unit", "attributes", "protocol", "target"),
    [
        ("http.client.duration", "ms", {"http.status_code": 200, "net.peer.name": "api.example.com"}, "http", "ext:api.example.com"),
        ("rpc.client.duration", "ms", {"rpc.system": "grpc", "rpc.grpc.status_code": 0, "net.peer.name": "api"}, "grpc", "ext:api"),
        ("rpc.client.call.duration", "s", {"rpc.system.name": "grpc", "rpc.response.status_code": "OK", "server.address": "api"}, "grpc", "ext:api"),
        ("db.client.operation.duration", "s", {"db.system.name": "postgresql", "server.address": "db", "server.port": 5432}, "tcp", "db:postgresql@db:5432"),
        ("messaging.client.operation.duration", "s", {"messaging.system": "kafka", "messaging.destination.name": "orders"}, "tcp", "queue:orders"),
    ],
)  # fmt: skip
def test_the_names_of_all_conventions_are_read_old_and_new(name, unit, attributes, protocol, target):
    web = Sender()
    bounds = (100.0, 1000.0) if unit == "ms" else (0.1, 1.0)
    web.send(name, (attributes, histogram(2, 1, 0, bounds=bounds)), unit=unit)
    [(edge, observed)] = web.edges().items()
    assert (edge.protocol, edge.target.app) == (Protocol(protocol), target)
    assert sum(observed.counters.requests.values()) == 3
    assert observed.counters.latency_ms.bounds == (100, 1000, math.inf)


def test_a_callees_metric_is_an_edge_where_the_callers_address_is_one_of_the_mesh():
    web = Sender(app="web", peers=known())
    served = {"http.response.status_code": 200, "client.address": "127.64.0.9"}
    web.send("http.server.request.duration", (served, histogram(1, 2, 0)))
    [(edge, observed)] = web.edges().items()
    assert (edge.source.workload, edge.target.app) == ("catalog", "web")
    assert sum(observed.counters.requests.values()) == 3


def test_what_makes_no_edge_is_counted_by_name_with_the_reason():
    web = Sender()
    web.send("http.server.request.duration", ({"http.response.status_code": 200}, histogram(1, 2, 0)))
    web.send("http.client.request.duration", ({"http.response.status_code": 200}, histogram(1, 0, 0)))
    web.send("jvm.memory.used", ({}, {"as_int": 5}), ({"pool": "old"}, {"as_int": 5}), kind="gauge")
    web.send("http.client.request.duration.sum", ({}, {"as_int": 5}), kind="sum")
    unused = web.metrics.unused
    assert not web.edges()
    assert "client.address" in unused["http.server.request.duration"].reason
    assert "server.address" in unused["http.client.request.duration"].reason
    assert unused["jvm.memory.used"] == (2, "not about requests between workloads")
    assert web.metrics.state.unused_points == 5


def test_what_a_restarted_proxy_does_not_forward_any_more_is_not_counted_again():
    collector = Sender(app="istio-proxies")
    labels = {"reporter": "source", "source_workload": "web", "source_workload_namespace": "shop", "pod": "web-1"}
    labels |= {"destination_workload": "cart", "destination_workload_namespace": "shop"}
    graph = LiveGraph(clock=FakeClock(NOW_MS))
    runs = [(1, {"200": 100, "503": 40}), (60, {"200": 5}), (60, {"200": 9, "503": 2})]
    for number, (started_s, counts) in enumerate(runs):
        at_ns = NOW_NS + (10 + 60 * number) * 10**9
        times = {"start_time_unix_nano": NOW_NS + started_s * 10**9, "time_unix_nano": at_ns}
        for code, count in counts.items():
            point = (labels | {"response_code": code}, {"as_int": count} | times)
            collector.send("istio_requests_total", point, kind="sum")
        graph.observe(collector.metrics.collect(collector.clock.now))
        collector.clock.now += 1000
    graph.tick(collector.clock.now)
    (edge,) = graph.snapshot(GraphType.WORKLOAD, 60).edges.values()
    assert edge.signals.requests == 100 + 40 + 9 + 2


def test_metrics_of_a_mesh_that_a_file_describes_are_read_when_a_collector_forwards_them():
    acme = dialects.known([Path(__file__).parents[2] / "golden" / "dialects" / "acme" / "acme.toml"])
    collector = Sender(app="acme-proxies", dialects=acme.values())
    labels = {"direction": "outbound", "side": "client", "cluster_name": "shop/cart/80", "status": "200"}
    labels |= {"from_pod": "web-6b7f5c9d8-x2k4p", "from_namespace": "shop"}
    collector.send("acme_requests", (labels, {"as_double": 20.0, "time_unix_nano": NOW_NS}), kind="sum")
    [(edge, observed)] = collector.edges().items()
    assert (edge.source.workload, edge.service.name) == ("web", "cart")
    assert sum(observed.counters.requests.values()) == 20


def test_istios_metrics_that_a_collector_forwards_are_read_by_istios_dialect():
    collector = Sender(app="istio-proxies")
    labels = {
        "reporter": "source",
        "source_workload": "frontend",
        "source_workload_namespace": "shop",
        "destination_workload": "catalog-v1",
        "destination_workload_namespace": "shop",
        "destination_service": "catalog.shop.svc.cluster.local",
        "response_code": "200",
        "request_protocol": "http",
        "pod": "frontend-1",
    }
    collector.send("istio_requests_total", (labels, {"as_double": 5.0, "time_unix_nano": NOW_NS}), kind="sum")
    collector.send("istio_request_duration_milliseconds", (labels, histogram(4, 1, 0, total=300, bounds=(25.0, 250.0))))
    collector.send("istio_requests", (labels | {"response_code": "503"}, {"as_int": 2}), kind="sum")
    [(edge, observed)] = collector.edges().items()
    assert (edge.source.workload, edge.service.name, edge.target.workload) == ("frontend", "catalog", "catalog-v1")
    assert observed.reporter is Reporter.SOURCE
    assert sorted((one.code, n) for one, n in observed.counters.requests.items()) == [("200", 5), ("503", 2)]
    assert observed.counters.latency_ms.counts == (4, 5, 5)
    assert "frontend-1" in observed.instance
    copy = labels | {"response_code": "500", "collected_by": "meshscope"}
    collector.send("istio_requests_total", (copy, {"as_double": 9.0, "time_unix_nano": NOW_NS}), kind="sum")
    assert collector.edges() == {}, "what we publish does not come back"
    assert not collector.metrics.unused


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        ("histogram", histogram(1, 1, 0, bounds=(1.0, 0.1)), "bounds that do not rise"),
        ("histogram", {"count": 5, "bucket_counts": [1, 1], "explicit_bounds": [1.0]}, "do not add up"),
        ("histogram", histogram(1, 1, 0, total=-5.0), "negative or no number"),
        ("exponential_histogram", {"count": 1, "scale": 99}, "scale 99"),
        ("exponential_histogram", {"count": 1, "negative": {"bucket_counts": [1]}}, "below zero"),
    ],
)
def test_points_that_cannot_be_are_rejected_in_part_with_the_reason(kind, fields, reason):
    web = Sender()
    reply = web.send(
        "http.client.request.duration",
        (OK, fields),
        (OK, histogram(1, 0, 0) if kind == "histogram" else exponential(0, 0, 1)),
        kind=kind,
    )
    assert reply.partial_success.rejected_data_points == 1
    assert reason in reply.partial_success.error_message
    assert sum(web.counted().requests.values()) == 1


def test_what_is_no_metrics_request_is_refused_and_counted():
    web = Sender()
    with pytest.raises(RefusedError, match="not an OTLP metrics request"):
        web.metrics.take(b"\x0a\xff\xff")
    with pytest.raises(RefusedError, match="not an OTLP metrics request"):
        web.metrics.from_json(b'{"resourceMetrics": 5}')
    assert web.metrics.drops["malformed_requests"] == 1


async def test_the_public_sdks_metrics_become_an_edge_of_the_graph():
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource

    def send(port):
        exporter = OTLPMetricExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True, timeout=60)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
        about = Resource({"service.name": "web", "service.namespace": "shop"})
        provider = MeterProvider([reader], resource=about, shutdown_on_exit=False)
        took = provider.get_meter("t").create_histogram(
            "http.client.request.duration",
            unit="s",
            explicit_bucket_boundaries_advisory=[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
        )
        for _ in range(20):
            took.record(0.03, OK)
        provider.force_flush()
        for _ in range(5):
            took.record(0.2, OK | {"http.response.status_code": 500})
        provider.force_flush()
        provider.shutdown()

    clock = SystemClock()
    live = LiveGraph(clock=clock)
    metrics = Metrics(live, clock, peers=known)
    receiver = OtlpReceiver(Ingest(live, clock), "127.0.0.1:0", "127.0.0.1:0", [metrics])
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(receiver.run(ready.set))
        await ready.wait()
        live.tick(clock.now_ms())
        await asyncio.to_thread(send, receiver.grpc_port)
        running.cancel()
    live.observe(metrics.collect(clock.now_ms()))
    live.tick(clock.now_ms() + 1)
    [edge] = live.snapshot(GraphType.VERSIONED_APP, 60).edges.values()
    assert edge.signals.requests == 25
    assert edge.signals.errors == 5
    assert 25 <= edge.signals.p50_ms <= 50
    assert [one.reporter for one in edge.evidence] == [Reporter.APPLICATION]
