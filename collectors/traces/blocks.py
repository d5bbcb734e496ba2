"""A block: some requests' bytes as one compressed blob, and what an index has to know of it. Pure.

Requests that follow each other are one request, as protobuf has it: so blocks of many small requests compress
as well as one large one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import zstandard
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1 import trace_pb2

from collectors.errors import CollectorError
from collectors.otlp import wire
from collectors.otlp.decode import KINDS, NO_SPAN, Batch, SpanRow
from collectors.otlp.resources import resource_attributes, workload_of
from graph.model import WorkloadRef
from graph.ports import Span

LEVEL = 3


@dataclass(slots=True)
class Entry:
    """What one workload did in one trace, as far as one block knows."""

    trace_id: bytes
    workload: WorkloadRef
    start_ns: int
    end_ns: int
    longest_ns: int
    spans: int
    errors: int
    root: bool
    name: bytes
    """Of the trace's root, else of the span that started first."""


class Found(NamedTuple):
    """A span in a block, not yet decoded."""

    resource: bytes
    span: Any


Block = Mapping[bytes, Sequence[Found]]
"""A block's spans by trace id."""


def entries(rows: Iterable[SpanRow]) -> list[Entry]:
    """Sum spans up per trace and workload."""
    found: dict[tuple[bytes, WorkloadRef], Entry] = {}
    for row in rows:
        key = (row.trace_id, row.workload)
        took, root = row.end_ns - row.start_ns, not row.parent_id
        entry = found.get(key)
        if entry is None:
            found[key] = Entry(
                row.trace_id, row.workload, row.start_ns, row.end_ns, took, 1, int(row.failed), root, row.name
            )
            continue
        if root > entry.root or (root == entry.root and row.start_ns < entry.start_ns):
            entry.root, entry.name = root, row.name
        entry.start_ns = min(entry.start_ns, row.start_ns)
        entry.end_ns = max(entry.end_ns, row.end_ns)
        entry.longest_ns = max(entry.longest_ns, took)
        entry.spans += 1
        entry.errors += row.failed
    return list(found.values())


def pack(batches: Iterable[Batch]) -> bytes:
    """Compress batches into one blob."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(b"".join(batch.data for batch in batches))


def unpack(blob: bytes) -> Block:
    """Open a blob; its spans stay undecoded until somebody wants them."""
    try:
        request = wire.Request.FromString(zstandard.ZstdDecompressor().decompress(blob))
        found: dict[bytes, list[Found]] = {}
        for part in request.resource_spans:
            of_resource = wire.ResourceSpans.FromString(part)
            for scope in of_resource.scope_spans:
                for span in wire.ScopeSpans.FromString(scope).spans:
                    found.setdefault(span.trace_id, []).append(Found(of_resource.resource, span))
    except (zstandard.ZstdError, DecodeError) as trouble:
        raise CollectorError(f"a block of the trace store is damaged: {trouble}") from trouble
    return found


def decode(found: Found, *, cluster: str) -> Span:
    """Decode a span in full; of what is malformed inside it, as much as can be read."""
    raw = found.span
    resource = resource_attributes(found.resource)
    workload = workload_of(resource, cluster=cluster)
    status = _message(trace_pb2.Status, raw.status) or trace_pb2.Status()
    return Span(
        trace_id=raw.trace_id.hex(),
        span_id=raw.span_id.hex(),
        parent_id="" if raw.parent_span_id == NO_SPAN else raw.parent_span_id.hex(),
        name=raw.name.decode(errors="replace"),
        kind=KINDS[raw.kind] if 0 < raw.kind < len(KINDS) else KINDS[1],
        start_ns=raw.start,
        end_ns=max(raw.start, raw.end),
        error=status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        status_message=status.message,
        cluster=workload.cluster,
        namespace=workload.namespace,
        workload=workload.workload,
        app=workload.app,
        version=workload.version,
        attributes=wire.attributes(raw.attributes),
        resource=resource,
        events=tuple(_events(raw.events)),
    )


def _events(encoded: Iterable[bytes]) -> Iterator[tuple[int, str, Mapping[str, str]]]:
    for one in encoded:
        if event := _message(trace_pb2.Span.Event, one):
            yield event.time_unix_nano, event.name, {pair.key: wire.text(pair.value) for pair in event.attributes}


def _message(kind: Any, encoded: bytes) -> Any:
    try:
        return kind.FromString(encoded)
    except DecodeError:
        return None
