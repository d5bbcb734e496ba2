"""The shop's programs as processes: traced, and gone when told to go."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import aiohttp
import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def receiver() -> Iterator[tuple[str, Queue[bytes]]]:
    received: Queue[bytes] = Queue()

    def export(request: bytes, _context: Any) -> bytes:
        received.put(request)
        return b""

    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(export)
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}", received
    server.stop(None).wait()


async def started(name: str, port: int, environ: dict[str, str]) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console.demo.shop", name, env={**environ, "PORT": str(port)}
    )
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return process


async def test_spans_continue_the_callers_trace_and_reach_the_database(
    receiver: tuple[str, Queue[bytes]], redis_port: int, environ: dict[str, str], unused_port: int
) -> None:
    endpoint, received = receiver
    environ |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_SERVICE_NAME": "inventory",
        "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=shop,service.version=v1",
        "http_proxy": "http://127.0.0.1:9",
        "DB_PORT": str(redis_port),
    }
    process = await started("inventory", unused_port, environ)
    try:
        headers = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
        url = f"http://127.0.0.1:{unused_port}/stock?sku=mug-slate"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    request = ExportTraceServiceRequest.FromString(received.get(timeout=60))
    (resource,) = request.resource_spans
    spans = [span for scope in resource.scope_spans for span in scope.spans]
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}
    assert {span.name for span in spans} >= {"GET /stock", "MGET"}
    (server,) = (span for span in spans if span.name == "GET /stock")
    assert server.parent_span_id.hex() == "00f067aa0ba902b7"
    (query,) = (span for span in spans if span.name == "MGET")
    attributes = {item.key: item.value for item in query.attributes}
    assert attributes["server.port"].int_value == redis_port
    assert {item.key: item.value.string_value for item in resource.resource.attributes}["service.name"] == "inventory"


async def test_a_program_works_without_a_receiver_and_ends_when_told(environ: dict[str, str], unused_port: int) -> None:
    process = await started("frontend", unused_port, environ)
    try:
        url = f"http://127.0.0.1:{unused_port}/cart"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_an_unknown_program_is_refused_with_the_names_of_those_there_are(environ: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "console.demo.shop", "stall", env=environ, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"frontend|catalog|inventory|orders|payments" in errors
