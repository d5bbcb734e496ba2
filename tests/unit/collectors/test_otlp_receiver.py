import asyncio
import base64
import gzip
import json
import zlib
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest
import zstandard
from collector_fakes import Remembering
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from otlp_fakes import request, resource, span

from collectors.errors import CollectorError
from collectors.otlp.ingest import Ingest
from collectors.otlp.limits import Limits
from collectors.otlp.over_grpc import EXPORT
from collectors.otlp.receiver import OtlpReceiver
from console.clock import SystemClock
from graph.model import Outcome, Reporter


def call(trace: int = 1) -> bytes:
    return request(
        (resource("web"), [span("client", 1, trace=trace, http__response__status_code=200)]),
        (resource("cart", version="v1"), [span("server", 2, parent=1, trace=trace)]),
    )


CALL = call()
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


class Receiving:
    def __init__(self, **limits) -> None:
        self.live = Remembering()
        self.sink = Ingest(self.live, SystemClock(), limits=Limits(**limits))
        self.receiver = OtlpReceiver(self.sink, "127.0.0.1:0", "127.0.0.1:0")

    async def edges(self) -> dict:
        await self.sink.flush()
        newest = {one.edge: one for one in self.live.observations}
        return {(edge.source.app, edge.target.app): sum(one.counters.requests.values()) for edge, one in newest.items()}

    async def post(self, body: bytes, headers=PROTOBUF, path="/v1/traces"):
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.post(f"http://127.0.0.1:{self.receiver.http_port}{path}", data=body, headers=headers) as answer,
        ):
            return answer.status, await answer.read(), answer.headers

    async def export(self, body: bytes, *, compression=None):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.receiver.grpc_port}") as channel:
            return await channel.unary_unary(EXPORT)(body, compression=compression, timeout=60)


@asynccontextmanager
async def receiving(**limits):
    it = Receiving(**limits)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(it.receiver.run(ready.set))
        await ready.wait()
        try:
            yield it
        finally:
            running.cancel()


async def test_the_public_sdks_spans_become_an_edge():
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    def send(port: int) -> None:
        for app, kind, context in (("web", trace.SpanKind.CLIENT, None), ("cart", trace.SpanKind.SERVER, "web")):
            exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True, timeout=60)
            about = {"service.name": app, "service.namespace": "shop", "service.version": "v1"}
            provider = TracerProvider(resource=Resource(about), shutdown_on_exit=False)
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            parent = trace.set_span_in_context(trace.NonRecordingSpan(sent[context])) if context else None
            with provider.get_tracer("tests").start_as_current_span("GET /", kind=kind, context=parent) as made:
                made.set_attribute("http.response.status_code", 200)
            sent[app] = made.get_span_context()
            provider.shutdown()

    sent = {}
    async with receiving() as it:
        await asyncio.to_thread(send, it.receiver.grpc_port)
        assert await it.edges() == {("web", "cart"): 1}
        [observation] = {one.edge: one for one in it.live.observations}.values()
    assert observation.reporter is Reporter.TRACE
    assert observation.counters.requests == {Outcome("200", "", "-"): 1}
    assert observation.edge.target.workload == "cart-v1"
    assert not any(it.receiver.drops.values())


def as_json(data: bytes) -> bytes:
    """The request in OTLP's JSON form: ids in hexadecimal, enums as numbers."""
    message = json_format.MessageToDict(ExportTraceServiceRequest.FromString(data), use_integers_for_enums=True)
    for of in message["resourceSpans"]:
        for one in of["scopeSpans"][0]["spans"]:
            for name in {"traceId", "spanId", "parentSpanId"} & one.keys():
                one[name] = base64.b64decode(one[name]).hex()
    return json.dumps(message | {"fieldOfTheFuture": 1}).encode()


def encoded(as_: str) -> dict[str, str]:
    return {"Content-Encoding": as_}


async def test_grpc_and_http_plain_and_compressed_protobuf_and_json_all_arrive():
    squeeze = zstandard.ZstdCompressor().compress
    async with receiving() as it:
        assert await it.export(call(1)) == b""
        assert await it.export(call(2), compression=grpc.Compression.Gzip) == b""
        assert (await it.post(call(3)))[:2] == (200, b"")
        assert (await it.post(gzip.compress(call(4)), PROTOBUF | encoded("gzip")))[:2] == (200, b"")
        assert (await it.post(squeeze(call(5)), PROTOBUF | encoded("zstd")))[:2] == (200, b"")
        assert (await it.post(as_json(call(6)), JSON))[:2] == (200, b"{}")
        assert (await it.post(gzip.compress(as_json(call(7))), JSON | encoded("gzip")))[0] == 200
        assert (await it.post(squeeze(as_json(call(8))), JSON | encoded("zstd")))[0] == 200
        assert await it.edges() == {("web", "cart"): 8}


async def test_a_request_that_is_sent_again_in_any_form_is_counted_once():
    async with receiving() as it:
        await it.export(CALL)
        await it.post(CALL)
        await it.post(as_json(CALL), JSON)
        assert await it.edges() == {("web", "cart"): 1}
        assert it.receiver.drops["duplicate_spans"] == 4


async def test_part_of_a_request_can_be_rejected_and_the_sender_is_told():
    mixed = request((resource("web"), [span("client", 0), span("client", 1)]))
    async with receiving() as it:
        for reply in (await it.export(mixed), (await it.post(mixed))[1]):
            partial = ExportTraceServiceResponse.FromString(reply).partial_success
            assert (partial.rejected_spans, partial.error_message) == (1, "spans without a valid trace id and span id")
        assert it.receiver.drops["invalid_id_spans"] == 2


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"nonsense", PROTOBUF, 400, "not an OTLP trace request"),
        (b"{nonsense", JSON, 400, "not JSON"),
        (b"[]", JSON, 400, "an object was expected"),
        (b'{"resourceSpans": {"a": 1}}', JSON, 400, "must be a list"),
        (
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}',
            JSON,
            400,
            "traceId must be hexadecimal",
        ),
        (b'{"resourceSpans":[{"resource": 5}]}', JSON, 400, "not an OTLP trace request"),
        (b"\x1f\x8bnonsense", PROTOBUF | {"Content-Encoding": "gzip"}, 400, "gzip"),
        (gzip.compress(CALL)[:-4], PROTOBUF | {"Content-Encoding": "gzip"}, 400, "ends too early"),
        (gzip.compress(bytes(100_000)), PROTOBUF | {"Content-Encoding": "gzip"}, 413, "after gunzip"),
        (zstandard.compress(bytes(100_000)), PROTOBUF | {"Content-Encoding": "zstd"}, 413, "after unzstd"),
        (b"nonsense", PROTOBUF | {"Content-Encoding": "zstd"}, 400, "zstd"),
        (zstandard.compress(CALL)[:-4], PROTOBUF | {"Content-Encoding": "zstd"}, 400, "ends too early"),
        (bytes(20_000), PROTOBUF, 413, "send smaller batches"),
        (b"\x0a\x00" * 500, PROTOBUF, 413, "in one request; send smaller batches"),
        (CALL, {"Content-Type": "text/plain"}, 415, "content type 'text/plain'"),
        (CALL, PROTOBUF | {"Content-Encoding": "br"}, 415, "content encoding 'br'"),
        (CALL, PROTOBUF | {"Origin": "http://evil.example"}, 403, "not from web pages"),
    ],
)
async def test_what_cannot_be_taken_is_refused_in_otlps_own_form(body, headers, status, says):
    async with receiving(body_bytes=10_000, decompressed_bytes=50_000, request_spans=100) as it:
        got, reply, answered = await it.post(body, headers)
        assert got == status
        if headers["Content-Type"] == "application/json":
            assert answered["Content-Type"].startswith("application/json")
            assert says in json.loads(reply)["message"]
        else:
            assert says in Status.FromString(reply).message
        assert (await it.post(CALL))[0] == 200


async def test_a_signal_that_is_not_taken_is_said_to_be_so():
    async with receiving() as it:
        status, reply, _ = await it.post(b"", path="/v1/metrics")
        assert (status, Status.FromString(reply).message) == (
            404,
            "/v1/metrics is not served here; traces go to /v1/traces",
        )


@pytest.mark.parametrize(
    ("body", "compression", "says", "reason"),
    [
        (b"nonsense", None, "not an OTLP trace request", "malformed_requests"),
        (bytes(15_000), None, "send smaller batches", "too_large_requests"),
        (bytes(5_000_000), grpc.Compression.Gzip, "after gunzip", "too_large_requests"),
        (b"\x1f\x8bnonsense", None, "gzip", "malformed_requests"),
    ],
)
async def test_grpc_senders_are_told_what_was_wrong(body, compression, says, reason):
    async with receiving(body_bytes=10_000, decompressed_bytes=50_000) as it:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await it.export(body, compression=compression)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert says in refused.value.details()
        assert it.receiver.drops[reason] == 1


async def test_other_grpc_methods_are_unimplemented():
    async with receiving() as it, grpc.aio.insecure_channel(f"127.0.0.1:{it.receiver.grpc_port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")(b"", timeout=60)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_many_senders_at_once_are_all_answered():
    async with receiving() as it:
        senders = [it.export(call(number)) if number % 2 else it.post(call(number)) for number in range(1, 201)]
        await asyncio.gather(*senders)
        assert await it.edges() == {("web", "cart"): 200}
        assert not any(it.receiver.drops.values())


async def test_a_taken_port_is_named():
    async with receiving() as it:
        for addresses in (
            (f"127.0.0.1:{it.receiver.grpc_port}", "127.0.0.1:0"),
            ("127.0.0.1:0", f"127.0.0.1:{it.receiver.http_port}"),
        ):
            other = OtlpReceiver(Ingest(Remembering(), SystemClock()), *addresses)
            with pytest.raises(ExceptionGroup) as failed:
                await other.run(lambda: None)
            assert failed.group_contains(CollectorError, match="cannot listen on 127.0.0.1:")


async def test_what_was_taken_before_the_end_is_counted():
    async with receiving() as it:
        for number in range(1, 51):
            await it.post(call(number))
    assert sum(list(it.live.observations)[-1].counters.requests.values()) == 50


async def test_many_bombs_at_once_do_not_take_much_memory():
    import resource as usage

    bomb = zlib.compress(bytes(64 * 1024 * 1024), wbits=31)
    async with receiving() as it:
        before = usage.getrusage(usage.RUSAGE_SELF).ru_maxrss
        answers = await asyncio.gather(*(it.post(bomb, PROTOBUF | {"Content-Encoding": "gzip"}) for _ in range(8)))
        assert {status for status, *_ in answers} == {413}
        assert usage.getrusage(usage.RUSAGE_SELF).ru_maxrss - before < 400 * 1024
