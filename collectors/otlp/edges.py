"""From calls to edges: who called whom over what, and how it ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from collectors.otlp.decode import CONSUMER, PRODUCER, SERVER, SpanRow
from collectors.otlp.pairing import Call
from collectors.peers import Peers
from graph.model import UNKNOWN, EdgeKey, Outcome, Protocol, ServiceRef, WorkloadRef

NO_FLAGS = "-"
FINE = "ok"
"""The code of what has no status of its own, a query for instance, and went well."""
NO_RESPONSE = "0"

GRPC_STATUS = {
    name: str(number)
    for number, name in enumerate(
        (
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        )
    )
}


class Counted(NamedTuple):
    """One call, ready to be counted."""

    edge: EdgeKey
    outcome: Outcome
    duration_ns: int


def edge_of(call: Call, peers: Peers, *, longest: int = 256) -> Counted | None:
    """Say which edge a call is on; ``None`` when the spans do not tell, or a proxy tells it better.

    The caller's word counts where there is one: it also saw what the callee did not.
    """
    told = call.caller or call.callee
    if told is None:
        return None
    edge = _paired(call.caller, call.callee, peers) if call.caller and call.callee else _one_sided(told, peers, longest)
    if edge is None:
        return None
    other = call.callee.facts if call.callee and call.caller else {}
    return Counted(edge, outcome(told, other, edge.protocol), told.end_ns - told.start_ns)


def outcome(told: SpanRow, other: Mapping[str, str], protocol: Protocol) -> Outcome:
    """Say how a call ended, by the status that the caller, else the callee, wrote down."""
    code = _code(told.facts) or _code(other)
    if protocol is Protocol.GRPC:
        grpc = _grpc_status(told.facts) or _grpc_status(other) or ("2" if told.failed else "0")
        return Outcome(code or "200", grpc, NO_FLAGS)
    if protocol is Protocol.HTTP and code:
        return Outcome(code, "", NO_FLAGS)
    return Outcome(NO_RESPONSE if told.failed else FINE, "", NO_FLAGS)


def _paired(caller: SpanRow, callee: SpanRow, peers: Peers) -> EdgeKey:
    service = _resolved(caller, peers)
    if not isinstance(service, ServiceRef):
        service = peers.service_of(callee.workload)
    protocol = Protocol.TCP if caller.kind == PRODUCER else _protocol(caller.facts, callee.facts)
    return EdgeKey(caller.workload, service, callee.workload, protocol)


def _one_sided(span: SpanRow, peers: Peers, longest: int) -> EdgeKey | None:
    facts, own = span.facts, span.workload
    queue = facts.get("messaging.destination.name") or facts.get("messaging.destination")
    if span.kind == PRODUCER:
        return EdgeKey(own, None, _peer(own, "queue", queue, longest), Protocol.TCP) if queue else None
    if span.kind == CONSUMER:
        return EdgeKey(_peer(own, "queue", queue, longest), None, own, Protocol.TCP) if queue else None
    return _from_outside(span, peers) if span.kind == SERVER else _to_peer(span, peers, longest)


def _from_outside(span: SpanRow, peers: Peers) -> EdgeKey | None:
    """Name the edge of a root request; beside a proxy it is the proxy that knows who called.

    A request whose caller's span got lost has no edge: the caller exists, and saying "unknown" would draw another one.
    """
    if span.parent_id or peers.meshed(span.workload):
        return None
    outside = WorkloadRef(span.workload.cluster, UNKNOWN, UNKNOWN, UNKNOWN, "")
    return EdgeKey(outside, peers.service_of(span.workload), span.workload, _protocol(span.facts, {}))


def _to_peer(span: SpanRow, peers: Peers, longest: int) -> EdgeKey | None:
    """Name the edge to somebody who sends no spans: a database, an external host, or one that was never reached."""
    facts, own = span.facts, span.workload
    system = facts.get("db.system.name") or facts.get("db.system")
    protocol = Protocol.TCP if system else _protocol(facts, {})
    known = _resolved(span, peers)
    if isinstance(known, WorkloadRef):
        return EdgeKey(own, peers.service_of(known), known, protocol)
    if known is not None:
        behind = peers.workloads(known)
        return EdgeKey(own, known, behind[0] if len(behind) == 1 else None, protocol)
    host, port = address(facts)
    if system:
        place = f"{host}:{port}" if port else host
        return EdgeKey(own, None, _peer(own, "db", f"{system}@{place}" if host else system, longest), protocol)
    name = facts.get("service.peer.name") or facts.get("peer.service") or host
    return EdgeKey(own, None, _peer(own, "ext", name, longest), protocol) if name else None


def _peer(own: WorkloadRef, kind: str, name: str, longest: int) -> WorkloadRef:
    return WorkloadRef(own.cluster, own.namespace, "", f"{kind}:{name[:longest]}", "")


def _resolved(span: SpanRow, peers: Peers) -> ServiceRef | WorkloadRef | None:
    host, port = address(span.facts)
    if host and (known := peers.resolve(host, port, span.workload)):
        return known
    name = span.facts.get("service.peer.name") or span.facts.get("peer.service")
    return peers.resolve(name, port, span.workload) if name else None


def address(facts: Mapping[str, str]) -> tuple[str, int]:
    """Find host and port of the other side, the newest conventions first; port 0 when it is not told."""
    host = facts.get("server.address") or facts.get("net.peer.name") or ""
    port = facts.get("server.port") or facts.get("net.peer.port") or ""
    if not host and (url := facts.get("url.full") or facts.get("http.url")):
        host, port = _authority(url)
    if not host and (authority := facts.get("http.host")):
        host, port = _authority(f"//{authority}")
    host = host or facts.get("net.sock.peer.addr", "")
    return host, int(port) if port.isdecimal() and len(port) <= 5 else 0


def _authority(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        return parts.hostname or "", str(parts.port or "")
    except ValueError:
        return "", ""


def _protocol(caller: Mapping[str, str], callee: Mapping[str, str]) -> Protocol:
    system = (
        caller.get("rpc.system.name")
        or caller.get("rpc.system")
        or callee.get("rpc.system.name")
        or callee.get("rpc.system")
    )
    return Protocol.GRPC if system == "grpc" else Protocol.HTTP


def _code(facts: Mapping[str, str]) -> str:
    code = facts.get("http.response.status_code") or facts.get("http.status_code") or ""
    return code if len(code) == 3 and code.isdecimal() else ""


def _grpc_status(facts: Mapping[str, str]) -> str:
    status = facts.get("rpc.response.status_code") or facts.get("rpc.grpc.status_code") or ""
    status = GRPC_STATUS.get(status, status)
    return status if status.isdecimal() and len(status) <= 2 else ""
