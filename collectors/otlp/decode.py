"""OTLP bytes to the few facts per span that edges and the trace index are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from collectors.otlp import wire
from collectors.otlp.limits import Limits, TooLargeError, decoding
from collectors.otlp.resources import Workloads
from collectors.otlp.sampling import weight_of_state
from collectors.otlp.told import CLIENT, CONSUMER, NOTHING, PRODUCER, SERVER, Reader, Told
from graph.model import WorkloadRef

KINDS = ("", "internal", "server", "client", "producer", "consumer")
NO_TRACE, NO_SPAN = bytes(16), bytes(8)
AT_ONCE = 512 * 1024
"""So many bytes are decoded in one go: were they nothing but empty spans, those would take 40 MB."""
TOO_MANY = "more than {} spans or resources in one request; send smaller batches"
FIELDS = attrgetter(
    "trace_id", "span_id", "parent_span_id", "kind", "name", "start", "end", "status", "trace_state", "attributes"
)
"""All at once: one by one they cost half as much again."""
MOST_LINKS = 16
NO_LINKS: tuple[bytes, ...] = ()
REMEMBERED = 20_000
"""Answers per kind of span."""


class SpanRow(NamedTuple):
    """What is known of a span without having decoded it all."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    """Empty for a root."""
    kind: int
    workload: WorkloadRef
    name: bytes
    took_ns: int
    told: Told
    weight: float
    """How many spans it stands for."""
    links: tuple[bytes, ...]
    """Of a consumer: trace and span ids of what it consumes, one after the other."""


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
        self._readers = {
            kind: Reader(kind, most=limits.span_attributes, remembered=REMEMBERED).read
            for kind in (SERVER, CLIENT, PRODUCER, CONSUMER)
        }

    def decode(self, data: bytes) -> Batch:
        """Decode an ``ExportTraceServiceRequest``; raises :class:`MalformedError` or :class:`TooLargeError`."""
        with decoding("trace"):
            rows, seen = self._rows(data)
        return Batch(data, rows, seen - len(rows))

    def _rows(self, data: bytes) -> tuple[list[SpanRow], int]:
        """Every span once, in one loop without calls that could be spared: this is what the receiver's speed is."""
        rows: list[SpanRow] = []
        seen, room = 0, self._limits.request_spans
        readers, longest, row, add = self._readers, self._limits.name_chars, tuple.__new__, rows.append
        for part in _parts(data, room):
            workload = self._workloads.of(part.resource)
            spans = part.scope_spans.spans
            count = len(spans)
            seen += count
            room -= count or 1
            if room < 0:
                raise TooLargeError(TOO_MANY.format(self._limits.request_spans))
            for span in spans[:]:
                trace_id, span_id, parent_id, kind, name, start, end, status, state, attributes = FIELDS(span)
                if len(trace_id) != 16 or len(span_id) != 8 or trace_id == NO_TRACE or span_id == NO_SPAN:
                    continue
                fails = failed(status) if status else False
                if kind in readers:
                    told = readers[kind](attributes, fails)
                    weight = weight_of_state(state) if state and told.weight == 1.0 else told.weight
                    links = linked(span.links) if kind == CONSUMER else NO_LINKS
                else:
                    told, weight, links = NOTHING, 1.0, NO_LINKS
                # SpanRow(...) itself costs as much as half of this loop.
                add(
                    row(
                        SpanRow,
                        (
                            trace_id,
                            span_id,
                            parent_id if parent_id != NO_SPAN else b"",
                            kind,
                            workload,
                            name[:longest],
                            end - start if end > start else 0,
                            told,
                            weight,
                            links,
                        ),
                    )
                )
        return rows, seen


def _parts(data: bytes, most: int) -> Sequence[Any] | Iterator[Any]:
    """Give each resource with its spans; what is large is counted before it takes much memory."""
    if len(data) > AT_ONCE:
        return _large(wire.Request.FromString(data).resources, most)
    parts: Sequence[Any] = wire.Whole.FromString(data).resource_spans
    if len(parts) > most:
        raise TooLargeError(TOO_MANY.format(most))
    return parts


def _large(parts: Sequence[bytes], most: int) -> Iterator[Any]:
    if len(parts) > most:
        raise TooLargeError(TOO_MANY.format(most))
    for part in parts:
        if len(part) <= AT_ONCE:
            yield wire.WholeResource.FromString(part)
            continue
        of_resource = wire.Resource.FromString(part)
        if sum(1 + len(wire.Count.FromString(scope).spans) for scope in of_resource.scopes) > 2 * most:
            raise TooLargeError(TOO_MANY.format(most))
        for scope in of_resource.scopes:
            yield _Part(of_resource.resource, wire.ScopeSpans.FromString(scope))


class _Part(NamedTuple):
    resource: bytes
    scope_spans: Any


def linked(links: Sequence[bytes]) -> tuple[bytes, ...]:
    """Name the first spans that a span is linked to, by trace id and span id; malformed ones are left out."""
    return tuple(found for one in links[:MOST_LINKS] if (found := _linked(one))) if links else NO_LINKS


def _linked(link: bytes) -> bytes:
    try:
        of = wire.Link.FromString(link)
    except DecodeError:
        return b""
    return bytes(of.trace_id + of.span_id) if len(of.trace_id) == 16 and len(of.span_id) == 8 else b""


def failed(status: bytes) -> bool:
    """Whether an encoded status says error."""
    return _failed(status) if len(status) < 64 else _parse_failed(status)


def _parse_failed(status: bytes) -> bool:
    try:
        return bool(Status.FromString(status).code == Status.STATUS_CODE_ERROR)
    except DecodeError:
        return False


_failed = lru_cache(maxsize=1024)(_parse_failed)
