"""OpenTelemetry, set up as any program would: the SDK, its instrumentations, OTLP over gRPC."""

from __future__ import annotations

import os
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

BATCH_DELAY_MS = 1000
QUEUED_SPANS = 8192


def start() -> Callable[[], None]:
    """Trace what this process serves and calls; returns what flushes and stops it.

    Without ``OTEL_EXPORTER_OTLP_ENDPOINT`` context is still passed on, and spans go nowhere. Call it before
    an application is made: the instrumentation puts itself into those made later.
    """
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        # gRPC would take http_proxy for itself, and the sidecar does not know the receiver.
        exporter = OTLPSpanExporter(channel_options=(("grpc.enable_http_proxy", 0),))  # type: ignore[arg-type]
        provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=BATCH_DELAY_MS, max_queue_size=QUEUED_SPANS)
        )
    trace.set_tracer_provider(provider)
    AioHttpServerInstrumentor().instrument()
    AioHttpClientInstrumentor().instrument()
    RedisInstrumentor().instrument()
    return provider.shutdown
