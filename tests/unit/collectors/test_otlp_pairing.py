from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from otlp_fakes import request, resource, span

from collectors.otlp.decode import Decoder
from collectors.otlp.limits import Limits
from collectors.otlp.pairing import Pairing


def rows(*parts):
    return Decoder(Limits(), cluster="Kubernetes").decode(request(*parts)).spans


def names(calls):
    return Counter((call.caller and call.caller.span_id[-1], call.callee and call.callee.span_id[-1]) for call in calls)


WEB, CART = resource("web"), resource("cart")
EVERYTHING = rows(
    (WEB, [span("client", 1), span("client", 3), span("client", 5, db__system="redis"), span("client", 6)]),
    (CART, [span("server", 2, parent=1), span("server", 4, parent=3), span("server", 7), span("server", 8, parent=99)]),
    (WEB, [span("producer", 9), span("client", 2, trace=2)]),
    (CART, [span("consumer", 10, parent=9), span("server", 11, parent=2, trace=2), span("internal", 12, parent=1)]),
)


@given(st.permutations(EVERYTHING), st.integers(0, len(EVERYTHING)))
def test_spans_in_any_order_and_split_anywhere_make_the_same_calls(spans, cut):
    pairing = Pairing(most=100, wait_s=10)
    calls = [*pairing.pair(spans[:cut], 0), *pairing.pair(spans[cut:], 5), *pairing.expire(100)]
    assert names(calls) == {
        (1, 2): 1,
        (3, 4): 1,
        (5, None): 1,
        (6, None): 1,
        (None, 7): 1,
        (None, 8): 1,
        (9, 10): 1,
        (2, 11): 1,
    }
    assert pairing.pending == 0


def test_a_span_waits_its_time_and_no_longer():
    pairing = Pairing(most=100, wait_s=10)
    [caller, callee] = rows((WEB, [span("client", 1)]), (CART, [span("server", 2, parent=1)]))
    assert list(pairing.pair([caller], 100)) == []
    assert list(pairing.expire(109)) == []
    assert names(pairing.expire(110)) == {(1, None): 1}
    assert names(pairing.pair([callee], 111)) == {(None, 2): 1}  # too late: the caller has been counted without it


def test_a_pair_met_in_time_does_not_expire_again():
    pairing = Pairing(most=100, wait_s=10)
    assert len(list(pairing.pair(rows((WEB, [span("client", 1)]), (CART, [span("server", 2, parent=1)])), 0))) == 1
    assert list(pairing.expire(1000)) == []


def test_a_retrys_second_callee_has_no_caller_of_its_own():
    pairing = Pairing(most=100, wait_s=10)
    spans = rows((CART, [span("server", 2, parent=1), span("server", 3, parent=1)]), (WEB, [span("client", 1)]))
    assert names([*pairing.pair(spans, 0), *pairing.expire(10)]) == {(1, 2): 1, (None, 3): 1}


def test_no_more_wait_than_there_is_room_for():
    pairing = Pairing(most=5, wait_s=10)
    list(pairing.pair(rows((WEB, [span("client", number) for number in range(1, 9)])), 0))
    assert (pairing.pending, pairing.refused) == (5, 3)


def test_a_span_that_comes_twice_is_counted_once_whether_its_call_is_over_or_not():
    pairing = Pairing(most=100, wait_s=10)
    first = names([*pairing.pair(EVERYTHING, 0), *pairing.pair(EVERYTHING, 5), *pairing.expire(100)])
    second = Pairing(most=100, wait_s=10)
    assert first == names([*second.pair(EVERYTHING, 0), *second.expire(100)])
    assert pairing.duplicates == sum(1 for row in EVERYTHING if row.kind > 1)


def test_a_caller_that_comes_again_after_it_was_counted_alone_is_known():
    pairing = Pairing(most=100, wait_s=10)
    caller = rows((WEB, [span("client", 1)]))
    assert names([*pairing.pair(caller, 0), *pairing.expire(10), *pairing.pair(caller, 15)]) == {(1, None): 1}
    assert pairing.duplicates == 1


@given(st.lists(st.tuples(st.sampled_from(EVERYTHING), st.integers(0, 8)), max_size=60), st.integers(1, 20))
def test_every_span_is_accounted_for_whatever_comes_when(arrivals, most):
    pairing = Pairing(most=most, wait_s=10, remembered=most)
    now, told = 0, 0
    for row, later in arrivals:
        now += later
        told += sum(call.spans for call in pairing.expire(now))
        told += sum(call.spans for call in pairing.pair([row], now))
        assert pairing.pending >= 0
    accounted = told + pairing.duplicates + pairing.refused + pairing.internal + pairing.pending
    assert accounted == len(arrivals)
    told += sum(call.spans for call in pairing.expire(now + 10))
    assert pairing.pending == 0
    list(pairing.expire(now + 20))
    assert not pairing._seen
    assert not pairing._expired


def test_what_is_counted_is_remembered_within_bounds():
    pairing = Pairing(most=1000, wait_s=10, remembered=50)
    queries = rows((WEB, [span("client", number, db__system="redis") for number in range(1, 201)]))
    pairs = rows(
        (WEB, [span("client", number, trace=2) for number in range(1, 201)]),
        (CART, [span("server", 1000 + number, parent=number, trace=2) for number in range(1, 201)]),
    )
    assert len([*pairing.pair(queries, 0), *pairing.pair(pairs, 0)]) == 400
    assert pairing.unremembered == 350
    assert len(pairing._seen) == 50
