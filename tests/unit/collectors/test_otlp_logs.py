import asyncio
import gzip
import json
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest
import zstandard
from collector_fakes import Remembering
from google.rpc.status_pb2 import Status
from log_words import CATALOG
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from otlp_fakes import pairs, resource

from collectors.als.sources import AccessLogs
from collectors.als.tap import Tap, TapQuery
from collectors.logs.sqlite import SqliteLogs
from collectors.otlp.ingest import NOBODY, Ingest
from collectors.otlp.limits import Limits
from collectors.otlp.logs import Logs
from collectors.otlp.receiver import OtlpReceiver
from console.clock import SystemClock
from graph.ports import LogQuery, LogSource

TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
ABOUT = resource("catalog", version="v1", service__instance__id="catalog-0")


def record(body="stock is empty", *, severity=17, at_ns=None, **attributes):
    request = ExportLogsServiceRequest()
    of = request.resource_logs.add()
    of.resource.attributes.extend(pairs({key.replace("__", "."): value for key, value in ABOUT.items()}))
    made = of.scope_logs.add().log_records.add(severity_number=severity, trace_id=TRACE, span_id=b"spanspan")
    made.time_unix_nano = SystemClock().now_ms() * 1_000_000 if at_ns is None else at_ns
    made.body.string_value = body
    made.attributes.extend(pairs(attributes))
    return request.SerializeToString()


class Receiving:
    def __init__(self, store, **limits):
        self.store = store
        self.tap = Tap()
        limits = Limits(**limits)
        self.logs = Logs(store, SystemClock(), tap=AccessLogs(self.tap, lambda: NOBODY), limits=limits)
        spans = Ingest(Remembering(), SystemClock(), limits=limits)
        self.receiver = OtlpReceiver(spans, "127.0.0.1:0", "127.0.0.1:0", [self.logs])

    async def post(self, body, headers=PROTOBUF):
        url = f"http://127.0.0.1:{self.receiver.http_port}/v1/logs"
        async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
            return answer.status, await answer.read()

    async def export(self, body, **options):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.receiver.grpc_port}") as channel:
            return await channel.unary_unary(self.logs.method)(body, timeout=60, **options)

    async def found(self, **query):
        return (await self.store.search(LogQuery(**query))).lines


@asynccontextmanager
async def receiving(folder, **limits):
    async with SqliteLogs(folder, SystemClock(), capacity_bytes=50_000_000) as store:
        it = Receiving(store, **limits)
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(it.receiver.run(ready.set))
            await ready.wait()
            try:
                yield it
            finally:
                running.cancel()


async def test_the_public_sdks_log_records_are_kept_with_their_trace(tmp_path):
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    sdk = pytest.importorskip("opentelemetry.sdk._logs")

    def send(port):
        about = Resource({"service.name": "catalog", "service.namespace": "shop", "service.version": "v1"})
        provider = LoggerProvider(resource=about, shutdown_on_exit=False)
        exporter = OTLPLogExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True, timeout=60)
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        spans = TracerProvider(shutdown_on_exit=False)
        with spans.get_tracer("t").start_as_current_span("asked") as span:
            context = span.get_span_context()
            from opentelemetry._logs import LogRecord, SeverityNumber

            provider.get_logger("t").emit(
                LogRecord(
                    body="stock is empty",
                    severity_number=SeverityNumber.WARN,
                    severity_text="WARN",
                    attributes={"sku": 7},
                    timestamp=SystemClock().now_ms() * 1_000_000,
                )
            )
        provider.shutdown()
        spans.shutdown()
        return context

    assert sdk
    async with receiving(tmp_path) as it:
        context = await asyncio.to_thread(send, it.receiver.grpc_port)
        [found] = await it.found()
    assert (found.text, found.level, found.source) == ("stock is empty", "warn", LogSource.OTLP)
    assert found.workload == CATALOG
    assert found.attributes["sku"] == "7"
    assert found.trace_id == f"{context.trace_id:032x}"
    assert found.span_id == f"{context.span_id:016x}"


async def test_grpc_and_http_protobuf_and_json_plain_gzip_and_zstd_all_arrive(tmp_path):
    as_json = {
        "resourceLogs": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "catalog"}}]},
                "scopeLogs": [
                    {
                        "logRecords": [
                            {
                                "observedTimeUnixNano": str(SystemClock().now_ms() * 1_000_000),
                                "severityText": "Warning",
                                "traceId": TRACE.hex(),
                                "spanId": "7370616e7370616e",
                                "body": {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}},
                                "future": 1,
                            }
                        ]
                    }
                ],
            }
        ]
    }
    async with receiving(tmp_path) as it:
        assert await it.export(record("1")) == b""
        assert await it.export(record("2"), compression=grpc.Compression.Gzip) == b""
        assert await it.post(record("3")) == (200, b"")
        assert await it.post(gzip.compress(record("4")), PROTOBUF | {"Content-Encoding": "gzip"}) == (200, b"")
        zstd = zstandard.ZstdCompressor().compress(record("5"))
        assert await it.post(zstd, PROTOBUF | {"Content-Encoding": "zstd"}) == (200, b"")
        assert await it.post(json.dumps(as_json).encode(), JSON) == (200, b"{}")
        found = await it.found(trace_id=TRACE.hex())
    assert sorted(one.text for one in found) == ["1", "2", "3", "4", "5", "{a: 1}"]
    assert {one.level for one in found} == {"error", "warn"}
    assert it.logs.state.records == 6


async def test_records_older_than_the_store_keeps_are_rejected_in_part(tmp_path):
    async with receiving(tmp_path) as it:
        reply = ExportLogsServiceResponse.FromString(await it.export(record(at_ns=1) + record("new")))
        assert reply.partial_success.rejected_log_records == 1
        assert "168 h" in reply.partial_success.error_message
        assert [one.text for one in await it.found()] == ["new"]


async def test_an_envoys_access_log_record_is_tapped_too(tmp_path):
    fields = {
        "response_code": "503",
        "response_flags": "UF",
        "method": "GET",
        "path": "/a",
        "duration": "12",
        "upstream_cluster": "outbound|80||catalog.shop.svc.cluster.local",
    }
    async with receiving(tmp_path) as it:
        await it.export(record("", severity=0, **fields))
        [found] = await it.found()
        [request] = it.tap.recent(TapQuery(errors_only=True), 10)
    assert (found.source, found.level) == (LogSource.ACCESS, "error")
    assert (request.path, request.code, request.duration_ms) == ("/a", "503", 12)
    assert request.service.name == "catalog"


async def test_what_is_no_logs_request_is_refused_and_counted(tmp_path):
    async with receiving(tmp_path, body_bytes=2000, decompressed_bytes=4000, request_spans=10) as it:
        status, reply = await it.post(b"\x0a\xff\xff")
        assert (status, "not an OTLP logs request" in Status.FromString(reply).message) == (400, True)
        status, reply = await it.post(b'{"resourceLogs": [{"scopeLogs": 5}]}', JSON)
        assert status == 400
        assert (await it.post(bytes(3000)))[0] == 413
        bomb = zstandard.ZstdCompressor().compress(bytes(1_000_000))
        assert (await it.post(bomb, PROTOBUF | {"Content-Encoding": "zstd"}))[0] == 413
        many = ExportLogsServiceRequest()
        scope = many.resource_logs.add().scope_logs.add()
        for _ in range(20):
            scope.log_records.add()
        assert (await it.post(many.SerializeToString()))[0] == 413
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await it.export(b"\x0a\xff\xff")
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert it.logs.drops == {"malformed_requests": 3, "too_large_requests": 3}


async def test_a_sender_is_told_to_come_again_when_the_disk_is_behind(tmp_path):
    async with receiving(tmp_path) as it:
        it.store._waiting_bytes = 10**9
        it.store._waiting = [None]
        status, _ = await it.post(record())
        it.store._waiting, it.store._waiting_bytes = [], 0
        assert status == 503
        assert it.logs.state.busy == 1
