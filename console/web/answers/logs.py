"""What the API answers about lines and single requests."""

from __future__ import annotations

from collectors.als.tap import TapState
from console.web.answers.shape import Answer, Plain, Service, Workload
from graph.model import Protocol
from graph.ports import LogSource, LogStoreState


class LogLine(Workload):
    """One line."""

    at: str
    at_ns: str
    level: str
    source: LogSource
    text: str
    instance: str
    trace_id: str
    span_id: str
    attributes: dict[str, str]


class Logs(Plain):
    """Lines by time; not complete: older ones than ``reached`` were not looked at."""

    items: list[LogLine]
    complete: bool
    reached: str
    store: LogStoreState


class LoggingWorkload(Workload):
    """Who has logs."""

    sources: list[LogSource]


class LoggingWorkloads(Answer):
    """Everybody who has logs."""

    items: list[LoggingWorkload]


class Request(Answer):
    """A request as a proxy logged it."""

    at: str
    at_ns: str
    source: Workload | None
    target: Workload | None
    service: Service | None
    reporter: str
    protocol: Protocol
    method: str
    path: str
    authority: str
    code: int
    grpc: str
    flags: str
    details: str
    duration_ms: float
    received_bytes: int
    sent_bytes: int
    request_id: str
    trace_id: str
    user_agent: str
    failed: bool


class Hint(Answer):
    """What to apply where no proxy tells."""

    message: str
    manifest: str


class Tapped(Plain):
    """The newest requests, by time."""

    items: list[Request]
    state: TapState
    hint: Hint | None
