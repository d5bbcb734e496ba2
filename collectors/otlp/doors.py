"""What a receiver has to know of a signal to take its requests and answer them: spans here, logs and metrics beside."""

from __future__ import annotations

from typing import Protocol

from google.protobuf.message import Message

from collectors.otlp import json_form, replies
from collectors.otlp.ingest import Ingest
from collectors.otlp.limits import Drop, Limits


class Door(Protocol):
    """One signal's way in; its methods may be called from several threads at once."""

    @property
    def method(self) -> str:
        """The full name of its gRPC method."""
        ...

    @property
    def path(self) -> str:
        """Its path over HTTP."""
        ...

    @property
    def limits(self) -> Limits:
        """How large a request may be."""
        ...

    def take(self, data: bytes) -> Message:
        """Take one encoded request and return the reply; raises a ``RefusedError`` and counts it."""
        ...

    def from_json(self, body: bytes) -> bytes:
        """Translate a request from OTLP's JSON; raises a ``RefusedError``."""
        ...

    def refuse(self, reason: Drop) -> None:
        """Count a request that was refused before it was decoded."""
        ...


class Spans:
    """The way in for spans."""

    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    path = "/v1/traces"

    def __init__(self, sink: Ingest) -> None:
        self.limits = sink.limits
        self.refuse = sink.refuse
        self.from_json = json_form.traces
        self._sink = sink

    def take(self, data: bytes) -> Message:
        """Take spans."""
        return replies.success(self._sink.ingest(data))
