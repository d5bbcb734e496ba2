"""OTLP bytes to the few facts per span that edges and the trace index are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from collectors.otlp import wire
from collectors.otlp.limits import Limits, MalformedError, TooLargeError
from collectors.otlp.resources import Workloads
from graph.model import WorkloadRef

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
KINDS = ("", "internal", "server", "client", "producer", "consumer")

FACT_NAMES = (
    # Newest spelling first: semantic conventions move, and senders move at different times.
    "db.system.name",
    "db.system",
    "messaging.system",
    "messaging.destination.name",
    "messaging.destination",
    "service.peer.name",
    "peer.service",
    "server.address",
    "server.port",
    "net.peer.name",
    "net.peer.port",
    "net.sock.peer.addr",
    "url.full",
    "http.url",
    "http.host",
    "http.response.status_code",
    "http.status_code",
    "rpc.system.name",
    "rpc.system",
    "rpc.response.status_code",
    "rpc.grpc.status_code",
)
FACTS = {name.encode(): name for name in FACT_NAMES}
NO_FACTS: Mapping[str, str] = {}
NO_ID = (bytes(16), bytes(8))
VALUE_CHARS = 256
FACTS_CHARS = 1024
"""Facts wait in memory for their other side; longer values are cut, and what exceeds the sum is left out."""


class SpanRow(NamedTuple):
    """What is known of a span without having decoded it all."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    """Empty for a root."""
    kind: int
    workload: WorkloadRef
    name: bytes
    start_ns: int
    end_ns: int
    failed: bool
    facts: Mapping[str, str]
    """Those attributes of :data:`FACT_NAMES` that it has."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: its bytes, and the spans in it that can be used."""

    data: bytes
    spans: Sequence[SpanRow]
    rejected: int = 0
    """Spans without a valid trace id or span id."""


class Decoder:
    """Decodes requests; for use from several threads at once."""

    def __init__(self, limits: Limits, *, cluster: str) -> None:
        self._limits = limits
        self._workloads = Workloads(cluster=cluster, most=limits.resources, longest=limits.name_chars)

    def decode(self, data: bytes) -> Batch:
        """Decode an ``ExportTraceServiceRequest``; raises :class:`MalformedError` or :class:`TooLargeError`."""
        try:
            rows, seen = self._rows(data)
        except DecodeError as trouble:
            raise MalformedError(f"not an OTLP trace request: {trouble}") from trouble
        return Batch(data, rows, seen - len(rows))

    def _rows(self, data: bytes) -> tuple[list[SpanRow], int]:
        rows: list[SpanRow] = []
        seen = 0
        most_attributes, longest = self._limits.span_attributes, self._limits.name_chars
        for resource, spans in self._scopes(data):
            workload = self._workloads.of(resource)
            seen += len(spans)
            for span in spans:
                trace_id, span_id = span.trace_id, span.span_id
                if len(trace_id) != 16 or len(span_id) != 8 or trace_id == NO_ID[0] or span_id == NO_ID[1]:
                    continue
                kind, parent_id, status = span.kind, span.parent_span_id, span.status
                rows.append(
                    SpanRow(
                        trace_id,
                        span_id,
                        b"" if parent_id == NO_ID[1] else parent_id,
                        kind,
                        workload,
                        span.name[:longest],
                        span.start,
                        max(span.end, span.start),
                        failed(status) if status else False,
                        facts(span.attributes, most_attributes) if kind > 1 else NO_FACTS,
                    )
                )
        return rows, seen

    def _scopes(self, data: bytes) -> Iterator[tuple[bytes, Sequence[Any]]]:
        """Yield each scope's spans with its resource, having counted them before they take memory."""
        most, count = self._limits.request_spans, 0
        parts = wire.Request.FromString(data).resource_spans
        if len(parts) > most:
            raise TooLargeError(f"{len(parts)} resources in one request; {most} are taken")
        for part in parts:
            of_resource = wire.ResourceSpans.FromString(part)
            for scope in of_resource.scope_spans:
                count += 1 + len(wire.Count.FromString(scope).spans)
                if count > most:
                    raise TooLargeError(f"more than {most} spans in one request; send smaller batches")
                yield of_resource.resource, wire.ScopeSpans.FromString(scope).spans


def facts(attributes: Sequence[bytes], most: int = 256) -> Mapping[str, str]:
    """Read those attributes that say something about the other side or the outcome."""
    found: dict[str, str] | None = None
    room = FACTS_CHARS
    if len(attributes) > most:
        attributes = attributes[:most]
    for attribute in attributes:
        if len(attribute) < 2:
            continue
        if attribute[0] == 0x0A:
            end = 2 + attribute[1]
            name = FACTS.get(attribute[2:end])
            if name is None:
                continue
            value = wire.string_attribute(attribute, end)
        else:  # the value before the key: allowed, and nobody does it
            pair = wire.key_value(attribute)
            if pair is None or pair[0].encode() not in FACTS:
                continue
            name, value = pair
        if value is not None:
            if found is None:
                found = {}
            room -= len(found.setdefault(name, value[: min(VALUE_CHARS, max(room, 0))]))
    return NO_FACTS if found is None else found


def failed(status: bytes) -> bool:
    """Whether an encoded status says error."""
    return _failed(status) if len(status) < 64 else _parse_failed(status)


def _parse_failed(status: bytes) -> bool:
    try:
        return bool(Status.FromString(status).code == Status.STATUS_CODE_ERROR)
    except DecodeError:
        return False


_failed = lru_cache(maxsize=1024)(_parse_failed)
