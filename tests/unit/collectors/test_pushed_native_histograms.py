"""Native histograms as remote-write sends them: what is counted between two of them, and for whom."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from clocks import FakeClock

from collectors.otlp.limits import MalformedError
from collectors.protobuf import messages
from collectors.remote_write.config import RemoteWriteConfig
from collectors.remote_write.histogram import CUSTOM, Native, grown, read_native
from collectors.remote_write.intake import Intake
from collectors.remote_write.refused import Refused
from collectors.remote_write.wire import Pushed
from graph.model import Histogram

SENT = messages(
    "sent.native",
    {
        "Span": [(1, "offset", "sint32"), (2, "length", "uint32")],
        "Histogram": [
            *((1, "count_int", "uint64"), (2, "count_float", "double"), (3, "sum", "double"), (4, "schema", "sint32")),
            *((11, "spans", "*Span"), (12, "deltas", "*sint64"), (13, "counts", "*double")),
            *((14, "hint", "int32"), (15, "timestamp", "int64"), (16, "custom_values", "*double")),
        ],
    },
)
T0 = 1_000_000
NAME = "istio_request_duration_milliseconds"


def histogram(
    buckets: Mapping[int, float], at_ms: int = 0, *, start_ms: int = 0, schema: int = 0, **more: object
) -> Native:
    """One whose samples took as long as its buckets reach."""
    fields = {"threshold": 0.001, "zero": 0.0, "bounds": (), "hint": 0} | more
    total = sum(count * 2.0 ** (number / 2 ** max(schema, 0)) for number, count in buckets.items())
    return Native(
        at_ms=T0 + at_ms,
        start_ms=start_ms,
        samples=sum(buckets.values()) + fields["zero"],  # type: ignore[operator]
        total=total,
        schema=schema,
        buckets=buckets,
        **fields,  # type: ignore[arg-type]
    )


def sent(native: Native) -> bytes:
    """How it travels: integers as differences, in one span per bucket."""
    numbers = sorted(native.buckets)
    spans = [
        SENT["Span"](offset=number - (before + 1 if at else 0), length=1)
        for at, (before, number) in enumerate(zip([0, *numbers], numbers, strict=False))
    ]
    counts = [int(native.buckets[number]) for number in numbers]
    body: bytes = SENT["Histogram"](
        count_int=int(native.samples),
        sum=native.total,
        schema=native.schema,
        spans=spans,
        deltas=[now - before for before, now in zip([0, *counts], counts, strict=False)],
        hint=native.hint,
        timestamp=native.at_ms,
        custom_values=native.bounds,
    ).SerializeToString()
    return body


class TestReading:
    """Of one histogram."""

    def test_spans_and_differences_become_numbered_buckets(self) -> None:
        one = histogram({-3: 4, 2: 1, 3: 9}, schema=3)
        assert read_native(sent(one))[4:8] == (3, 0.0, 0.0, {-3: 4, 2: 1, 3: 9})

    @pytest.mark.parametrize(
        "body",
        [
            b"\xff",
            SENT["Histogram"](schema=9).SerializeToString(),
            SENT["Histogram"](spans=[SENT["Span"](length=4_000_000_000)], deltas=[1]).SerializeToString(),
            SENT["Histogram"](
                schema=CUSTOM, spans=[SENT["Span"](length=3)], counts=[1, 1, 1], custom_values=[5]
            ).SerializeToString(),
        ],
    )
    def test_what_is_none_is_malformed(self, body: bytes) -> None:
        with pytest.raises(MalformedError, match="native histogram"):
            read_native(body)


class TestGrowth:
    """Between two histograms."""

    def test_what_is_more_is_counted_bucket_by_bucket(self) -> None:
        more = grown(histogram({1: 5, 3: 1}), histogram({1: 7, 3: 1, 4: 2}, 15_000))
        assert [one for one in more.buckets if one[2]] == [(1.0, 2.0, 2), (8.0, 16.0, 2)]
        assert more.samples == 4

    def test_a_layout_that_became_coarser_is_no_new_beginning(self) -> None:
        more = grown(histogram({3: 5, 4: 1}, schema=1), histogram({2: 8}, 15_000))
        assert more.buckets == [(2.0, 4.0, 2)]

    def test_a_zero_bucket_that_grew_took_its_neighbours_in(self) -> None:
        before = histogram({-1: 3, 1: 1}, threshold=0.25, zero=2)
        more = grown(before, histogram({1: 2}, 15_000, threshold=0.5, zero=6))
        assert more.buckets == [(0.0, 0.5, 1), (1.0, 2.0, 1)]

    @pytest.mark.parametrize(
        "after",
        [
            histogram({1: 2}, 15_000),
            histogram({2: 9}, 15_000),
            histogram({1: 9}, 15_000, hint=1),
            histogram({1: 9}, 15_000, start_ms=T0 + 1),
        ],
        ids=["fewer", "other buckets", "it says so", "it began since"],
    )
    def test_a_process_that_began_anew_counts_from_nothing(self, after: Native) -> None:
        assert grown(histogram({1: 5}), after).samples == after.samples

    def test_bounds_of_ones_own_count_while_they_are_the_same(self) -> None:
        before = histogram({0: 1, 2: 1}, schema=CUSTOM, bounds=(5.0, 10.0))
        after = histogram({0: 4, 1: 2, 2: 2}, 15_000, schema=CUSTOM, bounds=(5.0, 10.0))
        assert grown(before, after).buckets == [(0.0, 5.0, 3), (5.0, 10.0, 2), (10.0, math.inf, 1)]
        assert grown(before, after._replace(bounds=(5.0, 20.0))).samples == 0


class Receiver:
    """Takes histograms of one edge, and says what the graph is told."""

    def __init__(self) -> None:
        self.clock = FakeClock(T0)
        self.intake = Intake(RemoteWriteConfig(port=0), self.clock)

    def take(self, *histograms: Native, name: str = NAME, samples: float | None = None, **labels: str) -> dict:
        """One request; return what was refused."""
        told = {
            "reporter": "source",
            "source_workload": "web",
            "source_workload_namespace": "shop",
            "destination_workload": "cart",
            "destination_workload_namespace": "shop",
            "response_code": "200",
            "instance": "10.0.0.1:15020",
        } | labels
        self.clock.now = max(self.clock.now, T0 + 60_000)
        pairs = [(key.encode(), value.encode()) for key, value in {"__name__": name, **told}.items()]
        values = [] if samples is None else [(self.clock.now, samples)]
        bodies = [sent(one) for one in histograms]
        key = b"".join(map(b"".join, pairs))
        return dict(self.intake.take([Pushed(key, name.encode(), lambda: pairs, values, 0, bodies, 0)]).refused)

    async def latency(self) -> Histogram | None:
        """Of the one edge."""
        found = [one.counters.latency_ms for one in await self.intake.observe() if one.counters.latency_ms]
        assert len(found) <= 1
        return found[0] if found else None


@pytest.fixture
def receiver() -> Receiver:
    """One that has begun to listen."""
    return Receiver()


async def test_latencies_are_counted_from_the_first_histogram_on(receiver: Receiver) -> None:
    assert receiver.take(histogram({4: 100})) == {}
    assert receiver.take(histogram({4: 100, 6: 10}, 15_000)) == {}
    told = await receiver.latency()
    assert told is not None
    below = dict(zip(told.bounds, told.counts, strict=True))
    assert (below[32.0], below[64.0], below[math.inf], told.total) == (0, 10, 10, 640)


async def test_of_several_replicas_one_is_followed(receiver: Receiver) -> None:
    for at_ms, count in ((0, 10), (15_000, 20), (30_000, 30)):
        for late_ms, replica in ((0, "a"), (5, "b")):
            receiver.take(histogram({4: count}, at_ms + late_ms), prometheus_replica=replica)
    told = await receiver.latency()
    assert told is not None
    assert told.counts[-1] == 20


async def test_where_classic_buckets_come_too_they_count(receiver: Receiver) -> None:
    receiver.take(name=f"{NAME}_bucket", samples=5, le="+Inf")
    receiver.take(histogram({4: 1}), histogram({4: 9}, 15_000))
    told = await receiver.latency()
    assert told is not None
    assert told.bounds == (math.inf,)


async def test_histograms_out_of_order_or_of_the_future_are_refused(receiver: Receiver) -> None:
    receiver.take(histogram({4: 1}, 15_000))
    assert receiver.take(histogram({4: 1}), histogram({4: 2}, 15_000)) == {Refused.OUT_OF_ORDER: 1}
    assert receiver.take(histogram({4: 1}, 1_000_000)) == {Refused.AHEAD: 1}


async def test_a_histogram_that_begins_while_its_process_is_known_counts_from_nothing(receiver: Receiver) -> None:
    receiver.take(name="istio_requests_total", samples=3)
    assert await receiver.latency() is None
    receiver.clock.now = T0 + 150_000
    receiver.take(histogram({4: 3}, 150_000))
    told = await receiver.latency()
    assert told is not None
    assert told.counts[-1] == 3


async def test_what_is_too_long_ago_is_only_what_later_ones_are_compared_with(receiver: Receiver) -> None:
    receiver.take(histogram({4: 1}, -700_000), histogram({4: 50}, -600_000), histogram({4: 60}, 60_000))
    told = await receiver.latency()
    assert told is not None
    assert told.counts[-1] == 10


async def test_what_comes_after_it_is_forgotten_is_no_trouble(receiver: Receiver) -> None:
    receiver.clock.now += 9_000_000
    receiver.take(histogram({4: 1}, 4_000_000))
    assert await receiver.latency() is None


async def test_gauges_and_the_end_of_a_series_count_nothing(receiver: Receiver) -> None:
    receiver.take(histogram({4: 5}), histogram({4: 9}, 1000, hint=3))
    receiver.take(histogram({}, 2000)._replace(total=math.nan))
    receiver.take(histogram({4: 6}, 3000))
    told = await receiver.latency()
    assert told is not None
    assert told.counts[-1] == 1


async def test_what_is_not_of_a_mesh_is_taken_and_forgotten(receiver: Receiver) -> None:
    assert receiver.take(histogram({4: 1}), name="http_request_duration_seconds") == {}
    assert receiver.take(histogram({4: 1}), histogram({4: 5}, 1000), collected_by="meshscope") == {}
    assert await receiver.latency() is None
