"""A proxy forgets some of its series while the others go on: nothing is lost, and nothing counts twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.dialects import istio, known
from collectors.exposition import Exposition
from graph.model import Counters

CODES = ("200", "201", "303")
BOUNDS = ("1", "5", "+Inf")
EDGE = 'reporter="source",source_workload="web",source_workload_namespace="shop",destination_workload="cart"'
DURATION = "istio_request_duration_milliseconds"


class Proxy:
    """Writes a page of one edge as a real one does."""

    def __init__(self) -> None:
        self.requests: dict[str, int] = {}
        self.buckets: dict[str, int] = {}
        self.epoch = 1
        self._exposition = Exposition(istio.DIALECT, cluster="Kubernetes")

    def serve(self, code: str, times: int = 1) -> None:
        """Count requests that took between one and five milliseconds."""
        self.requests[code] = self.requests.get(code, 0) + times
        for bound in BOUNDS:
            self.buckets[bound] = self.buckets.get(bound, 0) + (times if bound != "1" else 0)

    def read(self) -> Counters:
        lines = [f'istio_requests_total{{{EDGE},response_code="{code}"}} {n}' for code, n in self.requests.items()]
        lines += [f'{DURATION}_bucket{{{EDGE},le="{bound}"}} {n}' for bound, n in self.buckets.items()]
        if self.buckets:
            lines.append(f"{DURATION}_sum{{{EDGE}}} {3 * self.buckets['+Inf']}")
        page = "".join(f"{line}\n" for line in lines)
        [seen] = self._exposition.read(page, instance="p", epoch=self.epoch, at_ms=1, origin="p")
        return seen.counters


def by_code(counters: Counters) -> dict[str, float]:
    return {outcome.code: number for outcome, number in counters.requests.items()}


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


def test_a_code_that_begins_again_goes_on_and_its_neighbours_count_once(proxy):
    proxy.serve("200", 1000)
    proxy.serve("303", 40)
    proxy.read()
    proxy.serve("200")
    del proxy.requests["303"]
    assert by_code(proxy.read()) == {"200": 1001, "303": 40}
    proxy.serve("303", 2)
    assert by_code(proxy.read()) == {"200": 1001, "303": 42}


def test_a_histogram_that_begins_again_goes_on_in_all_its_parts(proxy):
    proxy.serve("200", 100)
    proxy.read()
    proxy.buckets.clear()
    proxy.serve("200", 3)
    latency = proxy.read().latency_ms
    assert (latency.bounds[:2], latency.counts, latency.total) == ((1, 5), (0, 103, 103), 309)


def test_a_histogram_that_is_gone_stays_as_it_was(proxy):
    proxy.serve("200", 100)
    proxy.read()
    proxy.buckets.clear()
    assert proxy.read().latency_ms.counts == (0, 100, 100)


def test_a_bucket_that_is_estimated_lower_than_before_did_not_begin_again(proxy):
    proxy.serve("200", 100)
    proxy.read()
    proxy.buckets["5"] = 99
    assert proxy.read().latency_ms.counts == (0, 99, 100)


def test_a_new_run_counts_from_zero(proxy):
    proxy.serve("200", 100)
    proxy.serve("303", 5)
    proxy.read()
    proxy.requests, proxy.buckets, proxy.epoch = {}, {}, 2
    proxy.serve("200", 7)
    counters = proxy.read()
    assert (by_code(counters), counters.latency_ms.counts) == ({"200": 7}, (0, 7, 7))


def test_a_process_that_is_labelled_anew_begins_at_zero_under_its_new_name():
    exposition = Exposition(known()["linkerd"], cluster="Kubernetes")
    line = 'response_total{direction="outbound",dst_deployment="cart",dst_namespace="shop",status_code="200"}'

    def read(number: int, name: str) -> dict[str, float]:
        labels = {"namespace": "shop", "deployment": name}
        batch = exposition.read(f"{line} {number}\n", instance="p", epoch=1, at_ms=1, origin="p", target=labels)
        return {one.edge.source.workload: sum(one.counters.requests.values()) for one in batch}

    assert read(500, "web") == {"web": 500}
    assert read(507, "shop-web") == {"shop-web": 7}
    assert read(509, "shop-web") == {"shop-web": 9}


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(CODES), st.integers(1, 9)),
            st.sets(st.sampled_from((*CODES, "histogram"))),
        ),
        min_size=1,
    )
)
def test_whatever_is_forgotten_between_two_pages_every_request_counts_once(steps):
    proxy, truth = Proxy(), dict.fromkeys(CODES, 0)
    proxy.serve("200")
    truth["200"] += 1
    proxy.read()
    for served, forgotten in steps:
        for code in forgotten & proxy.requests.keys():
            proxy.requests[code] = 0
        if "histogram" in forgotten:
            proxy.buckets = dict.fromkeys(BOUNDS, 0)
        proxy.read()
        for code, times in served.items():
            proxy.serve(code, times)
            truth[code] += times
        counters = proxy.read()
        assert {code: number for code, number in by_code(counters).items() if number} == {
            code: number for code, number in truth.items() if number
        }
        assert counters.latency_ms.counts[-1] == sum(truth.values())
