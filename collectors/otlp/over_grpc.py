"""OTLP over gRPC: raw bytes in threads of their own, since Python objects per message would cost most of the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc

from collectors.errors import CollectorError
from collectors.otlp import replies
from collectors.otlp.compression import MAGIC, gunzip
from collectors.otlp.ingest import Ingest
from collectors.otlp.limits import BusyError, Drop, MalformedError, RefusedError, TooLargeError

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
THREADS = 4
AT_ONCE = 32
"""Requests in memory; what exceeds them is refused as busy by gRPC itself."""
STOP_S = 1.0

CODES = {
    MalformedError: grpc.StatusCode.INVALID_ARGUMENT,
    TooLargeError: grpc.StatusCode.INVALID_ARGUMENT,
    # RESOURCE_EXHAUSTED would make senders drop the batch, UNAVAILABLE makes them send it again.
    BusyError: grpc.StatusCode.UNAVAILABLE,
}


class GrpcReceiver:
    """A service that takes ``TraceService/Export`` on an address; port 0 takes a free one."""

    name = "OTLP over gRPC"

    def __init__(self, sink: Ingest, address: str) -> None:
        self.port = 0
        """Where it listens, once ready."""
        self._sink = sink
        self._address = address

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="otlp-grpc") as threads:
            server = grpc.server(
                threads,
                handlers=[_Handlers(self._export)],
                maximum_concurrent_rpcs=AT_ONCE,
                options=[
                    # What is too large should come as far as our count of it; beyond that gRPC refuses by itself.
                    ("grpc.max_receive_message_length", 2 * self._sink.limits.body_bytes),
                    ("grpc.so_reuseport", 0),
                    # We gunzip ourselves, so that the bound holds before the memory is spent.
                    ("grpc.per_message_decompression", 0),
                ],
            )
            try:
                self.port = server.add_insecure_port(self._address)
            except RuntimeError as trouble:
                raise CollectorError(
                    f"cannot listen on {self._address} for OTLP over gRPC: is the port taken?"
                ) from trouble
            server.start()
            try:
                ready()
                await asyncio.Event().wait()
            finally:
                await asyncio.to_thread(server.stop(STOP_S).wait)

    def _export(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            accepted = self._sink.ingest(self._plain(data))
            return replies.encoded(replies.success(accepted), json=False)
        except RefusedError as refused:
            _abort(context, refused)

    def _plain(self, data: bytes) -> bytes:
        limits = self._sink.limits
        try:
            if len(data) > limits.body_bytes:
                raise TooLargeError(f"more than {limits.body_bytes} bytes; send smaller batches")
            # No OTLP request begins like gzip: that would be field 3 with a wire type that does not exist.
            return gunzip(data, most=limits.decompressed_bytes) if data.startswith(MAGIC) else data
        except RefusedError as refused:
            self._sink.refuse(Drop.TOO_LARGE if isinstance(refused, TooLargeError) else Drop.MALFORMED)
            raise


def _abort(context: grpc.ServicerContext, refused: RefusedError) -> NoReturn:
    context.abort(CODES[type(refused)], str(refused))
    raise AssertionError("abort always raises")


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    def __init__(self, export: Callable[[bytes, grpc.ServicerContext], bytes]) -> None:
        self._export = grpc.unary_unary_rpc_method_handler(export)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Find the handler of a method; gRPC answers the others with UNIMPLEMENTED."""
        return self._export if handler_call_details.method == EXPORT else None
