"""The live graph as Istio's standard metrics: what is written is what was counted, and never falls."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from clocks import FixedClock
from graph_words import T0, edge, latency, seen, service, workload

from collectors.dialects import istio
from collectors.exposition import Exposition
from collectors.poll import PollState
from console.federation.counts import Cumulative
from console.federation.own import own_families
from console.federation.text import Family, Sample, labels, render
from console.federation.words import labels_of
from console.signals.signal import Area, Signal
from graph.live import LiveGraph
from graph.model import Counters, EdgeKey, GraphType, Outcome, Protocol, Reporter, Security, ServiceRef
from graph.series import SeriesKey

PROMTOOL = Path(sys.prefix) / "bin" / "promtool"
FINE = Outcome("200", "", "-")
SILENT_S = 70 * 60
"""Longer than the graph remembers who is silent."""
REQUESTS = re.compile(r"^istio_requests_total\{.*\} (\d+)$", re.MULTILINE)


class Graph:
    """A live graph at an instant of its own, and what it publishes."""

    def __init__(self):
        self.now = T0
        self.live = LiveGraph(clock=FixedClock())
        self.counts = Cumulative()

    def count(self, *readings, after_s=1):
        self.now += after_s * 1000
        self.live.observe(seen(*told, at=(self.now - T0) / 1000, **more) for told, more in readings)
        self.live.tick(self.now)

    def page(self):
        return render(self.counts.families(self.live.frame()), openmetrics=False)

    def requests(self):
        return [int(found) for found in REQUESTS.findall(self.page())]


def reading(key, requests, *, instance="a", by=Reporter.SOURCE, **counters):
    return (key, Counters(requests={FINE: requests} if requests else {}, **counters)), {"instance": instance, "by": by}


@pytest.fixture
def graph():
    return Graph()


@pytest.mark.parametrize(
    "key",
    [
        edge("web", "cart"),
        edge("web@v1", "cart@v2", protocol=Protocol.GRPC),
        edge("web", "db", protocol=Protocol.TCP),
        EdgeKey(workload("web"), service("cart"), None, Protocol.HTTP),
        EdgeKey(workload("web"), None, workload("cart"), Protocol.HTTP),
        EdgeKey(workload("web"), ServiceRef("Kubernetes", "shop", "api.example.com"), None, Protocol.HTTP),
    ],
)
def test_istios_dialect_reads_what_is_written(key):
    metric = "istio_tcp_sent_bytes_total" if key.protocol is Protocol.TCP else "istio_requests_total"
    told = SeriesKey(key, Reporter.DESTINATION, "i", Security.MUTUAL_TLS, "spiffe://a", "spiffe://b")
    identity, _ = istio.read(metric, labels_of(told), "Kubernetes")
    assert (identity.edge, identity.reporter, identity.security) == (key, told.reporter, told.security)
    assert (identity.source_principal, identity.destination_principal) == ("spiffe://a", "spiffe://b")


def test_instances_are_added_up_and_reporters_are_not(graph):
    key = edge("web", "cart")
    graph.count(reading(key, 3), reading(key, 4, instance="b"), reading(key, 6, by=Reporter.DESTINATION))
    assert sorted(graph.requests()) == [6, 7]


def test_what_is_published_is_read_back_to_the_request_and_the_millisecond(graph):
    samples = latency(0.4, 3, 3, 700)
    graph.count(reading(edge("web", "cart"), 4, latency_ms=samples, request_bytes=50.0))
    tcp = edge("web", "db", protocol=Protocol.TCP)
    graph.count(reading(tcp, 0, sent_bytes=10.0, received_bytes=20.0, opened=2.0, closed=1.0))
    back = Exposition(istio.DIALECT, cluster="Kubernetes").read(
        graph.page(), instance="i", epoch=1, at_ms=1, origin="here"
    )
    counted = {one.edge: one.counters for one in back}
    http = counted[edge("web", "cart")]
    assert http.requests == {FINE: 4}
    assert (http.latency_ms.total, http.latency_ms.counts[-1]) == (samples.total, 4)
    assert http.request_bytes == 50
    assert counted[tcp] == Counters(sent_bytes=10.0, received_bytes=20.0, opened=2.0, closed=1.0)


def test_counters_do_not_fall_when_an_instance_is_forgotten_or_returns(graph):
    key = edge("web", "cart")
    graph.count(reading(key, 100), reading(key, 10, instance="b"))
    assert graph.requests() == [110]
    graph.count(reading(key, 12, instance="b"), after_s=SILENT_S)
    assert len(graph.live.frame().series) == 1, "the silent one is forgotten"
    assert graph.requests() == [112]
    graph.count(reading(key, 105), reading(key, 13, instance="b"))
    assert graph.requests()[0] >= 113
    graph.count(reading(key, 108))
    assert graph.requests()[0] >= 116


def test_labels_that_nobody_counts_for_any_more_end(graph):
    graph.count(reading(edge("web", "cart"), 100))
    assert graph.requests() == [100]
    graph.count(reading(edge("web", "other"), 1), after_s=SILENT_S)
    assert graph.requests() == [1]


def test_the_page_passes_prometheus_own_check_but_for_istios_unit(graph):
    graph.count(
        reading(edge('we"b\\', "cart"), 4, latency_ms=latency(1, 2), request_bytes=5.0),
        reading(edge("web", "db", protocol=Protocol.TCP), 0, sent_bytes=1.0),
    )
    signals = [Signal(area=Area.METRICS, name="graph", text="", counters={"edges": 2.0, "dropped_late": 1.0})]
    own = own_families(
        signals,
        [PollState(source="s", interval_s=1.0, last_success_ms=T0)],
        graph.live.snapshot(GraphType.WORKLOAD, 60),
        now_ms=T0 + 1500,
        lag_s=0.25,
    )
    page = render([*graph.counts.families(graph.live.frame()), *own], openmetrics=False)
    checked = subprocess.run([PROMTOOL, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    complaints = [line for line in checked.stderr.splitlines() if line]
    assert complaints == ['istio_request_duration_milliseconds use base unit "seconds" instead of "milliseconds"']
    assert 'meshscope_source_age_seconds{source="s"} 1.5' in page
    assert 'meshscope_dropped_total{part="graph",reason="dropped_late"} 1' in page
    assert "meshscope_loop_lag_seconds 0.25" in page
    assert re.search(r'^meshscope_health\{.*app="cart".*status="healthy"\} 1$', page, re.MULTILINE)


def test_openmetrics_names_counters_without_their_ending_and_says_where_the_page_ends():
    family = Family(name="a_total", kind="counter", help='A "b".', samples=[Sample(labels({"x": 'y"\n'}), 2)])
    assert render([family], openmetrics=True) == (
        '# HELP a A \\"b\\".\n# TYPE a counter\na_total{x="y\\"\\n"} 2\n# EOF\n'
    )
