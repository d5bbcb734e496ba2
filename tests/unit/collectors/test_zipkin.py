"""Spans as Zipkin's libraries send them; the documents follow Zipkin's API description and Brave's and Envoy's output."""

import asyncio
import gzip
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from collector_fakes import Remembering
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.errors import CollectorError
from collectors.foreign_spans import ForeignSpans
from collectors.otlp.ingest import Ingest
from collectors.otlp.limits import Limits
from collectors.zipkin.translate import Zipkin, paths
from console.clock import SystemClock

TRACE = "5af7183fb1d4cf5f"
CLIENT = {
    "traceId": TRACE,
    "id": "352bff9a74ca9ad2",
    "parentId": "6b221d5bc9e6496c",
    "kind": "CLIENT",
    "name": "get /api",
    "timestamp": 1556604172355737,
    "duration": 1431,
    "localEndpoint": {"serviceName": "frontend", "ipv4": "127.0.0.1"},
    "remoteEndpoint": {"serviceName": "backend", "ipv4": "192.168.99.101", "port": 9000},
    "tags": {"http.method": "GET", "http.path": "/api", "http.status_code": "200"},
    "annotations": [{"timestamp": 1556604172355800, "value": "ws"}],
}
SERVER = {
    "traceId": TRACE,
    "id": "352bff9a74ca9ad2",
    "parentId": "6b221d5bc9e6496c",
    "kind": "SERVER",
    "name": "get /api",
    "timestamp": 1556604172356000,
    "duration": 900,
    "localEndpoint": {"serviceName": "backend"},
    "remoteEndpoint": {"ipv4": "127.0.0.1", "port": 40000},
    "tags": {"http.status_code": "200"},
    "shared": True,
}
QUERY = {
    "traceId": TRACE,
    "id": "aaaaaaaaaaaaaaaa",
    "parentId": "352bff9a74ca9ad2",
    "kind": "CLIENT",
    "name": "select",
    "timestamp": 1556604172356100,
    "duration": 100,
    "localEndpoint": {"serviceName": "backend"},
    "remoteEndpoint": {"serviceName": "mysql", "ipv4": "192.168.99.102", "port": 3306},
    "tags": {"error": "deadlock"},
}
LIMITS = Limits()
ISTIO = {
    "istio.canonical_service": "catalog",
    "istio.canonical_revision": "v1",
    "istio.namespace": "shop",
}


def spans_of(data):
    request = ExportTraceServiceRequest.FromString(data)
    return {
        span.span_id.hex(): (span, {pair.key: pair.value.string_value for pair in part.resource.attributes})
        for part in request.resource_spans
        for span in part.scope_spans[0].spans
    }


def translated(*spans, zipkin=None):
    data, count = (zipkin or Zipkin()).of_json(json.dumps(spans).encode(), LIMITS)
    assert count == len(spans)
    return spans_of(data)


def field(number, value):
    """Encode one field of protobuf."""
    if isinstance(value, bytes):
        return bytes([number << 3 | 2]) + varint(len(value)) + value
    return bytes([number << 3]) + varint(value)


def varint(value):
    data = b""
    while value > 127:
        data, value = data + bytes([value & 127 | 128]), value >> 7
    return data + bytes([value])


PROTOBUF = field(
    1,
    b"".join(
        [
            field(1, bytes.fromhex(TRACE)),
            field(2, bytes.fromhex(CLIENT["parentId"])),
            field(3, bytes.fromhex(CLIENT["id"])),
            field(4, 1),
            field(5, b"get /api"),
            bytes([6 << 3 | 1]) + CLIENT["timestamp"].to_bytes(8, "little"),
            field(7, 1431),
            field(8, field(1, b"frontend") + field(2, bytes([127, 0, 0, 1]))),
            field(9, field(1, b"backend") + field(2, bytes([192, 168, 99, 101])) + field(4, 9000)),
            field(10, bytes([1 << 3 | 1]) + (1556604172355800).to_bytes(8, "little") + field(2, b"ws")),
            *(field(11, field(1, key.encode()) + field(2, value.encode())) for key, value in CLIENT["tags"].items()),
        ]
    ),
)


def test_a_span_keeps_its_times_kind_tags_events_and_peer():
    [(span, about)] = translated(CLIENT).values()
    assert span.trace_id.hex() == "0" * 16 + TRACE
    assert span.kind == 3
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1556604172355737000, 1556604172357168000)
    attributes = {pair.key: pair.value.string_value for pair in span.attributes}
    assert attributes["peer.service"] == "backend"
    assert (attributes["server.address"], attributes["server.port"]) == ("192.168.99.101", "9000")
    assert attributes["http.status_code"] == "200"
    assert [(event.name, event.time_unix_nano) for event in span.events] == [("ws", 1556604172355800000)]
    assert about["service.name"] == "frontend"


def test_protobuf_says_the_same_as_json():
    data, count = Zipkin().of_protobuf(PROTOBUF, LIMITS)
    assert count == 1
    assert spans_of(data) == translated(CLIENT)


def test_a_shared_span_becomes_two_the_servers_below_the_clients():
    found = translated(CLIENT, SERVER, QUERY)
    [(server_id, server)] = [(key, span) for key, (span, _) in found.items() if span.kind == 2]
    assert server_id != CLIENT["id"]
    assert server.parent_span_id.hex() == CLIENT["id"]
    assert found[CLIENT["id"]][0].parent_span_id.hex() == CLIENT["parentId"]
    assert found[QUERY["id"]][0].parent_span_id.hex() == server_id
    assert found[QUERY["id"]][0].status.message == "deadlock"


def test_the_sides_of_a_shared_span_may_come_in_different_requests():
    zipkin = Zipkin()
    client = translated(CLIENT, zipkin=zipkin)
    server = translated(SERVER, zipkin=zipkin)
    below = translated(QUERY, zipkin=zipkin)
    [(server_id, (span, _))] = server.items()
    assert list(client) == [CLIENT["id"]]
    assert span.parent_span_id.hex() == CLIENT["id"]
    assert below[QUERY["id"]][0].parent_span_id.hex() == server_id


def test_istios_proxies_are_known_by_their_tags():
    [(_, about)] = translated(CLIENT | {"tags": ISTIO, "localEndpoint": {"serviceName": "catalog.shop"}}).values()
    assert (about["service.name"], about["service.namespace"], about["service.version"]) == ("catalog", "shop", "v1")


@asynccontextmanager
async def receiving():
    live = Remembering()
    sink = Ingest(live, SystemClock())
    zipkin = ForeignSpans("Zipkin spans", sink, "127.0.0.1:0", paths=paths(Zipkin()))
    ready, listening = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(sink.run(ready.set)), group.create_task(zipkin.run(listening.set))]
        await ready.wait()
        await listening.wait()
        try:
            yield zipkin, sink, live
        finally:
            for task in running:
                task.cancel()


async def post(zipkin, body, path="/api/v2/spans", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"http://127.0.0.1:{zipkin.port}{path}"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_both_sides_of_a_call_are_one_edge():
    async with receiving() as (zipkin, sink, live):
        as_json = {"Content_Type": "application/json"}
        body = json.dumps([SERVER]).encode()
        assert await post(zipkin, body, **as_json) == (202, "")
        assert await post(zipkin, gzip.compress(json.dumps([CLIENT]).encode()), Content_Encoding="gzip", **as_json) == (
            202,
            "",
        )
        await sink.flush()
        edges = {(one.edge.source.app, one.edge.target.app): one.counters for one in live.observations}
        assert sum(edges["frontend", "backend"].requests.values()) == 1
        assert zipkin.state.spans == 2


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "not JSON"),
        (b"{}", "a list of spans is expected"),
        (b"[5]", "[0]: a span is an object"),
        (json.dumps([CLIENT, CLIENT | {"traceId": "zz"}]).encode(), "[1].traceId must be up to 32 hexadecimal digits"),
        (json.dumps([CLIENT | {"id": "0"}]).encode(), "[0].id must be"),
        (json.dumps([CLIENT | {"timestamp": "soon"}]).encode(), "[0].timestamp must be a number"),
        (json.dumps([CLIENT | {"tags": []} | {"annotations": 5}]).encode(), "must be an object"),
    ],
)
async def test_what_is_no_span_is_refused_with_its_place(body, problem):
    async with receiving() as (zipkin, _, _):
        status, text = await post(zipkin, body, Content_Type="application/json")
        assert status == 400
        assert problem in text
        assert problem in zipkin.state.error


async def test_strange_requests_are_refused_and_a_taken_port_is_told():
    async with receiving() as (zipkin, sink, _):
        assert (await post(zipkin, b"[]", path="/api/v1/spans"))[0] == 404
        assert (await post(zipkin, b"[]", Content_Type="text/html"))[0] == 415
        assert (await post(zipkin, b"[]", Content_Type="application/json", Origin="http://evil"))[0] == 403
        assert (await post(zipkin, b"\x0a\xff", Content_Type="application/x-protobuf"))[0] == 400
        other = ForeignSpans("Zipkin spans", sink, f"127.0.0.1:{zipkin.port}", paths=paths(Zipkin()))
        with pytest.raises(CollectorError, match="cannot listen on"):
            await other.run(lambda: None)
