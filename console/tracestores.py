"""Who keeps the traces, where it is not the server itself."""

from __future__ import annotations

from collectors.traces.jaeger import JaegerTraces
from collectors.traces.remote import Remote
from collectors.traces.tempo import TempoTraces
from console.settings import Traces


def remote_store(settings: Traces) -> JaegerTraces | TempoTraces:
    """Make the client of a Jaeger or a Tempo, to be used as an async context manager."""
    remote = Remote(
        url=settings.url,
        headers=settings.headers,
        token=settings.token,
        ca_file=settings.ca_file,
        timeout_s=settings.timeout_s,
    )
    return JaegerTraces(remote) if settings.backend == "jaeger" else TempoTraces(remote)
