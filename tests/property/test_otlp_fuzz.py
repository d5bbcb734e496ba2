"""Whatever is sent to the receiver is answered clearly, costs bounded memory, and the next request passes."""

import asyncio
import contextlib
import gzip
import io
import json
import os
import random
import resource as usage
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from mangled import json_values, mangled
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collectors.otlp import json_form
from collectors.otlp.decode import Decoder
from collectors.otlp.ingest import Ingest
from collectors.otlp.limits import Limits, RefusedError
from collectors.otlp.over_grpc import EXPORT
from collectors.otlp.receiver import OtlpReceiver
from collectors.traces.columns import Tables, chunk_of
from collectors.traces.embedded import EmbeddedTraces
from collectors.traces.parts import HeadPart
from collectors.traces.searching import Search
from collectors.traces.walk import Buffer
from console.clock import SystemClock
from graph.ports import TraceQuery

LONG = os.environ.get("SOAK") == "1"
IN_PROCESS = 50_000 if LONG else 1_000
MEMORY_MIB = 400

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800 if LONG else 120)]

JSON_VALUES = json_values(
    ["resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "kind", "attributes", "value", "key", "links"]
)


class Nobody:
    def observe(self, batch):
        pass


def valid(rng: random.Random) -> bytes:
    """A request with every field that the decoder looks into."""
    message = ExportTraceServiceRequest()
    for _ in range(rng.randint(1, 3)):
        of = message.resource_spans.add()
        of.resource.attributes.add(key="service.name").value.string_value = rng.choice(("web", "cart", "", "é" * 50))
        for _ in range(rng.randint(0, 6)):
            span = of.scope_spans.add().spans.add(
                trace_id=rng.randbytes(16), span_id=rng.randbytes(8), name="GET /", kind=rng.randint(0, 5)
            )
            span.start_time_unix_nano, span.end_time_unix_nano = rng.getrandbits(64), rng.getrandbits(64)
            span.attributes.add(key="server.address").value.string_value = rng.choice(
                ("cart", "x" * 300, "::1", "a:b:c")
            )
            span.attributes.add(key="server.port").value.int_value = rng.randint(-(2**60), 2**60)
            span.attributes.add(key="url.full").value.string_value = rng.choice(
                ("http://[broken", "http://a:99999/", "x")
            )
            span.attributes.add(key="nested").value.kvlist_value.values.add(key="a").value.array_value.values.add()
            span.events.add(name="exception", time_unix_nano=5).attributes.add(key="k")
            span.status.code = rng.randint(0, 2)
    return message.SerializeToString()


@asynccontextmanager
async def receiving(tmp_path):
    async with EmbeddedTraces(tmp_path, 20_000_000) as traces:
        sink = Ingest(
            Nobody(), SystemClock(), traces=traces, limits=Limits(body_bytes=1_000_000, decompressed_bytes=4_000_000)
        )
        receiver = OtlpReceiver(sink, "127.0.0.1:0", "127.0.0.1:0")
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(receiver.run(ready.set))
            await ready.wait()
            try:
                yield receiver, sink, traces
            finally:
                running.cancel()


def test_mutated_requests_are_decoded_or_refused_and_stored_ones_can_be_read_back():
    rng = random.Random(20)
    decoder = Decoder(Limits(), cluster="Kubernetes")
    refused = []
    for _ in range(IN_PROCESS):
        data = mangled(rng, valid(rng))
        try:
            batch = decoder.decode(data)
        except RefusedError as why:
            refused.append(str(why))
            continue
        chunk = chunk_of(Buffer([data]), tables := Tables())
        assert chunk.spans == len(batch.spans)
        if chunk.spans:
            part = HeadPart([chunk], tables, "Kubernetes")
            search = Search([part], pytest.fail)
            assert sum(len(search.trace(one.tobytes())) for one in part.trace_ids()) <= chunk.spans
            search.found(TraceQuery(tag="server.port"))
    assert 0 < len(refused) < IN_PROCESS
    assert all(refused)


@settings(max_examples=20_000 if LONG else 300, deadline=None)
@given(JSON_VALUES)
def test_any_json_is_translated_or_refused(value):
    with contextlib.suppress(RefusedError):
        Decoder(Limits(), cluster="Kubernetes").decode(json_form.traces(json.dumps(value).encode(errors="replace")))


@pytest.mark.parametrize("depth", [50, 500, 100_000])
def test_json_nested_without_end_is_refused(depth):
    attributes = b'{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":%s}]}}]}'
    nested = b'{"arrayValue":{"values":[' * depth + b"]}}" * depth
    try:
        json_form.traces(attributes % nested)
    except RefusedError:
        return
    assert depth == 50


async def over_http(session, receiver, rng):
    body = mangled(rng, valid(rng))
    headers = {"Content-Type": "application/x-protobuf"}
    match rng.randrange(6):
        case 0:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        case 1:
            headers["Content-Encoding"] = rng.choice(("gzip", "br", "deflate", "x" * 200))
        case 2:
            headers["Content-Type"] = rng.choice(
                ("application/json", "text/plain", "application/x-protobuf; charset=x", "//")
            )
        case 3:
            text = json_format.MessageToJson(ExportTraceServiceRequest.FromString(valid(rng))).encode()
            at = rng.randrange(len(text))
            body, headers["Content-Type"] = text[:at] + rng.randbytes(2) + text[at:], "application/json"
    async with session.post(f"http://127.0.0.1:{receiver.http_port}/v1/traces", data=body, headers=headers) as answer:
        reply = await answer.read()
        assert answer.status in {200, 400, 413, 415}, answer.status
        if answer.status != 200:
            assert answer.headers["Content-Type"].startswith(("application/x-protobuf", "application/json"))
            if "json" not in answer.headers["Content-Type"]:
                assert Status.FromString(reply).message


async def over_grpc(export, rng):
    body = mangled(rng, valid(rng))
    compression = rng.choice((None, grpc.Compression.Gzip))
    call = export(body, compression=compression, timeout=60)
    code = await call.code()
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}, await call.details()
    assert code is grpc.StatusCode.OK or await call.details()


async def endure(tmp_path, count):
    rng = random.Random(21)
    async with receiving(tmp_path) as (receiver, sink, traces):
        before = usage.getrusage(usage.RUSAGE_SELF).ru_maxrss
        bomb = gzip.compress(bytes(50_000_000))
        async with (
            aiohttp.ClientSession() as session,
            grpc.aio.insecure_channel(f"127.0.0.1:{receiver.grpc_port}") as channel,
        ):
            export = channel.unary_unary(EXPORT)
            for round_ in range(count // 20):
                await asyncio.gather(
                    *(over_http(session, receiver, rng) for _ in range(10)),
                    *(over_grpc(export, rng) for _ in range(10)),
                )
                if round_ % 10 == 0:
                    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
                    for body in (io.BytesIO(bomb), io.BytesIO(rng.randbytes(2_000_000))):
                        async with session.post(
                            f"http://127.0.0.1:{receiver.http_port}/v1/traces", data=body, headers=headers
                        ) as answer:
                            assert answer.status == 413
            await export(valid(rng), timeout=60)
        await sink.flush()
        await traces.search(TraceQuery(tag="nested", limit=1000))
        assert receiver.drops["malformed_requests"] > 0
        assert receiver.drops["too_large_requests"] > 0
        assert (await traces.state()).dropped_spans == 0
        grown = (usage.getrusage(usage.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown < MEMORY_MIB


async def test_malformed_and_oversized_requests_over_the_wire_are_answered_and_leave_the_receiver_well(tmp_path):
    await endure(tmp_path, 10_000 if LONG else 600)
