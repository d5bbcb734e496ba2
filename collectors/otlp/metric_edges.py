"""Which edge a data point of a request metric is about. Metrics and spans share the names of their attributes.

So a point is read as the span that it stands for: one set of rules says whom an address means, for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collectors.otlp.decode import Decoder
from collectors.otlp.edges import Counted, edge_of
from collectors.otlp.limits import Limits
from collectors.otlp.pairing import Call
from collectors.otlp.resources import resource_attributes
from collectors.otlp.wire import text
from collectors.peers import Peers
from graph.model import EdgeKey, Outcome, WorkloadRef

REMEMBERED = 20_000
NO_CALLEE = "it does not say who was called (server.address), or no more than the caller itself"
NO_CALLER = "a callee's metric does not say who called, unless client.address is an address of the mesh"
INSTANCE_KEYS = ("service.instance.id", "k8s.pod.name", "container.id", "host.name")
QUEUES = ("messaging.destination.name", "messaging.destination")


class Place(NamedTuple):
    """Where a point counts."""

    edge: EdgeKey
    outcome: Outcome
    instance: str


class MetricEdges:
    """Finds edges, and remembers them for as long as what is known of names does not change."""

    def __init__(self, peers: Callable[[], Peers], *, cluster: str, longest: int) -> None:
        self._peers = peers
        self._longest = longest
        self._decoder = Decoder(Limits(), cluster=cluster)
        self._known: dict[tuple[bytes, bytes, bool], Place | str] = {}
        self._known_by: Peers | None = None

    def of(self, resource: bytes, attributes: Sequence[Any], *, served: bool) -> Place | str:
        """Return where a point counts, or why it cannot."""
        peers = self._peers()
        if peers is not self._known_by or len(self._known) >= REMEMBERED:
            self._known, self._known_by = {}, peers
        request = _request(resource, attributes, served=served)
        key = (resource, request, served)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._find(request, resource, peers, served=served)
        return found

    def _find(self, request: bytes, resource: bytes, peers: Peers, *, served: bool) -> Place | str:
        [span] = self._decoder.decode(request).spans
        call = Call(None, span, 1) if served else Call(span, None, 1)
        counted = edge_of(call, peers, longest=self._longest)
        caller = self._caller(request, span.workload, peers) if served else None
        if served and caller is None:
            return NO_CALLER
        if not isinstance(counted, Counted):
            if caller is None:
                return NO_CALLEE
            counted = edge_of(Call(span._replace(workload=caller), span, 2), peers, longest=self._longest)
            if not isinstance(counted, Counted):
                return NO_CALLER
        edge = counted.edge._replace(source=caller) if caller else counted.edge
        if edge.source == edge.target:
            return NO_CALLEE
        about = resource_attributes(resource)
        instance = next((about[key] for key in INSTANCE_KEYS if about.get(key)), edge.source.workload)
        return Place(edge, counted.outcome, instance[: self._longest])

    def _caller(self, request: bytes, own: WorkloadRef, peers: Peers) -> WorkloadRef | None:
        span = ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].spans[0]
        said = {pair.key: text(pair.value) for pair in span.attributes}
        host = said.get("client.address") or said.get("net.sock.peer.addr") or ""
        found = peers.resolve(host, 0, own) if host else None
        return found if isinstance(found, WorkloadRef) and found != own else None


def _request(resource: bytes, attributes: Sequence[Any], *, served: bool) -> bytes:
    """Write the span that a point stands for."""
    named = {pair.key for pair in attributes}
    producer = not served and not named.isdisjoint(QUEUES)
    kind = Span.SPAN_KIND_SERVER if served else Span.SPAN_KIND_PRODUCER if producer else Span.SPAN_KIND_CLIENT
    span = Span(trace_id=b"m" * 16, span_id=b"m" * 8, kind=kind, attributes=attributes)
    if "error.type" in named:
        span.status.code = Status.STATUS_CODE_ERROR
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add(resource=_resource(resource))
    part.scope_spans.add().spans.append(span)
    return bytes(request.SerializeToString(deterministic=True))


def _resource(encoded: bytes) -> Resource:
    """Decode a resource; one that is malformed has no attributes."""
    try:
        return Resource.FromString(encoded)
    except DecodeError:
        return Resource()
