"""OTLP's two doors and what is behind them, as one service."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence

from collectors.heap import give_back_what_is_freed
from collectors.otlp.doors import Door
from collectors.otlp.ingest import Ingest, IngestState
from collectors.otlp.over_grpc import GrpcReceiver
from collectors.otlp.over_http import HttpReceiver

SWITCH_S = 0.001


class OtlpReceiver:
    """Takes spans, and *others*, over gRPC and HTTP. An address is ``host:port``; port 0 takes a free one."""

    name = "OTLP"

    def __init__(
        self,
        sink: Ingest,
        grpc_address: str = "127.0.0.1:4317",
        http_address: str = "127.0.0.1:4318",
        others: Sequence[Door] = (),
    ) -> None:
        self._sink = sink
        self._grpc = GrpcReceiver(sink, grpc_address, others)
        self._http = HttpReceiver(sink, http_address, others)

    @property
    def grpc_port(self) -> int:
        """Where gRPC listens, once ready."""
        return self._grpc.port

    @property
    def http_port(self) -> int:
        """Where HTTP listens, once ready."""
        return self._http.port

    @property
    def drops(self) -> Mapping[str, int]:
        """What did not become evidence, by reason."""
        return self._sink.drops

    @property
    def state(self) -> IngestState:
        """How it is doing now."""
        return self._sink.state

    async def run(self, ready: Callable[[], None]) -> None:
        """Take spans until cancelled; both doors close before the last counts go to the graph."""
        # Threads that decode give the loop its turn after a millisecond; five for each would keep the page waiting.
        sys.setswitchinterval(SWITCH_S)
        give_back_what_is_freed()
        waiting = 3

        def one_is_ready() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                ready()

        async with asyncio.TaskGroup() as inside:
            counting = inside.create_task(self._sink.run(one_is_ready))
            try:
                async with asyncio.TaskGroup() as doors:
                    doors.create_task(self._grpc.run(one_is_ready))
                    doors.create_task(self._http.run(one_is_ready))
            finally:
                counting.cancel()
