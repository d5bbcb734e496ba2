"""Zipkin's spans, version 2, written as OTLP. Pure but for what is remembered of shared spans.

Zipkin's two sides of a call may *share* one span id (B3 propagation does so). OTLP knows no such spans: the server's
side gets an id of its own below the client's, always the same one for the same span.
"""

from __future__ import annotations

import hashlib
import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

from collectors.otlp.limits import Limits, MalformedError, TooLargeError
from collectors.protobuf import messages

_CLASSES = messages(
    "meshscope.zipkin",
    {
        "List": [(1, "spans", "*bytes")],
        "Span": [
            (1, "trace_id", "bytes"),
            (2, "parent_id", "bytes"),
            (3, "id", "bytes"),
            (4, "kind", "int32"),
            (5, "name", "bytes"),
            (6, "at", "fixed64"),
            (7, "duration", "uint64"),
            (8, "local", "Endpoint"),
            (9, "remote", "Endpoint"),
            (10, "annotations", "*bytes"),
            (11, "tags", "*bytes"),
            (13, "shared", "bool"),
        ],
        "Endpoint": [(1, "service", "bytes"), (2, "ipv4", "bytes"), (3, "ipv6", "bytes"), (4, "port", "int32")],
        "Annotation": [(1, "at", "fixed64"), (2, "value", "bytes")],
        "Tag": [(1, "key", "bytes"), (2, "value", "bytes")],
    },
)
KINDS: Mapping[str, int] = {"CLIENT": 3, "SERVER": 2, "PRODUCER": 4, "CONSUMER": 5}
BY_NUMBER = ("", "CLIENT", "SERVER", "PRODUCER", "CONSUMER")
INTERNAL = 1
ADDRESSED = frozenset({"server.address", "net.peer.name", "http.url", "url.full", "http.host"})
"""Tags that say whom a client called better than the address of its connection."""
RESOURCE_TAGS = ("istio.canonical_service", "istio.namespace", "istio.canonical_revision")
WITHIN = 256
"""Tags and annotations of one span that are kept."""
SHARED = 50_000
LARGEST = 2**63 - 1


class Endpoint(NamedTuple):
    """One side of a call."""

    service: str = ""
    address: str = ""
    port: int = 0


class ZipkinSpan(NamedTuple):
    """A span as Zipkin has it; times in microseconds."""

    trace_id: bytes
    id: bytes
    parent_id: bytes
    kind: str
    name: str
    at_us: int
    duration_us: int
    local: Endpoint
    remote: Endpoint
    tags: Mapping[str, str]
    annotations: Sequence[tuple[int, str]]
    shared: bool


class Zipkin:
    """Translates requests; for use from several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shared: OrderedDict[tuple[bytes, bytes, str], None] = OrderedDict()
        """Server sides that share an id, by trace, id and service: spans below them may come later."""

    def of_json(self, body: bytes, limits: Limits) -> tuple[bytes, int]:
        """Translate a list of spans in JSON; raises a ``RefusedError`` that names the place."""
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError as trouble:
            raise MalformedError(f"not JSON: {trouble}") from trouble
        if not isinstance(found, list):
            raise MalformedError("a list of spans is expected: [{...}, ...]")
        _bounded(len(found), limits)
        return self._written([_of_json(one, number) for number, one in enumerate(found)])

    def of_protobuf(self, body: bytes, limits: Limits) -> tuple[bytes, int]:
        """Translate a ``zipkin.proto3.ListOfSpans``."""
        try:
            found = _CLASSES["List"].FromString(body).spans
            _bounded(len(found), limits)
            return self._written([_of_protobuf(one, number) for number, one in enumerate(found)])
        except DecodeError as trouble:
            raise MalformedError(f"not a zipkin.proto3.ListOfSpans: {trouble}") from trouble

    def _written(self, spans: Sequence[ZipkinSpan]) -> tuple[bytes, int]:
        clients = {(span.trace_id, span.id) for span in spans if span.kind == "CLIENT"}
        spans = [
            span._replace(shared=True) if span.kind == "SERVER" and (span.trace_id, span.id) in clients else span
            for span in spans
        ]
        with self._lock:
            for span in spans:
                if span.shared and span.kind == "SERVER":
                    self._shared[span.trace_id, span.id, span.local.service] = None
            while len(self._shared) > SHARED:
                self._shared.popitem(last=False)
            split = [self._split(span) for span in spans]
        return _request(split), len(spans)

    def _split(self, span: ZipkinSpan) -> ZipkinSpan:
        """Give a shared server side its own id, and what its process did below it that id as parent."""
        if span.shared and span.kind == "SERVER":
            return span._replace(id=_server_id(span.id), parent_id=span.id)
        if (span.trace_id, span.parent_id, span.local.service) in self._shared:
            return span._replace(parent_id=_server_id(span.parent_id))
        return span


def _server_id(shared: bytes) -> bytes:
    return hashlib.blake2b(shared, digest_size=8, person=b"zipkin server").digest()


def _bounded(count: int, limits: Limits) -> None:
    if count > limits.request_spans:
        raise TooLargeError(f"more than {limits.request_spans} spans in one request; send smaller batches")


def _of_json(fields: Any, number: int) -> ZipkinSpan:
    place = f"[{number}]"
    if not isinstance(fields, dict):
        raise MalformedError(f"{place}: a span is an object, not {type(fields).__name__}")

    def text(name: str) -> str:
        value = fields.get(name)
        if value is not None and not isinstance(value, str):
            raise MalformedError(f"{place}.{name} must be a string")
        return value or ""

    def count(name: str) -> int:
        value = fields.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise MalformedError(f"{place}.{name} must be a number of microseconds")
        return min(value or 0, LARGEST // 1000)

    tags, notes = fields.get("tags") or {}, fields.get("annotations") or []
    if not isinstance(tags, dict) or not isinstance(notes, list):
        raise MalformedError(f"{place}.tags must be an object and {place}.annotations a list")
    return ZipkinSpan(
        trace_id=_hex(text("traceId"), 16, f"{place}.traceId"),
        id=_hex(text("id"), 8, f"{place}.id"),
        parent_id=_hex(text("parentId"), 8, f"{place}.parentId") if text("parentId") else b"",
        kind=text("kind"),
        name=text("name"),
        at_us=count("timestamp"),
        duration_us=count("duration"),
        local=_endpoint(fields.get("localEndpoint")),
        remote=_endpoint(fields.get("remoteEndpoint")),
        tags={str(key): value if isinstance(value, str) else str(value) for key, value in list(tags.items())[:WITHIN]},
        annotations=list(_annotations(notes[:WITHIN])),
        shared=fields.get("shared") is True,
    )


def _annotations(notes: Sequence[Any]) -> Iterator[tuple[int, str]]:
    for note in notes:
        at = note.get("timestamp") if isinstance(note, dict) else None
        if isinstance(at, int) and 0 <= at < LARGEST // 1000:
            yield at, str(note.get("value", ""))


def _hex(text: str, size: int, place: str) -> bytes:
    """Read an id; the shorter form of a trace id is filled up with zeros."""
    try:
        found = bytes.fromhex(text.zfill(2 * size)) if text.isalnum() else b""
    except ValueError:
        found = b""
    if len(found) != size or not any(found):
        raise MalformedError(f"{place} must be up to {2 * size} hexadecimal digits, not {text[:40]!r}")
    return found


def _endpoint(fields: Any) -> Endpoint:
    if not isinstance(fields, dict):
        return Endpoint()
    port = fields.get("port")
    return Endpoint(
        str(fields.get("serviceName") or ""),
        str(fields.get("ipv4") or fields.get("ipv6") or ""),
        port if isinstance(port, int) and 0 < port < 65536 else 0,
    )


def _of_protobuf(encoded: bytes, number: int) -> ZipkinSpan:
    span = _CLASSES["Span"].FromString(encoded)
    tags = (_CLASSES["Tag"].FromString(one) for one in span.tags[:WITHIN])
    notes = (_CLASSES["Annotation"].FromString(one) for one in span.annotations[:WITHIN])
    return ZipkinSpan(
        trace_id=_hex(span.trace_id.hex(), 16, f"[{number}].trace_id"),
        id=_hex(span.id.hex(), 8, f"[{number}].id"),
        parent_id=_hex(span.parent_id.hex(), 8, f"[{number}].parent_id") if span.parent_id else b"",
        kind=BY_NUMBER[span.kind] if 0 <= span.kind < len(BY_NUMBER) else "",
        name=_text(span.name),
        at_us=min(span.at, LARGEST // 1000),
        duration_us=min(span.duration, LARGEST // 1000),
        local=_packed(span.local),
        remote=_packed(span.remote),
        tags={_text(tag.key): _text(tag.value) for tag in tags},
        annotations=[(min(note.at, LARGEST // 1000), _text(note.value)) for note in notes],
        shared=span.shared,
    )


def _packed(endpoint: Any) -> Endpoint:
    packed = endpoint.ipv4 or endpoint.ipv6
    address = str(ipaddress.ip_address(packed)) if len(packed) in {4, 16} else ""
    return Endpoint(_text(endpoint.service), address, endpoint.port if 0 < endpoint.port < 65536 else 0)


def _request(spans: Sequence[ZipkinSpan]) -> bytes:
    request = ExportTraceServiceRequest()
    scopes: dict[tuple[tuple[str, str], ...], ScopeSpans] = {}
    for span in spans:
        about = tuple(_resource(span))
        scope = scopes.get(about)
        if scope is None:
            part = request.resource_spans.add()
            part.resource.attributes.extend(pairs(dict(about)))
            scope = scopes[about] = part.scope_spans.add()
        _fill(scope.spans.add(), span)
    return bytes(request.SerializeToString())


def _resource(span: ZipkinSpan) -> Iterator[tuple[str, str]]:
    """Name the process: as Istio's proxies tag it, else by its endpoint."""
    canonical, namespace, revision = (span.tags.get(tag, "") for tag in RESOURCE_TAGS)
    service = canonical or span.local.service
    if service:
        yield "service.name", service
    if namespace:
        yield "service.namespace", namespace
    if revision and revision not in {"latest", "unknown"}:
        yield "service.version", revision
    if span.local.address:
        yield "net.host.ip", span.local.address


def _fill(into: Span, span: ZipkinSpan) -> None:
    into.trace_id, into.span_id, into.parent_span_id = span.trace_id, span.id, span.parent_id
    into.name = span.name
    into.kind = KINDS.get(span.kind, INTERNAL)  # type: ignore[assignment]
    into.start_time_unix_nano = span.at_us * 1000
    into.end_time_unix_nano = min(span.at_us + span.duration_us, LARGEST // 1000) * 1000
    into.attributes.extend(pairs({**_peer(span), **span.tags}))
    for at_us, value in span.annotations:
        into.events.add(time_unix_nano=at_us * 1000, name=value)
    error = span.tags.get("error", "false")
    if error != "false":
        into.status.code = Status.STATUS_CODE_ERROR
        into.status.message = error


def _peer(span: ZipkinSpan) -> Mapping[str, str]:
    """Say in OTLP's words who was at the other end, unless the tags do."""
    remote = span.remote
    found = {"peer.service": remote.service} if remote.service else {}
    if span.kind in {"CLIENT", "PRODUCER"} and remote.address and ADDRESSED.isdisjoint(span.tags):
        found |= {"server.address": remote.address} | ({"server.port": str(remote.port)} if remote.port else {})
    elif span.kind == "SERVER" and remote.address:
        found["client.address"] = remote.address
    return found


def pairs(attributes: Mapping[str, str]) -> list[KeyValue]:
    """Write attributes as OTLP has them."""
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()]


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def paths(zipkin: Zipkin) -> Mapping[str, Mapping[str, Callable[[bytes, Limits], tuple[bytes, int]]]]:
    """Return what is served where; JSON also to those who do not say what they send."""
    forms = {
        "application/json": zipkin.of_json,
        "application/x-protobuf": zipkin.of_protobuf,
        "application/octet-stream": zipkin.of_json,
    }
    return {"/api/v2/spans": forms}
