"""Envoy's gRPC access log service: what ``envoyHttpAls`` and ``envoyTcpAls`` send, and any Envoy's ``grpc`` access logger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc

from collectors.als import entries
from collectors.als.sources import AccessLogs, Logged
from collectors.errors import CollectorError
from graph.model import WorkloadRef

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
STREAMS = 2000
MESSAGE_BYTES = 4 * 1024 * 1024
STOP_S = 1.0


class AlsReceiver:
    """A service that takes access logs on ``host:port``; port 0 takes a free one."""

    name = "access logs over gRPC"

    def __init__(self, logs: AccessLogs, address: str) -> None:
        self.port = 0
        """Where it listens, once ready."""
        self.streams = 0
        """How many are open: an Envoy opens one per worker thread and log."""
        self._logs = logs
        self._address = address

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled."""
        server = grpc.aio.server(
            handlers=[_Handler(self._stream)],
            maximum_concurrent_rpcs=STREAMS,
            options=[("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.so_reuseport", 0)],
        )
        try:
            self.port = server.add_insecure_port(self._address)
        except RuntimeError as trouble:
            raise CollectorError(f"cannot listen on {self._address} for access logs: is the port taken?") from trouble
        await server.start()
        try:
            ready()
            await asyncio.Event().wait()
        finally:
            await server.stop(STOP_S)

    async def _stream(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
        reporter: WorkloadRef | None = None
        self.streams += 1
        try:
            async for data in requests:
                reporter = self._take(data, reporter)
        except CollectorError as trouble:
            self._logs.tap.unreadable()
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(trouble))
        finally:
            self.streams -= 1
        return b""

    def _take(self, data: bytes, reporter: WorkloadRef | None) -> WorkloadRef | None:
        message = entries.split(data)
        if message.identifier:
            reporter = entries.reporter(message.identifier)
        room = self._logs.tap.room_for(len(message.http) + len(message.tcp))
        self._logs.entries(_decoded(message, reporter, room))
        return reporter


def _decoded(message: entries.Logs, reporter: WorkloadRef | None, most: int) -> Iterator[Logged]:
    for entry in message.http[:most]:
        yield entries.of_http(entry), reporter
    for entry in message.tcp[: max(0, most - len(message.http))]:
        yield entries.of_tcp(entry), reporter


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    def __init__(self, stream: Callable[[AsyncIterator[bytes], Any], Any]) -> None:
        self._handler = grpc.stream_unary_rpc_method_handler(stream)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Find the handler; gRPC answers other methods with UNIMPLEMENTED."""
        return self._handler if handler_call_details.method == METHOD else None
