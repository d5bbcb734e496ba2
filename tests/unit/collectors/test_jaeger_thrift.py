"""Batches as Jaeger's clients send them, written by thriftpy2 from the fields of jaeger.thrift."""

import asyncio

import aiohttp
import pytest
from collector_fakes import Remembering
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from thriftpy2 import load_fp
from thriftpy2.protocol import TBinaryProtocolFactory
from thriftpy2.utils import serialize

from collectors.foreign_spans import ForeignSpans
from collectors.jaeger.translate import of_thrift, paths
from collectors.otlp.ingest import Ingest
from collectors.otlp.limits import Limits, RefusedError
from console.clock import SystemClock

IDL = """
enum TagType { STRING, DOUBLE, BOOL, LONG, BINARY }
struct Tag { 1: required string key, 2: required TagType vType, 3: optional string vStr, 4: optional double vDouble,
  5: optional bool vBool, 6: optional i64 vLong, 7: optional binary vBinary }
struct Log { 1: required i64 timestamp, 2: required list<Tag> fields }
enum SpanRefType { CHILD_OF, FOLLOWS_FROM }
struct SpanRef { 1: required SpanRefType refType, 2: required i64 traceIdLow, 3: required i64 traceIdHigh,
  4: required i64 spanId }
struct Span { 1: required i64 traceIdLow, 2: required i64 traceIdHigh, 3: required i64 spanId,
  4: required i64 parentSpanId, 5: required string operationName, 6: optional list<SpanRef> references,
  7: required i32 flags, 8: required i64 startTime, 9: required i64 duration, 10: optional list<Tag> tags,
  11: optional list<Log> logs }
struct Process { 1: required string serviceName, 2: optional list<Tag> tags }
struct Batch { 1: required Process process, 2: required list<Span> spans, 3: optional i64 seqNo }
"""
THRIFT = {"Content-Type": "application/vnd.apache.thrift.binary"}
LIMITS = Limits()


@pytest.fixture(scope="module")
def jaeger():
    import io

    return load_fp(io.StringIO(IDL), "jaeger_thrift")


def tags(jaeger, **of):
    kinds = {bool: (2, "vBool"), int: (3, "vLong"), float: (1, "vDouble"), bytes: (4, "vBinary"), str: (0, "vStr")}
    return [
        jaeger.Tag(key=key.replace("__", "."), vType=kinds[type(value)][0], **{kinds[type(value)][1]: value})
        for key, value in of.items()
    ]


def span(jaeger, number, *, parent=0, references=None, **of):
    return jaeger.Span(
        traceIdLow=-7,
        traceIdHigh=1,
        spanId=number,
        parentSpanId=parent,
        operationName="GET /",
        references=references,
        flags=1,
        startTime=1556604172355737,
        duration=1500,
        tags=tags(jaeger, **of),
        logs=[jaeger.Log(timestamp=1556604172355800, fields=tags(jaeger, event="retry", attempt=2))],
    )


def batch(jaeger, service, *spans):
    process = jaeger.Process(serviceName=service, tags=tags(jaeger, hostname="h1", service__namespace="shop"))
    return serialize(jaeger.Batch(process=process, spans=list(spans)), TBinaryProtocolFactory())


def test_a_batch_keeps_ids_times_kinds_tags_logs_and_process(jaeger):
    body = batch(
        jaeger,
        "web",
        span(jaeger, 5, parent=-3, span__kind="client", error=True, http__status_code=503, share=0.5, raw=b"\x01"),
    )
    data, count = of_thrift(body, LIMITS)
    assert count == 1
    [part] = ExportTraceServiceRequest.FromString(data).resource_spans
    about = {pair.key: pair.value.string_value for pair in part.resource.attributes}
    assert about == {"service.name": "web", "host.name": "h1", "service.namespace": "shop"}
    [found] = part.scope_spans[0].spans
    assert found.trace_id.hex() == "0000000000000001fffffffffffffff9"
    assert (found.span_id.hex(), found.parent_span_id.hex()) == ("0000000000000005", "fffffffffffffffd")
    assert (found.kind, found.status.code) == (3, 2)
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (1556604172355737000, 1556604172357237000)
    values = {pair.key: pair.value for pair in found.attributes}
    assert (values["http.status_code"].int_value, values["share"].double_value) == (503, 0.5)
    assert values["raw"].bytes_value == b"\x01"
    [event] = found.events
    assert (event.name, event.attributes[1].value.int_value) == ("retry", 2)


def test_a_reference_is_the_parent_or_a_link(jaeger):
    child = jaeger.SpanRef(refType=0, traceIdLow=-7, traceIdHigh=1, spanId=9)
    follows = jaeger.SpanRef(refType=1, traceIdLow=4, traceIdHigh=0, spanId=8)
    data, _ = of_thrift(batch(jaeger, "web", span(jaeger, 5, references=[follows, child])), LIMITS)
    [found] = ExportTraceServiceRequest.FromString(data).resource_spans[0].scope_spans[0].spans
    assert found.parent_span_id == (9).to_bytes(8)
    assert [link.span_id for link in found.links] == [(8).to_bytes(8)]


async def test_batches_of_two_processes_are_one_edge(jaeger):
    live = Remembering()
    sink = Ingest(live, SystemClock())
    door = ForeignSpans("Jaeger spans", sink, "127.0.0.1:0", paths=paths())
    ready, listening = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        running = [group.create_task(sink.run(ready.set)), group.create_task(door.run(listening.set))]
        await ready.wait()
        await listening.wait()
        url = f"http://127.0.0.1:{door.port}/api/traces?format=jaeger.thrift"
        for body in (
            batch(jaeger, "web", span(jaeger, 5, span__kind="client", http__status_code=200)),
            batch(jaeger, "cart", span(jaeger, 6, parent=5, span__kind="server")),
        ):
            async with session.post(url, data=body, headers=THRIFT) as answer:
                assert answer.status == 202
        async with session.post(url, data=b"\x0b\x00\x01", headers=THRIFT) as answer:
            assert answer.status == 400
            assert "ends too early" in await answer.text()
        await sink.flush()
        for task in running:
            task.cancel()
    edges = {(one.edge.source.app, one.edge.target.app): one.counters for one in live.observations}
    assert sum(edges["web", "cart"].requests.values()) == 1


def test_few_bytes_cannot_become_millions_of_values(jaeger):
    nested = b"\x0c\x00\x01" * 1000
    empty = b"\x0f\x00\x02\x0c" + (4_000_000).to_bytes(4) + bytes(4_000_000) + b"\x00"
    huge = b"\x0b\x00\x01" + (2**31 - 1).to_bytes(4) + b"x"
    for body in (nested, empty, huge, b"", b"\x00", b"\x0f\x00\x02\x0c\xff\xff\xff\xff", batch(jaeger, "web")[:-3]):
        with pytest.raises(RefusedError):
            of_thrift(body, LIMITS)
    with pytest.raises(RefusedError, match="more than 2 spans"):
        of_thrift(batch(jaeger, "web", *(span(jaeger, n) for n in range(1, 4))), Limits(request_spans=2))
