"""Envoy's gRPC access log service: its entries, as far as a tap needs them. Pure.

Field numbers are those of ``envoy/service/accesslog/v3/als.proto`` and ``envoy/data/accesslog/v3/accesslog.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf import struct_pb2
from google.protobuf.message import DecodeError

from collectors.errors import CollectorError
from collectors.inventory import DEFAULT_CLUSTER
from collectors.logs.access import Access
from collectors.protobuf import messages
from graph.model import UNKNOWN, WorkloadRef

_CLASSES = messages(
    "meshscope.als",
    {
        "Message": [(1, "identifier", "bytes"), (2, "http", "bytes"), (3, "tcp", "bytes")],
        "Identifier": [(1, "node", "bytes")],
        "Node": [(1, "id", "bytes"), (2, "cluster", "bytes"), (3, "metadata", "bytes")],
        "Entries": [(1, "entries", "*bytes")],
        "Http": [
            (1, "common", "Common"),
            (2, "version", "int32"),
            (3, "request", "Request"),
            (4, "response", "Response"),
        ],
        "Tcp": [(1, "common", "Common"), (2, "connection", "Connection")],
        "Connection": [(1, "received", "uint64"), (2, "sent", "uint64")],
        "Common": [
            (2, "remote", "Address"),
            (3, "local", "Address"),
            (4, "tls", "Tls"),
            (5, "start", "Instant"),
            (12, "last_byte", "Instant"),
            (13, "upstream", "Address"),
            (15, "cluster", "bytes"),
            (16, "flags", "Flags"),
            (19, "route", "bytes"),
            (23, "duration", "Instant"),
            (25, "termination", "bytes"),
            (27, "intermediate", "bool"),
        ],
        "Instant": [(1, "seconds", "int64"), (2, "nanos", "int32")],
        "Address": [(1, "socket", "Socket")],
        "Socket": [(2, "address", "bytes"), (3, "port", "uint32")],
        "Tls": [(5, "peer", "Certificate")],
        "Certificate": [(1, "names", "*Name")],
        "Name": [(1, "uri", "bytes")],
        # 13 is a message that says why; that it says something is enough.
        "Flags": [(number, f"f{number}", "bytes" if number == 13 else "bool") for number in range(1, 29)],
        "Number": [(1, "value", "uint32")],
        "Request": [
            (1, "method", "int32"),
            (3, "authority", "bytes"),
            (5, "path", "bytes"),
            (6, "agent", "bytes"),
            (9, "id", "bytes"),
            (10, "original_path", "bytes"),
            (12, "bytes", "uint64"),
            (13, "headers", "*Pair"),
        ],
        "Response": [
            (1, "code", "Number"),
            (3, "bytes", "uint64"),
            (4, "headers", "*Pair"),
            (5, "trailers", "*Pair"),
            (6, "details", "bytes"),
        ],
        "Pair": [(1, "key", "bytes"), (2, "value", "bytes")],
    },
)
FLAGS: Mapping[int, str] = dict(
    enumerate(
        [
            "LH",
            "UH",
            "UT",
            "LR",
            "UR",
            "UF",
            "UC",
            "UO",
            "NR",
            "DI",
            "FI",
            "RL",
            "UAEX",
            "RLSE",
            "DC",
            "URX",
            "SI",
            "IH",
            "DPE",
            "UMSDR",
            "RFCF",
            "NFCF",
            "DT",
            "UPE",
            "NC",
            "OM",
            "DF",
            "DR",
        ],
        1,
    )
)
"""Envoy's short names, by field number."""
METHODS = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
VERSIONS = ("", "HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3")
TEXT_CHARS = 2048


class Logs(NamedTuple):
    """A message of a stream: entries that are not decoded yet."""

    identifier: bytes
    """Empty in all but the first message."""
    http: Sequence[bytes]
    tcp: Sequence[bytes]


def split(data: bytes) -> Logs:
    """Take a ``StreamAccessLogsMessage`` apart; raises :class:`CollectorError`."""
    try:
        message = _CLASSES["Message"].FromString(data)
        http, tcp = (_CLASSES["Entries"].FromString(part).entries for part in (message.http, message.tcp))
    except DecodeError as trouble:
        raise CollectorError(f"not a StreamAccessLogsMessage: {trouble}") from trouble
    return Logs(message.identifier, http, tcp)


def reporter(identifier: bytes) -> WorkloadRef | None:
    """Name the workload whose proxy sends, by its node's metadata, as Istio's proxies and ours carry it."""
    try:
        node = _CLASSES["Node"].FromString(_CLASSES["Identifier"].FromString(identifier).node)
        metadata = struct_pb2.Struct.FromString(node.metadata)
    except DecodeError:
        return None
    labels: Any = metadata["LABELS"] if "LABELS" in metadata.fields else {}

    def said(where: Any, *names: str) -> str:
        found = (where[name] for name in names if name in where)
        return next((str(one) for one in found if isinstance(one, str) and one), "")

    workload = said(metadata, "WORKLOAD_NAME") or _text(node.cluster).partition(".")[0]
    if not workload or not isinstance(labels, struct_pb2.Struct | dict):
        return None
    return WorkloadRef(
        said(metadata, "CLUSTER_ID") or DEFAULT_CLUSTER,
        said(metadata, "NAMESPACE") or UNKNOWN,
        workload,
        said(labels, "service.istio.io/canonical-name", "app.kubernetes.io/name", "app") or workload,
        said(labels, "service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"),
    )


def of_http(entry: bytes) -> Access | None:
    """Read a request; ``None``: it cannot be read, or has not ended yet."""
    try:
        found = _CLASSES["Http"].FromString(entry)
    except DecodeError:
        return None
    if found.common.intermediate:
        return None
    request, response = found.request, found.response
    answered = {_text(pair.key).lower(): _text(pair.value) for pair in (*response.trailers, *response.headers)}
    return _of_common(found.common)._replace(
        method=METHODS[request.method] if 0 < request.method < len(METHODS) else "",
        path=_text(request.original_path or request.path),
        protocol=VERSIONS[found.version] if 0 < found.version < len(VERSIONS) else "",
        code=str(response.code.value),
        grpc=answered.get("grpc-status", ""),
        details=_text(response.details),
        received=request.bytes,
        sent=response.bytes,
        authority=_text(request.authority),
        request_id=_text(request.id),
        user_agent=_text(request.agent),
    )


def of_tcp(entry: bytes) -> Access | None:
    """Read a connection; ``None``: it cannot be read, or has not ended yet."""
    try:
        found = _CLASSES["Tcp"].FromString(entry)
    except DecodeError:
        return None
    if found.common.intermediate:
        return None
    return _of_common(found.common)._replace(
        code="0",
        details=_text(found.common.termination),
        received=found.connection.received,
        sent=found.connection.sent,
    )


def _of_common(common: Any) -> Access:
    took = common.duration if common.HasField("duration") else common.last_byte
    peers = (_text(name.uri) for name in common.tls.peer.names)
    return Access(
        at_ns=max(0, common.start.seconds) * 10**9 + max(0, common.start.nanos),
        flags=",".join(name for number, name in FLAGS.items() if getattr(common.flags, f"f{number}")),
        duration_ms=max(0.0, took.seconds * 1e3 + took.nanos / 1e6),
        route=_text(common.route),
        upstream_cluster=_text(common.cluster),
        upstream_host=_address(common.upstream),
        downstream_local=_address(common.local),
        downstream_remote=_address(common.remote),
        peer=next((one for one in peers if one), ""),
    )


def _address(address: Any) -> str:
    return f"{_text(address.socket.address)}:{address.socket.port}" if address.socket.address else ""


def _text(data: bytes) -> str:
    return data[:TEXT_CHARS].decode(errors="replace")
