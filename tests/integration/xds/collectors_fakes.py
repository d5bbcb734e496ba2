"""What takes telemetry at its other end: OTLP, Zipkin and Fluentd servers that keep what they get."""

import asyncio
import struct
from contextlib import asynccontextmanager

import grpc
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Kept(list):
    """What was received, with the port it came in at."""

    port = 0


@asynccontextmanager
async def otlp():
    """Take OTLP over gRPC: log records and spans, as (resource attributes, record)."""
    kept = Kept()

    async def take_logs(request, _context):
        for resource in request.resource_logs:
            kept.extend(record for scope in resource.scope_logs for record in scope.log_records)
        return ExportLogsServiceResponse()

    async def take_spans(request, _context):
        for resource in request.resource_spans:
            names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            kept.extend((names.get("service.name"), span) for scope in resource.scope_spans for span in scope.spans)
        return ExportTraceServiceResponse()

    server = grpc.aio.server()
    package = "opentelemetry.proto.collector"
    for service, take, request, response in (
        (f"{package}.logs.v1.LogsService", take_logs, ExportLogsServiceRequest, ExportLogsServiceResponse),
        (f"{package}.trace.v1.TraceService", take_spans, ExportTraceServiceRequest, ExportTraceServiceResponse),
    ):
        method = grpc.unary_unary_rpc_method_handler(take, request.FromString, response.SerializeToString)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": method})])
    kept.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield kept
    finally:
        await server.stop(0)


@asynccontextmanager
async def zipkin():
    """Take Zipkin's JSON."""
    kept = Kept()

    async def take(request):
        kept.extend(await request.json())
        return web.Response(status=202)

    app = web.Application()
    app.router.add_post("/api/v2/spans", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    kept.port = runner.addresses[0][1]
    try:
        yield kept
    finally:
        await runner.cleanup()


@asynccontextmanager
async def fluentd():
    """Take Fluentd's forward protocol: (tag, record)."""
    kept = Kept()

    async def take(reader, writer):
        data = b""
        while more := await reader.read(65536):
            data += more
            while data:
                try:
                    (tag, entries, *_), end = unpack(data, 0)
                except IndexError:
                    break  # the rest is still on its way
                kept.extend((tag, record) for _, record in entries)
                data = data[end:]
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    kept.port = server.sockets[0].getsockname()[1]
    try:
        yield kept
    finally:
        server.close()


def unpack(data, at):
    """Read one value of MessagePack; returns it and where the next one begins."""
    kind = data[at]
    at += 1
    if kind <= 0x7F:
        return kind, at
    if kind <= 0x8F:
        return _map(data, at, kind & 0x0F)
    if kind <= 0x9F:
        return _list(data, at, kind & 0x0F)
    if kind <= 0xBF:
        return _text(data, at, kind & 0x1F)
    if kind >= 0xE0:
        return kind - 0x100, at
    if kind in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[kind], at
    if kind in _NUMBERS:
        form, size = _NUMBERS[kind]
        _whole(data, at, size)
        return struct.unpack(form, data[at : at + size])[0], at + size
    sizes = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
    size = sizes[kind]
    _whole(data, at, size)
    count = int.from_bytes(data[at : at + size])
    read = _text if kind <= 0xDB else _list if kind <= 0xDD else _map
    return read(data, at + size, count)


_NUMBERS = {
    0xCA: (">f", 4),
    0xCB: (">d", 8),
    0xCC: (">B", 1),
    0xCD: (">H", 2),
    0xCE: (">I", 4),
    0xCF: (">Q", 8),
    0xD0: (">b", 1),
    0xD1: (">h", 2),
    0xD2: (">i", 4),
    0xD3: (">q", 8),
}


def _whole(data, at, size):
    if at + size > len(data):
        raise IndexError


def _text(data, at, size):
    _whole(data, at, size)
    return data[at : at + size].decode(), at + size


def _list(data, at, count):
    found = []
    for _ in range(count):
        value, at = unpack(data, at)
        found.append(value)
    return found, at


def _map(data, at, count):
    found = {}
    for _ in range(count):
        key, at = unpack(data, at)
        found[key], at = unpack(data, at)
    return found, at
