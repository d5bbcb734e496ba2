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
NO_TRACE, NO_SPAN = bytes(16), bytes(8)
NOTHING = ("", "")
VALUE_CHARS = 256
USUAL_FACTS = 8
"""Facts wait in memory for their other side: longer values are cut, and no more is kept than so many such values."""
REMEMBERED = 50_000
REMEMBERED_BYTES = 128


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
        self._facts = FactReader(most=limits.span_attributes)
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
        facts, longest, row = self._facts.read, self._limits.name_chars, tuple.__new__
        for resource, spans in self._scopes(data):
            workload = self._workloads.of(resource)
            seen += len(spans)
            for span in spans:
                trace_id, span_id = span.trace_id, span.span_id
                if len(trace_id) != 16 or len(span_id) != 8 or trace_id == NO_TRACE or span_id == NO_SPAN:
                    continue
                kind, parent_id, status, start, end = span.kind, span.parent_span_id, span.status, span.start, span.end
                rows.append(
                    # SpanRow(...) itself costs as much as all the rest of this loop.
                    row(
                        SpanRow,
                        (
                            trace_id,
                            span_id,
                            parent_id if parent_id != NO_SPAN else b"",
                            kind,
                            workload,
                            span.name[:longest],
                            start,
                            max(start, end),
                            failed(status) if status else False,
                            facts(span.attributes) if kind > 1 else NO_FACTS,
                        ),
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


class FactReader:
    """Picks the facts out of encoded attributes, remembering what each means: most come again and again."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._known: dict[bytes, tuple[str, str]] = {}

    def read(self, attributes: Sequence[bytes]) -> Mapping[str, str]:
        """Read those attributes that say something about the other side or the outcome."""
        known = self._known
        found: dict[str, str] | None = None
        if len(attributes) > self._most:
            attributes = attributes[: self._most]
        for attribute in attributes:
            fact = known.get(attribute) or self._learn(attribute)
            if fact is not NOTHING:
                if found is None:
                    found = {}
                found[fact[0]] = fact[1]
        if found is None:
            return NO_FACTS
        return found if len(found) <= USUAL_FACTS else _shortened(found)

    def _learn(self, attribute: bytes) -> tuple[str, str]:
        fact = _fact(attribute)
        if len(attribute) <= REMEMBERED_BYTES:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[attribute] = fact
        return fact


def _fact(attribute: bytes) -> tuple[str, str]:
    """Read one attribute; :data:`NOTHING` when it is none of the facts, or cannot be read."""
    if attribute[:1] == b"\x0a" and FACTS.get(attribute[2 : 2 + attribute[1]] if len(attribute) > 1 else b"") is None:
        return NOTHING
    pair = wire.key_value(attribute)
    if pair is None or (name := FACTS.get(pair[0].encode())) is None:
        return NOTHING
    return name, pair[1][:VALUE_CHARS]


def _shortened(found: Mapping[str, str]) -> Mapping[str, str]:
    room = USUAL_FACTS * VALUE_CHARS
    kept = {}
    for name, value in found.items():
        room -= len(value)
        if room >= 0:
            kept[name] = value
    return kept


def failed(status: bytes) -> bool:
    """Whether an encoded status says error."""
    return _failed(status) if len(status) < 64 else _parse_failed(status)


def _parse_failed(status: bytes) -> bool:
    try:
        return bool(Status.FromString(status).code == Status.STATUS_CODE_ERROR)
    except DecodeError:
        return False


_failed = lru_cache(maxsize=1024)(_parse_failed)
