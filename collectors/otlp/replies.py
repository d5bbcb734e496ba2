"""What the receiver answers, in OTLP's words."""

from __future__ import annotations

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collectors.otlp.ingest import Accepted
from collectors.otlp.limits import BusyError, MalformedError, RefusedError, TooLargeError

HTTP_STATUS = {MalformedError: 400, TooLargeError: 413, BusyError: 503}
RPC_CODE = {
    400: code_pb2.INVALID_ARGUMENT,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.UNIMPLEMENTED,
    405: code_pb2.UNIMPLEMENTED,
    408: code_pb2.DEADLINE_EXCEEDED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    503: code_pb2.UNAVAILABLE,
}


def success(accepted: Accepted) -> ExportTraceServiceResponse:
    """Everything, or what part was rejected and why. Full success is the empty message."""
    reply = ExportTraceServiceResponse()
    if accepted.rejected:
        reply.partial_success.rejected_spans = accepted.rejected
        reply.partial_success.error_message = accepted.reason
    return reply


def http_status(refused: RefusedError) -> int:
    """Return the status of a refusal; only 503 means that sending it again may help."""
    return HTTP_STATUS[type(refused)]


def failure(status: int, message: str) -> status_pb2.Status:
    """OTLP's form of every 4xx and 5xx."""
    return status_pb2.Status(code=RPC_CODE.get(status, code_pb2.UNKNOWN), message=message)


def encoded(message: Message, *, json: bool) -> bytes:
    """Encode a reply as its request was."""
    return json_format.MessageToJson(message, indent=None).encode() if json else bytes(message.SerializeToString())
