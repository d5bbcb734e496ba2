"""Native histograms as the API writes them. A real Prometheus is asked in tests/integration/prometheus."""

import math

import pytest

from collectors.dialects import istio, service_graph
from collectors.prometheus.increases import observed, read_increases
from collectors.prometheus.native import natives

NAME = "istio_request_duration_milliseconds"
LABELS = {
    "reporter": "source",
    "source_workload": "web",
    "source_workload_namespace": "shop",
    "destination_workload": "cart",
    "destination_workload_namespace": "shop",
}


def latency(dialect, metric, labels, **histogram):
    sums = {}
    answer = [{"metric": labels, "histogram": [1.5, histogram]}]
    read_increases(dialect, metric, answer, cluster="c", cluster_label="", into=sums)
    (one,) = observed(sums, instance="p", epoch=1, at_ms=1, origin="here")
    return one.counters.latency_ms


def below(histogram, bound_ms):
    return max(count for bound, count in zip(histogram.bounds, histogram.counts, strict=True) if bound <= bound_ms)


def test_buckets_around_zero_and_without_an_end_are_counted():
    buckets = [[3, "-0.001", "0.001", "2"], [0, "8", "16", "4"], [0, "64", "+Inf", "3"]]
    told = latency(istio.DIALECT, NAME, LABELS, count="9", sum="300", buckets=buckets)
    assert [below(told, bound) for bound in (1, 8, 16, 64, math.inf)] == [2, 2, 6, 6, 9]
    assert (below(told, 12), told.total) == (pytest.approx(4, abs=0.4), 300)


def test_seconds_become_milliseconds():
    buckets = [[0, "0.25", "0.5", "5"]]
    metric, labels = "traces_service_graph_request_client_seconds", {"client": "web", "server": "cart"}
    told = latency(service_graph.DIALECT, metric, labels, count="5", sum="1.5", buckets=buckets)
    assert [below(told, bound) for bound in (250, 500, math.inf)] == [0, 5, 5]
    assert told.total == 1500


def test_a_histogram_without_samples_counts_nothing():
    assert latency(istio.DIALECT, NAME, LABELS, count="0", sum="0").counts[-1] == 0


def test_classic_buckets_are_preferred_where_there_are_both():
    assert natives(istio.DIALECT, {NAME, "istio_requests_total"}) == (NAME,)
    assert natives(istio.DIALECT, {NAME, f"{NAME}_bucket"}) == ()
