import asyncio
import gzip
import json
import zlib
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest
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
from collectors.otlp.over_grpc import EXPORT, GrpcReceiver
from collectors.otlp.over_http import HttpReceiver
from collectors.otlp.receiver import OtlpReceiver
from console.clock import SystemClock
from console.services import serving
from graph.model import Outcome, Reporter

CALL = request(
    (resource("web"), [span("client", 1, http__response__status_code=200)]),
    (resource("cart", version="v1"), [span("server", 2, parent=1)]),
)
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
            return await channel.unary_unary(EXPORT)(body, compression=compression, timeout=10)


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
            exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True, timeout=5)
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


async def test_grpc_plain_and_gzip_protobuf_and_json_all_arrive():
    as_json = json_format.MessageToDict(ExportTraceServiceRequest.FromString(CALL))
    for of in as_json["resourceSpans"]:
        for one in of["scopeSpans"][0]["spans"]:
            one["traceId"], one["spanId"] = (
                "00" * 15 + "01",
                "00" * 7 + ("01" if one["kind"] == "SPAN_KIND_CLIENT" else "02"),
            )
            one["kind"] = 3 if one["kind"] == "SPAN_KIND_CLIENT" else 2
            if "parentSpanId" in one:
                one["parentSpanId"] = "00" * 7 + "01"
    text = json.dumps(as_json | {"fieldOfTheFuture": 1}).encode()
    async with receiving() as it:
        assert await it.export(CALL) == b""
        assert await it.export(CALL, compression=grpc.Compression.Gzip) == b""
        assert (await it.post(CALL))[:2] == (200, b"")
        assert (await it.post(gzip.compress(CALL), PROTOBUF | {"Content-Encoding": "gzip"}))[:2] == (200, b"")
        assert (await it.post(text, JSON))[:2] == (200, b"{}")
        assert (await it.post(gzip.compress(text), JSON | {"Content-Encoding": "gzip"}))[0] == 200
        assert await it.edges() == {("web", "cart"): 6}


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
        (bytes(20_000), PROTOBUF, 413, "send smaller batches"),
        (b"\x0a\x00" * 500, PROTOBUF, 413, "resources in one request"),
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
            await channel.unary_unary("/opentelemetry.proto.collector.logs.v1.LogsService/Export")(b"", timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_receiver_that_is_behind_asks_to_send_again_and_counts_what_it_refused():
    it = Receiving(queued_bytes=1)
    assert it.sink.ingest(CALL).spans == 2
    doors = GrpcReceiver(it.sink, "127.0.0.1:0"), HttpReceiver(it.sink, "127.0.0.1:0")
    it.receiver._grpc, it.receiver._http = doors
    async with serving(doors):  # and nobody behind them
        status, _, headers = await it.post(CALL)
        assert (status, headers["Retry-After"]) == (503, "1")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await it.export(CALL)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert it.receiver.drops["queue_full_spans"] == 4


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
        for _ in range(50):
            await it.post(CALL)
    assert sum(list(it.live.observations)[-1].counters.requests.values()) == 50


async def test_many_bombs_at_once_do_not_take_much_memory():
    import resource as usage

    bomb = zlib.compress(bytes(64 * 1024 * 1024), wbits=31)
    async with receiving() as it:
        before = usage.getrusage(usage.RUSAGE_SELF).ru_maxrss
        answers = await asyncio.gather(*(it.post(bomb, PROTOBUF | {"Content-Encoding": "gzip"}) for _ in range(8)))
        assert {status for status, *_ in answers} == {413}
        assert usage.getrusage(usage.RUSAGE_SELF).ru_maxrss - before < 400 * 1024
