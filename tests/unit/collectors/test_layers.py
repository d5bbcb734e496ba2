from dataclasses import replace

from collectors.layers import Layers
from graph.model import (
    Counters,
    EdgeKey,
    Histogram,
    Observation,
    Outcome,
    Protocol,
    Reporter,
    ServiceRef,
    WorkloadRef,
)

CART = ServiceRef("c", "shop", "cart")


def workload(name: str) -> WorkloadRef:
    return WorkloadRef("c", "shop", name, name, "")


def seen(source, target, *, service=CART, protocol=Protocol.HTTP, carrier=False, at_ms=1, counters=None) -> Observation:
    return Observation(
        edge=EdgeKey(workload(source), service, workload(target) if target else None, protocol),
        reporter=Reporter.SOURCE,
        instance=source,
        epoch=1,
        at_ms=at_ms,
        counters=counters or Counters(requests={Outcome("200", "", "-"): 1.0}),
        carrier=carrier,
    )


def carried(source, target, **words) -> Observation:
    return seen(source, target, protocol=Protocol.TCP, carrier=True, **words)


def test_connections_are_shown_where_nobody_counts_requests():
    alone = carried("web", "cart")
    assert Layers().one([alone]) == [alone]


def test_connections_that_carry_requests_are_not_shown_beside_them():
    requests = seen("web", "cart")
    assert Layers().one([carried("web", "cart"), requests]) == [requests]


def test_connections_by_way_of_a_waypoint_are_not_shown_beside_its_requests():
    requests = seen("web", "cart")
    there, on = carried("web", "waypoint"), carried("waypoint", "cart", service=None)
    other = carried("job", "queue", service=ServiceRef("c", "shop", "queue"))
    assert Layers().one([there, on, requests, other]) == [requests, other]


def test_requests_are_remembered_for_batches_that_do_not_speak_of_them():
    layers, requests = Layers(), seen("web", "cart")
    layers.one([carried("web", "cart"), requests])
    assert layers.one([carried("web", "cart", at_ms=60_000)]) == []


def test_connections_are_shown_again_when_requests_have_not_been_told_for_long():
    layers = Layers()
    layers.one([carried("web", "waypoint"), seen("web", "cart")])
    late = carried("web", "waypoint", at_ms=2_000_000)
    assert layers.one([late]) == [late]


def test_real_tcp_is_no_carrier():
    both = [seen("web", "cart"), seen("web", "cart", protocol=Protocol.TCP)]
    assert Layers().one(both) == both


def test_latency_that_does_not_tell_grpc_goes_to_the_grpc_calls_it_is_of():
    latency = Histogram((5.0, float("inf")), (1.0, 2.0), 7.0)
    calls = seen("web", "cart", protocol=Protocol.GRPC)
    alone = seen("web", "cart", counters=Counters(latency_ms=latency))
    [joined] = Layers().one([calls, alone])
    assert joined == replace(calls, counters=replace(calls.counters, latency_ms=latency))


def test_latency_stays_with_http_where_there_is_http():
    latency = Histogram((5.0, float("inf")), (1.0, 2.0), 7.0)
    both = [
        seen("web", "cart", protocol=Protocol.GRPC),
        replace(seen("web", "cart"), counters=Counters(requests={Outcome("200", "", "-"): 1.0}, latency_ms=latency)),
    ]
    assert Layers().one(both) == both
