"""Everybody whom the settings name: sources of metrics, a trace store elsewhere, their certificates and clocks."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple
from urllib.parse import urlsplit

from collectors.errors import CollectorError
from collectors.prometheus.config import PrometheusConfig
from console.clock import SystemClock
from console.clusters import Clusters
from console.services import serving
from console.settings import Settings, Traces
from console.signals.clusters import of_clusters
from console.signals.metrics import of_sources
from console.signals.signal import Advice, Area, Presence, Signal
from console.sources import elsewhere as elsewhere_of
from console.tracestores import remote_store
from graph.live import LiveGraph
from graph.model import Inventory

CONNECT_S = 5.0
SOON = dt.timedelta(days=14)


async def elsewhere(settings: Settings) -> AsyncIterator[Signal]:
    """Ask each once, and say how it answered."""
    try:
        found = await _sources(settings, SystemClock())
    except CollectorError as trouble:
        found = [Signal(area=Area.MACHINE, name="settings", text=str(trouble), presence=Presence.FAILING)]
    for signal in found:
        yield signal
    if settings.traces.backend != "embedded":
        yield await _trace_store(settings.traces)
    for secured in _secured(settings):
        yield await asyncio.to_thread(_certificate, secured)


async def _sources(settings: Settings, clock: SystemClock) -> Sequence[Signal]:
    """Read every cluster and every source of metrics once."""
    clusters = Clusters(settings.clusters, clock, lambda _: None)
    async with AsyncExitStack() as stack:
        live = LiveGraph(clock=clock)
        polls = elsewhere_of(settings, stack, live=live, clock=clock, inventory=Inventory, clusters=clusters).polls
        await stack.enter_async_context(serving(clusters.watches))
        await asyncio.gather(*(one.watch.settled() for one in clusters.all))
        await asyncio.gather(*(poll.once() for poll in polls))
        now_ms = clock.now_ms()
        return [*of_clusters(clusters.all, now_ms), *of_sources(polls, now_ms)]


async def _trace_store(settings: Traces) -> Signal:
    name = f"traces in {settings.backend}"
    try:
        async with remote_store(settings) as store:
            apps = await store.apps()
    except CollectorError as trouble:
        return Signal(area=Area.SPANS, name=name, text=str(trouble), presence=Presence.FAILING)
    return Signal(area=Area.SPANS, name=name, text=f"answers: {len(apps)} services have traces")


class _Secured(NamedTuple):
    """Somebody with a certificate."""

    url: str
    ca_file: str
    name: str
    """What the certificate must be for, where that is not the address's host."""


def _secured(settings: Settings) -> Iterator[_Secured]:
    for one in settings.sources:
        if isinstance(one, PrometheusConfig) and one.url.startswith("https:") and not one.insecure_skip_verify:
            yield _Secured(one.url, one.ca_file, one.server_name)
    if settings.traces.url.startswith("https:"):
        yield _Secured(settings.traces.url, settings.traces.ca_file, "")


def _certificate(secured: _Secured) -> Signal:
    """Whether the certificate is trusted, and how long it is good for."""
    parts = urlsplit(secured.url)
    name = f"certificate of {parts.netloc}"
    try:
        context = ssl.create_default_context(cafile=secured.ca_file or None)
        address = parts.hostname or "", parts.port or 443
        with (
            socket.create_connection(address, timeout=CONNECT_S) as connection,
            context.wrap_socket(connection, server_hostname=secured.name or parts.hostname) as channel,
        ):
            ends = str((channel.getpeercert() or {}).get("notAfter", ""))
    except ssl.SSLCertVerificationError as trouble:
        advice = Advice(text="Name the authority that signed it, where it is set:", paste='ca_file = "/path/ca.pem"')
        text = trouble.verify_message
        return Signal(area=Area.MACHINE, name=name, text=text, presence=Presence.FAILING, advice=(advice,))
    except (OSError, ValueError) as trouble:
        return Signal(area=Area.MACHINE, name=name, text=f"is not shown: {trouble}", presence=Presence.FAILING)
    left = dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), dt.UTC) - dt.datetime.now(dt.UTC)
    presence = Presence.PRESENT if left > SOON else Presence.STALE
    return Signal(area=Area.MACHINE, name=name, text=f"is good for {left.days} days", presence=presence)
