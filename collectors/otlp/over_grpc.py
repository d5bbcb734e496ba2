"""OTLP over gRPC: raw bytes in threads of their own, since Python objects per message would cost most of the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn

import grpc

from collectors.errors import CollectorError
from collectors.otlp import replies
from collectors.otlp.compression import MAGIC, gunzip
from collectors.otlp.doors import Door, Spans
from collectors.otlp.ingest import Ingest
from collectors.otlp.limits import BusyError, MalformedError, RefusedError, TooLargeError, counted

EXPORT = Spans.method
THREADS = 16
"""Bodies that are read at the same time, at the senders' pace; they are decoded one after the other."""
AT_ONCE = 1024
"""Requests that wait for a thread; their bodies stay with their senders meanwhile. gRPC itself refuses what exceeds them,
in a way that makes senders drop it, so there should be room for one of each program."""
STOP_S = 1.0

CODES = {
    MalformedError: grpc.StatusCode.INVALID_ARGUMENT,
    TooLargeError: grpc.StatusCode.INVALID_ARGUMENT,
    # RESOURCE_EXHAUSTED would make senders drop the batch, UNAVAILABLE makes them send it again.
    BusyError: grpc.StatusCode.UNAVAILABLE,
}


class GrpcReceiver:
    """A service that takes spans, and *others*, on an address; port 0 takes a free one."""

    name = "OTLP over gRPC"

    def __init__(self, sink: Ingest, address: str, others: Sequence[Door] = ()) -> None:
        self.port = 0
        """Where it listens, once ready."""
        self._sink = sink
        self._doors = (Spans(sink), *others)
        self._address = address

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="otlp-grpc") as threads:
            server = grpc.server(
                threads,
                handlers=[_Handlers({door.method: partial(_export, door) for door in self._doors})],
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


def _export(door: Door, data: bytes, context: grpc.ServicerContext) -> bytes:
    try:
        return replies.encoded(door.take(_plain(door, data)), json=False)
    except RefusedError as refused:
        _abort(context, refused)


def _plain(door: Door, data: bytes) -> bytes:
    limits = door.limits
    with counted(door.refuse):
        if len(data) > limits.body_bytes:
            raise TooLargeError(f"more than {limits.body_bytes} bytes; send smaller batches")
        # No OTLP request begins like gzip: that would be field 3 with a wire type that does not exist.
        return gunzip(data, most=limits.decompressed_bytes) if data.startswith(MAGIC) else data


def _abort(context: grpc.ServicerContext, refused: RefusedError) -> NoReturn:
    context.abort(CODES[type(refused)], str(refused))
    raise AssertionError("abort always raises")


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    def __init__(self, exports: Mapping[str, Callable[[bytes, grpc.ServicerContext], bytes]]) -> None:
        self._exports = {method: grpc.unary_unary_rpc_method_handler(export) for method, export in exports.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Find the handler of a method; gRPC answers the others with UNIMPLEMENTED."""
        return self._exports.get(handler_call_details.method)
