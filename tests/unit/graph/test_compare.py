"""What is different between two moments, and what is only chance."""

from __future__ import annotations

import random

import numpy as np
import pytest
from drawn import call, graph
from graph_words import T0, answered, edge, inventory, seen, workload
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.compare import Verdict, compare, comparison_json, difference
from graph.model import Counters, GraphType, Histogram, Inventory, Protocol, Signals
from graph.moment import snapshot_of

BOUNDS = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, float("inf"))
CALLS = edge("web", "cart@v1")


def at(*observations, window_s=300, known=None):
    """The moment in which this was counted."""
    return snapshot_of(observations, known or Inventory(), GraphType.VERSIONED_APP, T0, T0 + 1000 * window_s)


def calls(ok, *, failed=0, median_ms=None, key=CALLS, window_s=300, **tcp):
    counters = answered(ok, failed=failed, **tcp)
    if median_ms:
        chance = np.random.default_rng(int(ok))
        samples = chance.lognormal(np.log(median_ms), 0.5, int(ok + failed))
        counts = tuple(float((samples <= bound).sum()) for bound in BOUNDS)
        counters = Counters(requests=counters.requests, latency_ms=Histogram(BOUNDS, counts, float(samples.sum())))
    return seen(key, counters, at=window_s, epoch=T0)


def verdicts(before, after):
    found = compare(before, after)
    assert len(found.edges) <= 1
    return found.edges[0].verdicts if found.edges else ()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (calls(1000), calls(950, failed=50), (Verdict.FAILING,)),
        (calls(950, failed=50), calls(1000), (Verdict.RECOVERED,)),
        (calls(1000, median_ms=10), calls(1000, median_ms=30), (Verdict.SLOWER,)),
        (calls(1000, median_ms=30), calls(1000, median_ms=10), (Verdict.FASTER,)),
        (calls(1000), calls(2000), (Verdict.MORE_TRAFFIC,)),
        (calls(2000), calls(1000), (Verdict.LESS_TRAFFIC,)),
        (calls(2000), calls(500, failed=500), (Verdict.FAILING, Verdict.LESS_TRAFFIC)),
    ],
)
def test_differences_that_the_counts_are_sure_of_are_news(before, after, expected):
    assert verdicts(at(before), at(after)) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (calls(20), calls(19, failed=1)),
        (calls(3), calls(6)),
        (calls(12), calls(7)),
        (calls(10, median_ms=10), calls(10, median_ms=13)),
        (calls(10_000), calls(9_970, failed=30)),
        (calls(10_000), calls(11_000)),
        (calls(10_000, median_ms=10.0), calls(10_001, median_ms=10.4)),
    ],
)
def test_few_requests_and_small_differences_are_no_news(before, after):
    assert verdicts(at(before), at(after)) == ()


def test_edges_that_came_and_went_are_told_and_rare_ones_are_undecided():
    other, rare = edge("web", "pay"), edge("web", "mail")
    found = compare(at(calls(500)), at(calls(400, key=other), calls(2, key=rare)))
    assert [(change.label, change.verdicts) for change in found.edges] == [
        ("shop/web → shop/cart v1", (Verdict.GONE,)),
        ("shop/web → shop/pay", (Verdict.ADDED,)),
    ]
    assert (found.undecided, found.same) == (1, 0)
    assert [change.label for change in found.nodes if Verdict.ADDED in change.verdicts] == ["shop/pay"]


def test_what_nobody_watched_was_not_quiet():
    steady, rare = call("web", "cart", 10), call("web", "pay", 2)
    begun = graph(steady._replace(signals=Signals(window_s=10, covered_s=0.5, requests=5, rate=10)))
    assert compare(graph(steady), graph(steady, rare)).edges[0].verdicts == (Verdict.ADDED,)
    found = compare(begun, graph(steady, rare))
    assert (found.edges, found.undecided) == ((), 1)


def test_rates_are_compared_not_counts_where_windows_differ():
    assert verdicts(at(calls(6000, window_s=600), window_s=600), at(calls(3000))) == ()
    assert verdicts(at(calls(3000, window_s=600), window_s=600), at(calls(3000))) == (Verdict.MORE_TRAFFIC,)


def test_tcp_is_judged_by_its_connections_and_bytes():
    redis = edge("cart@v1", "redis", protocol=Protocol.TCP)
    quiet, busy = (calls(0, key=redis, opened=opened, sent_bytes=sent) for opened, sent in ((50, 1e6), (500, 1e7)))
    assert verdicts(at(quiet), at(busy)) == (Verdict.MORE_TRAFFIC,)
    assert verdicts(at(quiet), at(quiet)) == ()
    assert verdicts(at(), at(calls(0, key=redis, sent_bytes=1e6))) == (Verdict.ADDED,)
    assert verdicts(at(), at(calls(0, key=redis, opened=1, sent_bytes=10))) == ()


def test_replicas_that_change_are_told():
    known = [inventory(workload("web"), workload("cart", "v1"), replicas=replicas) for replicas in (3, 1)]
    found = compare(at(calls(100), known=known[0]), at(calls(100), known=known[1]))
    assert {(change.label, change.replicas) for change in found.nodes} == {
        ("shop/web", (3, 1)),
        ("shop/cart v1", (3, 1)),
    }


def test_the_most_pressing_change_comes_first():
    keys = [edge("web", app) for app in ("a", "b", "c")]
    before = at(*(calls(1000, key=key) for key in keys))
    after = at(calls(3000, key=keys[0]), calls(900, failed=100, key=keys[1]))
    assert [change.verdicts[0] for change in compare(before, after).edges] == [
        Verdict.FAILING,
        Verdict.GONE,
        Verdict.MORE_TRAFFIC,
    ]


def test_the_json_tells_what_each_moment_knows():
    told = comparison_json(compare(at(calls(1000)), at(calls(900, failed=100))))
    assert told["from"] == {"at": T0 + 300_000, "window": 300, "covered": 300.0}
    assert told["edges"][0]["before"]["requests"] == 1000
    assert told["edges"][0]["after"]["errorRatio"] == 0.1


def test_a_steady_mesh_is_hardly_ever_news():
    chance = np.random.default_rng(7)
    keys = [edge("web", f"a{n}") for n in range(300)]

    def drawn():
        return at(
            *(
                calls(chance.poisson(10.0 ** (n % 4)), failed=chance.poisson(0.02 * 10.0 ** (n % 4)), key=key)
                for n, key in enumerate(keys)
            )
        )

    news = sum(len(compare(drawn(), drawn()).edges) for _ in range(10))
    assert news <= 6, "of 3,000 comparisons"


@given(
    st.tuples(st.integers(0, 200), st.integers(1, 10_000)),
    st.tuples(st.integers(0, 200), st.integers(1, 10_000)),
)
@settings(max_examples=200, deadline=None)
def test_the_bounds_of_a_difference_hold_it_and_turn_with_the_sides(one, other):
    before, after = ((min(part, whole), whole) for part, whole in (one, other))
    low, high = difference(before, after, 2.0)
    assert low <= after[0] / after[1] - before[0] / before[1] + 1e-12
    assert high >= after[0] / after[1] - before[0] / before[1] - 1e-12
    back = difference(after, before, 2.0)
    assert (-back.high, -back.low) == pytest.approx((low, high))


def test_a_moment_compared_to_itself_holds_no_news():
    random.seed(3)
    moment = at(*(calls(random.randint(1, 5000), median_ms=5, key=edge("web", f"a{n}")) for n in range(30)))
    found = compare(moment, moment)
    assert (found.edges, found.nodes, found.undecided, found.same) == ((), (), 0, 30)
