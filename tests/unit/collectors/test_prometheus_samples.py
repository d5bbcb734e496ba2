"""Raw samples to counts: restarts, replicas, gaps. Counts are followed for real Istio series."""

import random

import orjson
import pytest
from clocks import FakeClock

from collectors.dialects import istio
from collectors.prometheus.answers import read_samples
from collectors.prometheus.samples import Samples
from graph.live import LiveGraph
from graph.model import GraphType, Presence

CODE = {"200": "200", "500": "500"}


def reader(**options) -> Samples:
    return Samples(istio.DIALECT, source="prod", origin="istio in prod", cluster="Kubernetes", **options)


def series(*values, start_s: float = 0, step_s: float = 15, code: str = "200", pod: str = "web-1", **labels) -> bytes:
    """A caller's series, a sample per step; ``None`` is a scrape without it."""
    metric = {
        "__name__": "istio_requests_total",
        "reporter": "source",
        "source_workload": "web",
        "source_workload_namespace": "shop",
        "destination_workload": labels.pop("to", "cart"),
        "destination_workload_namespace": "shop",
        "destination_service_name": "cart",
        "destination_service_namespace": "shop",
        "response_code": code,
        "pod": pod,
        "namespace": "shop",
        "instance": "10.0.0.1:15020",
    } | labels
    samples = [[start_s + step_s * number, str(value)] for number, value in enumerate(values) if value is not None]
    return orjson.dumps({"metric": metric, "values": samples})


def counted(samples: Samples, matrix: list[bytes], **options) -> float:
    samples.read(matrix, **options)
    observations = samples.observations({whose for unit in samples.units.values() for whose in unit.whose.values()}, 0)
    return sum(sum(one.counters.requests.values()) for one in observations)


def test_what_was_counted_before_the_first_sample_is_not_counted():
    samples = reader()
    assert counted(samples, [series(1000)]) == 0
    assert counted(samples, [series(1000, 1003)]) == 3


def test_the_zero_of_a_window_is_the_last_sample_before_it():
    assert counted(reader(), [series(100, 110, 130, 160)], from_ms=16_000) == 50


def test_a_counter_that_falls_has_started_again():
    assert counted(reader(), [series(100, 110, 4, 9)]) == 10 + 4 + 5


def test_where_most_counters_of_a_process_fall_the_others_have_started_again_too():
    matrix = [series(100, 5), series(90, 3, code="500"), series(2, 7, code="404")]
    assert counted(reader(), matrix) == 5 + 3 + 7


def test_a_single_counter_that_falls_leaves_its_neighbours_alone():
    matrix = [series(100, 110), series(90, 3, code="500"), series(2, 7, code="404")]
    assert counted(reader(), matrix) == 10 + 3 + 5


def test_the_same_samples_again_change_nothing():
    samples = reader()
    counted(samples, [series(100, 110)])
    assert counted(samples, [series(100, 110)]) == 10
    assert counted(samples, [series(100, 110, 115)]) == 15


def test_a_series_that_begins_later_counts_from_its_first_request():
    samples = reader()
    counted(samples, [series(100, 110)])
    assert counted(samples, [series(100, 110, 110), series(7, start_s=30, code="500")]) == 17


def test_a_series_that_was_missing_from_the_last_answer_invents_nothing():
    samples = reader()
    counted(samples, [series(100, 110)])
    both = [series(100, 110, 111), series(5000, 5001, 5003, code="500")]
    assert counted(samples, both) == 10 + 1 + 2


def test_a_series_that_is_away_for_a_while_goes_on_where_it_was():
    samples = reader()
    counted(samples, [series(100, 110)])
    counted(samples, [series(0, start_s=45, code="500")])
    assert counted(samples, [series(140, start_s=60)]) == 40


def test_two_processes_count_twice_and_two_replicas_of_one_prometheus_once():
    matrix = [series(0, 10), series(0, 10, pod="web-2")]
    assert counted(reader(), matrix) == 20
    replicas = [series(0, 10, prometheus_replica="a"), series(0, 9, start_s=3, prometheus_replica="b")]
    assert counted(reader(), replicas) == 10
    own = [series(0, 10, ha="a"), series(0, 9, start_s=3, ha="b")]
    assert counted(reader(replica_labels=["ha"]), own) == 10


def test_a_sidecar_that_two_jobs_scrape_counts_once_though_each_adds_labels_of_its_own():
    jobs = [
        series(0, 10, 20, job="pods", app="web"),
        series(0, 10, 20, start_s=5, job="envoy-stats", container="istio-proxy", endpoint="http-envoy-prom"),
    ]
    assert counted(reader(), jobs) == 20


def test_series_that_one_scrape_tells_apart_by_a_label_of_its_own_are_all_counted():
    assert counted(reader(), [series(0, 10, route="a"), series(0, 5, route="b")]) == 15


def test_when_a_replica_dies_the_other_one_goes_on_without_a_gap():
    samples = reader()
    counted(samples, [series(0, 10, 20, prometheus_replica="a"), series(0, 9, 19, start_s=3, prometheus_replica="b")])
    later = [series(29, 39, 49, 59, start_s=33, prometheus_replica="b")]
    assert counted(samples, later) == 59


def test_a_new_process_counts_from_its_start_where_that_is_known_to_be_after_ours():
    samples = reader()
    counted(samples, [series(0)], from_ms=0)
    samples.began({}, 0)
    assert counted(samples, [series(40, pod="web-2", start_s=60), series(9, pod="web-3", start_s=60)]) == 0
    assert samples.young(0) == ["10.0.0.1:15020"]
    samples.began({"shop/web-2": 50_000, "shop/web-3": -5_000}, since_ms=1_000)
    assert counted(samples, []) == 40
    assert samples.young(0) == []


def test_where_a_busy_counter_goes_on_the_others_alone_have_started_again():
    busy = [1000 + 20 * number for number in range(12)]
    matrix = [series(*busy), series(*[40] * 10, 1, 2, code="500"), series(*[60] * 10, 1, 2, code="404")]
    assert counted(reader(), matrix) == 11 * 20 + 2 + 2


def test_a_series_that_a_restarted_process_writes_late_is_counted_from_zero():
    seldom = series(3, None, None, 3, code="404")
    matrix = [series(100, 2, 4, 6), series(90, 3, 3, 3, code="500"), seldom]
    assert counted(reader(), matrix) == 6 + 3 + 3
    samples = reader()
    counted(samples, [series(100), series(90, code="500"), series(3, code="404")])
    counted(samples, [series(2, start_s=15), series(3, start_s=15, code="500")])
    assert counted(samples, [series(3, start_s=45, code="404")]) == 2 + 3 + 3


def test_falls_that_one_restart_explains_are_one_restart():
    matrix = [series(9, 1, 5), series(9, None, 2, code="500"), series(9, None, 3, code="404")]
    assert counted(reader(), matrix) == 5 + 2 + 3


def test_clusters_are_told_apart_by_their_external_label():
    samples = reader(cluster_label="cluster")
    samples.read([series(1, cluster="east"), series(1, cluster="west"), series(1)])
    assert set(samples.units) == {"east/shop/web-1", "west/shop/web-1", "shop/web-1"}


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1"])
def test_what_is_no_count_is_not_counted(value):
    assert counted(reader(), [series(1, value, 3)]) == 2


def test_an_edge_whose_series_vanish_while_others_arrive_is_stale_and_says_why():
    samples, clock = reader(), FakeClock(now_ms=0)
    live = LiveGraph(clock=clock)
    for tick in range(1, 12):
        at_s = 15.0 * tick
        lost = [] if tick > 5 else [series(10 * tick, start_s=at_s, to="mail")]
        heard = samples.read([series(10 * tick, start_s=at_s, step_s=15), *lost])
        live.observe(samples.observations(heard, 0))
        live.doubt("prod", samples.missing())
        clock.now = int(1000 * at_s)
        live.tick(clock.now)
    edges = {edge.target.rpartition("/")[2]: edge for edge in live.snapshot(GraphType.WORKLOAD, 60).edges.values()}
    assert edges["cart"].presence is Presence.LIVE
    assert edges["cart"].reason == ""
    assert edges["mail"].presence is Presence.STALE
    assert "prod has no new samples of 1 of 1 series of shop/web-1" in edges["mail"].reason


def test_processes_long_gone_are_forgotten():
    samples = reader()
    samples.read([series(1), series(1, start_s=5_000, pod="web-2")])
    samples.forget(5_000_000)
    assert (set(samples.units), samples.series) == ({"shop/web-2"}, 1)


NATIVE = b',"histograms":[[1,{"count":"3","sum":"2","buckets":[[0,"0.5","1","3"]]}]]'


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("values", [True, False], ids=["beside samples", "alone"])
def test_native_histograms_in_an_answer_are_passed_over(place, values):
    samples = reader()
    matrix = [series(1, 6), series(1, 5, code="500"), series(1, 4, code="404")]
    metric, told, rest = series(1, 2, code="503").partition(b',"values"')
    mixed = metric + ((told + rest[:-1]) if values else b"") + NATIVE + b"}"
    body = b",".join([*matrix[:place], mixed, *matrix[place:]])
    for _ in range(2):
        answer = read_samples(b'{"status":"success","data":{"resultType":"matrix","result":[%b]}}' % body)
        assert counted(samples, answer.result) == 5 + 4 + 3 + values


def walks(chance, scrapes=60):
    """Per pod and code what each scrape found: growth, restarts of whole pods, what was not scraped, what is no number."""
    for pod in ("web-1", "web-2"):
        restarts = set(chance.sample(range(5, scrapes), 2))
        for code in ("200", "404", "500"):
            count, values = chance.randint(1000, 2000), []
            for scrape in range(scrapes):
                count = chance.randint(1, 5) if scrape in restarts else count + chance.choice((0, 3, 40))
                values.append(chance.choices((count, None, "NaN"), (40, 2, 1))[0] if scrape else count)
            yield {"pod": pod, "code": code}, values


@pytest.mark.parametrize("seed", range(5))
def test_samples_count_the_same_one_by_one_some_at_a_time_and_all_at_once(seed):
    chance = random.Random(seed)
    known = list(walks(chance))
    whole = counted(reader(), [series(*values, **of) for of, values in known])
    for ticks in (range(1, 61), sorted({1, 60, *chance.sample(range(1, 60), 20)})):
        samples, read = reader(), 0
        for tick in ticks:
            begin = max(0, read - chance.randint(0, 3))
            parts = [(of, values[begin:tick]) for of, values in known]
            told = [
                series(*part, start_s=15 * begin, **of) for of, part in parts if any(one is not None for one in part)
            ]
            total = counted(samples, [b",".join(told)])
            read = tick
        assert total == whole
