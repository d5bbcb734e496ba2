"""OTLP logs: records into the log store, and those that are access logs into the tap, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collectors.inventory import DEFAULT_CLUSTER
from collectors.logs import access
from collectors.logs.access import Access
from collectors.logs.lines import FUTURE_NS, TEXT_CHARS, level_of
from collectors.otlp import json_form, wire
from collectors.otlp.limits import BusyError, Drop, Drops, Limits, TooLargeError, counted, decoding
from collectors.otlp.resources import resource_attributes, workload_of
from collectors.protobuf import messages
from graph.model import WorkloadRef
from graph.ports import LOG_LEVELS, Clock, LogLine, LogSource

_CLASSES = messages(
    "meshscope.logs",
    {
        "Count": [(2, "records", "*bytes")],
        "Scope": [(2, "records", "*Record")],
        "Record": [
            (1, "at", "fixed64"),
            (2, "severity", "int32"),
            (3, "severity_text", "bytes"),
            (5, "body", "bytes"),
            (6, "attributes", "*bytes"),
            (9, "trace_id", "bytes"),
            (10, "span_id", "bytes"),
            (11, "observed", "fixed64"),
            (12, "event", "bytes"),
        ],
    },
)
BODY_BYTES = 256 * 1024
"""A larger body is not decoded: only its size is kept."""
ATTRIBUTES = 128
ATTRIBUTE_BYTES = 16 * 1024


class Sink(Protocol):
    """Where records rest: :class:`collectors.logs.sqlite.SqliteLogs`."""

    @property
    def retention_s(self) -> float:
        """Older records are not kept."""
        ...

    def append(self, lines: Sequence[LogLine], /) -> bool:
        """Take lines; False when too much waits to be written."""
        ...


class AccessSink(Protocol):
    """Where access logs go, too: :class:`collectors.als.sources.AccessLogs`."""

    def entries(self, found: Sequence[tuple[Access | None, WorkloadRef | None]], /) -> object:
        """Take those that there was room for."""
        ...

    def room_for(self, count: int, /) -> int:
        """Return how many of so many may be brought."""
        ...


class _Record(NamedTuple):
    line: LogLine
    access: Access | None
    reporter: WorkloadRef | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsState:
    """How receiving logs does."""

    requests: int = 0
    records: int = 0
    access_records: int = 0
    last_ms: int = 0
    busy: int = 0
    """Requests that were sent back because the disk was behind."""


class Logs:
    """The way in for logs: a :class:`collectors.otlp.doors.Door`."""

    method = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
    path = "/v1/logs"

    def __init__(
        self, store: Sink, clock: Clock, *, tap: AccessSink | None = None, limits: Limits | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.from_json = json_form.logs
        self.state = LogsState()
        self._store = store
        self._clock = clock
        self._tap = tap
        self._drops = Drops()

    @property
    def drops(self) -> dict[str, int]:
        """Requests that were refused, by reason."""
        return {reason: count for reason, count in self._drops.by_reason().items() if reason in REFUSALS}

    def refuse(self, reason: Drop) -> None:
        """Count a request that was refused before it was decoded."""
        self._drops.add(reason)

    def take(self, data: bytes) -> Message:
        """Take an ``ExportLogsServiceRequest``; records older than the store keeps are rejected in part."""
        with counted(self.refuse), decoding("logs"):
            records = list(self._records(data))
        oldest_ns = (self._clock.now_ms() - int(self._store.retention_s * 1000)) * 1_000_000
        kept = [one for one in records if one.line.at_ns >= oldest_ns]
        if not self._store.append([one.line for one in kept]):
            self.state = replace(self.state, busy=self.state.busy + 1)
            raise BusyError("logs come faster than they can be written; send again in a second")
        self._tapped([one for one in kept if one.access is not None])
        self._count(kept)
        reply = ExportLogsServiceResponse()
        if len(kept) < len(records):
            reply.partial_success.rejected_log_records = len(records) - len(kept)
            reply.partial_success.error_message = (
                f"records older than {self._store.retention_s / 3600:g} h are not kept; see logs.retention_s"
            )
        return reply

    def _count(self, kept: Sequence[_Record]) -> None:
        state = self.state
        self.state = replace(
            state,
            requests=state.requests + 1,
            records=state.records + len(kept),
            access_records=state.access_records + sum(one.access is not None for one in kept),
            last_ms=self._clock.now_ms(),
        )

    def _tapped(self, records: Sequence[_Record]) -> None:
        if self._tap is not None and records:
            self._tap.entries([(one.access, one.reporter) for one in records[: self._tap.room_for(len(records))]])

    def _records(self, data: bytes) -> Iterator[_Record]:
        most, count, now_ns = self.limits.request_spans, 0, self._clock.now_ms() * 1_000_000
        for resource, scopes in wire.resources(data, most):
            attributes = resource_attributes(resource)
            for scope in scopes:
                count += 1 + len(_CLASSES["Count"].FromString(scope).records)
                if count > most:
                    raise TooLargeError(f"more than {most} records in one request; send smaller batches")
                for record in _CLASSES["Scope"].FromString(scope).records:
                    yield _record(record, attributes, now_ns)


REFUSALS = frozenset({Drop.MALFORMED.value, Drop.TOO_LARGE.value})


def _record(record: Any, resource: dict[str, str], now_ns: int) -> _Record:
    attributes = wire.attributes([one for one in record.attributes[:ATTRIBUTES] if len(one) <= ATTRIBUTE_BYTES])
    body = _body(record.body)
    found = access.of_fields(attributes) or (access.of_line(body) if access.is_access(body) else None)
    at_ns = record.at or record.observed or now_ns
    event = record.event.decode(errors="replace")[:256]
    line = LogLine(
        at_ns=at_ns if at_ns <= now_ns + FUTURE_NS else now_ns,
        text=body or event or " ".join(f"{name}={value}" for name, value in attributes.items())[:TEXT_CHARS],
        source=LogSource.ACCESS if found else LogSource.OTLP,
        workload=workload_of(resource, cluster=DEFAULT_CLUSTER),
        instance=(resource.get("service.instance.id") or resource.get("k8s.pod.name") or "")[:256],
        level=access.level(found) if found else _level(record.severity, record.severity_text),
        trace_id=record.trace_id.hex() if len(record.trace_id) == 16 and any(record.trace_id) else "",
        span_id=record.span_id.hex() if len(record.span_id) == 8 and any(record.span_id) else "",
        attributes=attributes | ({"event.name": event} if event and body else {}),
    )
    own = line.workload if resource.get("service.name") and resource.get("service.name") != "envoy" else None
    return _Record(line, found, own)


def _body(encoded: bytes) -> str:
    if len(encoded) > BODY_BYTES:
        return f"(a body of {len(encoded)} bytes, of which {BODY_BYTES} are taken at most)"
    try:
        return wire.text(AnyValue.FromString(encoded))[:TEXT_CHARS].rstrip("\n")
    except (DecodeError, RecursionError):
        return ""


def _level(number: int, text: bytes) -> str:
    """Read a severity: four numbers to a level, from 1."""
    return LOG_LEVELS[(number - 1) // 4] if 1 <= number <= 24 else level_of(text[:32].decode(errors="replace"))
