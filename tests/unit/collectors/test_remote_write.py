"""Requests as Prometheus sends them, recorded by hand from the specifications, to a real server."""

import io
import struct
from contextlib import asynccontextmanager

import aiohttp
import cramjam
import pytest
from clocks import FakeClock

from collectors.errors import CollectorError
from collectors.protobuf import messages
from collectors.remote_write.config import RemoteWriteConfig
from collectors.remote_write.intake import Intake
from collectors.remote_write.receiver import RemoteWriteReceiver
from collectors.remote_write.wire import V1, V2
from console.services import serving
from graph.live import LiveGraph
from graph.model import GraphType, Presence

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
T0 = 1_000_000
"""When the receiver begins to listen."""
SAMPLE = [(1, "value", "double"), (2, "timestamp", "int64"), (3, "start_timestamp", "int64")]
ONE = messages(
    "sent.v1",
    {
        "Label": [(1, "name", "bytes"), (2, "value", "bytes")],
        "Sample": SAMPLE,
        "TimeSeries": [(1, "labels", "*Label"), (2, "samples", "*Sample"), (4, "histograms", "*bytes")],
        "WriteRequest": [(1, "timeseries", "*TimeSeries")],
    },
)
TWO = messages(
    "sent.v2",
    {
        "Sample": SAMPLE,
        "TimeSeries": [(1, "labels_refs", "*uint32"), (2, "samples", "*Sample"), (3, "histograms", "*bytes")],
        "Request": [(4, "symbols", "*bytes"), (5, "timeseries", "*TimeSeries")],
    },
)


def series(name="istio_requests_total", target="cart", code="200", instance="10.0.0.1:15020", **more):
    labels = {
        "reporter": "source",
        "source_workload": "web",
        "source_workload_namespace": "shop",
        "destination_workload": target,
        "destination_workload_namespace": "shop",
        "response_code": code,
        "instance": instance,
        "job": "mesh",
    }
    return {"__name__": name, **dict(sorted({**labels, **more}.items()))}


def version_1(*told):
    request = ONE["WriteRequest"]()
    for labels, samples, *more in told:
        one = request.timeseries.add(histograms=more)
        for name, value in labels.items():
            one.labels.add(name=name.encode(), value=value.encode())
        for at_s, value in samples:
            one.samples.add(timestamp=T0 + 1000 * at_s, value=value)
    return request.SerializeToString()


def version_2(*told, start_s=None, symbols=()):
    words = ["", *symbols, *dict.fromkeys(word for labels, *_ in told for pair in labels.items() for word in pair)]
    request = TWO["Request"](symbols=[word.encode() for word in words])
    for labels, samples in told:
        one = request.timeseries.add(labels_refs=[words.index(word) for pair in labels.items() for word in pair])
        for at_s, value in samples:
            start = {} if start_s is None else {"start_timestamp": T0 + 1000 * start_s}
            one.samples.add(timestamp=T0 + 1000 * at_s, value=value, **start)
    return request.SerializeToString()


class Sender:
    """Sends to a receiver, and shows what the graph makes of it."""

    def __init__(self, intake, receiver, session, clock):
        self.intake, self.receiver, self.session, self.clock = intake, receiver, session, clock
        self.graph = LiveGraph(clock=FakeClock(T0 - 1))
        self.url = f"http://127.0.0.1:{receiver.port}/api/v1/write"

    async def post(self, body, message=V1, *, raw=False, **headers):
        told = {
            "Content-Type": f"application/x-protobuf;proto={message}" if message != V1 else "application/x-protobuf",
            "Content-Encoding": "snappy",
        }
        data = body if raw else bytes(cramjam.snappy.compress_raw(body))
        async with self.session.post(self.url, data=io.BytesIO(data), headers=told | headers) as answer:
            return answer.status, await answer.text(), answer.headers

    async def send(self, *told, at_s):
        """One request of 1.0 at an instant."""
        self.clock.now = T0 + 1000 * at_s
        return (await self.post(version_1(*told)))[:2]

    async def edges(self):
        self.graph.observe(await self.intake.observe())
        self.graph.doubt("remote-write", self.intake.doubts)
        self.graph.tick(self.clock.now)
        return {
            edge.target.rpartition("/")[2]: edge
            for edge in self.graph.snapshot(GraphType.WORKLOAD, 3600).edges.values()
        }

    async def requests(self):
        return {name: edge.signals.requests for name, edge in (await self.edges()).items()}


@asynccontextmanager
async def listening(**settings):
    clock = FakeClock(T0)
    intake = Intake(RemoteWriteConfig(port=0, **settings), clock)
    receiver = RemoteWriteReceiver(intake)
    async with serving([receiver]), aiohttp.ClientSession() as session:
        yield Sender(intake, receiver, session, clock)


@pytest.fixture
async def sender():
    async with listening() as one:
        yield one


async def test_counts_are_the_differences_of_samples_from_the_first_on(sender):
    assert await sender.send((series(), [(0, 100)]), at_s=0) == (204, "")
    assert await sender.send((series(), [(15, 130)]), at_s=15) == (204, "")
    assert await sender.send((series(), [(30, 7)]), at_s=30) == (204, ""), "a counter that fell began anew"
    (count,) = (await sender.requests()).values()
    assert count == 37


async def test_a_series_may_come_several_times_in_one_request(sender):
    told = [(series(), [(at_s, value)]) for at_s, value in ((0, 10), (15, 12), (30, 19))]
    assert await sender.send(*told, at_s=31) == (204, "")
    (count,) = (await sender.requests()).values()
    assert count == 9


async def test_a_series_that_begins_while_its_process_is_known_counts_from_nothing(sender):
    await sender.send((series(), [(0, 100)]), at_s=0)
    await sender.send((series(code="503"), [(0, 50)]), at_s=1)
    await sender.requests()
    await sender.send((series(), [(75, 100)]), (series(code="500"), [(75, 3)]), at_s=75)
    (count,) = (await sender.requests()).values()
    assert count == 3, "and what another queue brought late of the first scrape does not"


async def test_a_process_that_begins_counts_from_its_beginning(sender):
    began = {"__name__": "process_start_time_seconds", "instance": "10.0.0.1:15020", "job": "mesh"}
    await sender.send((series(), [(20, 5)]), at_s=20)
    await sender.send((began, [(20, T0 / 1000 + 10)]), at_s=20)
    (count,) = (await sender.requests()).values()
    assert count == 5


async def test_replicas_of_a_prometheus_are_one_count(sender):
    for at_s, value in ((0, 10), (15, 20), (30, 30)):
        for replica in ("a", "b"):
            await sender.send((series(prometheus_replica=replica), [(at_s, value)]), at_s=at_s)
    (count,) = (await sender.requests()).values()
    assert count == 20


async def test_the_end_of_a_series_makes_its_edge_stale_at_once(sender):
    for at_s, value in ((0, 1), (15, 9)):
        told = [(series(target=target), [(at_s, value)]) for target in ("cart", "stock")]
        await sender.send(*told, at_s=at_s)
    await sender.edges()
    assert await sender.send((series(target="cart"), [(16, STALE)]), at_s=16) == (204, "")
    edges = await sender.edges()
    presence = {name: edge.presence for name, edge in edges.items()}
    stale = next(edge for edge in edges.values() if edge.presence is Presence.STALE)
    assert list(presence.values()).count(Presence.STALE) == 1
    assert "is gone" in stale.reason


async def test_samples_out_of_order_are_refused_and_the_others_taken(sender):
    await sender.send((series(), [(0, 1)]), (series(target="stock"), [(0, 1)]), at_s=0)
    await sender.send((series(), [(15, 5)]), at_s=15)
    status, text = await sender.send((series(), [(10, 4)]), (series(target="stock"), [(15, 8)]), at_s=16)
    assert (status, text) == (400, "1 samples are older than what was sent before\n")
    assert await sender.send((series(), [(15, 5)]), at_s=17) == (204, ""), "a request that was sent again is no mistake"
    assert sorted((await sender.requests()).values()) == [4, 7]


async def test_what_comes_after_a_long_pause_is_not_shown_as_now(sender):
    await sender.send((series(), [(0, 10)]), at_s=0)
    await sender.requests()
    await sender.send((series(), [(60, 500), (3500, 900), (3590, 910)]), at_s=3600)
    (count,) = (await sender.requests()).values()
    assert count <= 410


async def test_version_2_reads_symbols_and_says_what_was_written(sender):
    status, _, headers = await sender.post(version_2((series(), [(0, 1)]), ({"__name__": "up"}, [(0, 1)])), V2)
    assert status == 204
    assert headers["X-Prometheus-Remote-Write-Samples-Written"] == "2", "what no mesh writes is taken, too"
    assert headers["X-Prometheus-Remote-Write-Histograms-Written"] == "0"
    sender.clock.now += 15_000
    status, text, headers = await sender.post(version_2((series(), [(15, 9), (14, 8)]), symbols=["unused"]), V2)
    assert (status, headers["X-Prometheus-Remote-Write-Samples-Written"]) == (400, "1")
    assert "older than" in text
    (count,) = (await sender.requests()).values()
    assert count == 8


async def test_version_2_tells_when_a_counter_began(sender):
    await sender.post(version_2((series(), [(20, 5)]), start_s=10), V2)
    sender.clock.now += 40_000
    await sender.post(version_2((series(), [(40, 6)]), start_s=35), V2)
    (count,) = (await sender.requests()).values()
    assert count == 11


async def test_what_we_publish_ourselves_does_not_come_back(sender):
    copy = series(collected_by="meshscope")
    await sender.send((copy, [(0, 1)]), at_s=0)
    assert await sender.send((copy, [(15, 100)]), at_s=15) == (204, "")
    assert await sender.requests() == {}


async def test_series_are_bounded():
    async with listening(most_series=1) as sender:
        status, text = await sender.send((series(), [(0, 1)]), (series(target="stock"), [(0, 1)]), at_s=0)
        assert (status, text) == (400, "1 samples are of series beyond the limit (remote_write.most_series)\n")


@pytest.mark.parametrize(
    ("body", "sent", "status", "said"),
    [
        (b"\xff\xff", {}, 400, "is no prometheus.WriteRequest"),
        (b"nonsense", {"raw": True}, 400, "snappy"),
        (bytes(cramjam.snappy.compress_raw(bytes(70_000_000))), {"raw": True}, 413, "after decompression"),
        (bytes(9_000_000), {"raw": True}, 413, "max_samples_per_send"),
        (b"", {"Content-Encoding": "gzip"}, 415, "snappy is taken"),
        (b"", {"Content-Type": "application/json"}, 415, "io.prometheus.write.v2.Request"),
        (b"", {"Content-Type": "application/x-protobuf;proto=other"}, 415, "prometheus.WriteRequest"),
        (b"", {"Origin": "http://evil.example"}, 403, "not from web pages"),
    ],
)
async def test_what_cannot_be_taken_is_refused_as_the_specification_says(sender, body, sent, status, said):
    answer = await sender.post(body, **sent)
    assert answer[0] == status
    assert said in answer[1]


async def test_a_reference_beyond_the_symbols_is_malformed(sender):
    request = TWO["Request"](symbols=[b"", b"__name__"])
    request.timeseries.add(labels_refs=[1, 7])
    status, text, _ = await sender.post(request.SerializeToString(), V2)
    assert (status, text) == (400, "label references must be pairs of numbers below 2\n")


async def test_a_bucket_without_a_bound_is_malformed(sender):
    status, text = await sender.send(
        (series("istio_request_duration_milliseconds_bucket", le="much"), [(0, 1)]), at_s=0
    )
    assert status == 400
    assert "istio_request_duration_milliseconds_bucket cannot be read" in text


async def test_where_a_token_is_set_nobody_writes_without_it():
    async with listening(token="tell-nobody") as sender:
        assert (await sender.post(version_1()))[0] == 401
        assert (await sender.post(version_1(), Authorization="Bearer wrong"))[0] == 401
        assert (await sender.post(version_1(), Authorization="Bearer tell-nobody"))[0] == 204


def test_listening_beyond_loopback_needs_a_token():
    with pytest.raises(CollectorError, match="needs a token"):
        RemoteWriteConfig(listen="0.0.0.0", port=9000)
