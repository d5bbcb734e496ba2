"""From calls to edges: who called whom over what, and how it ended. Pure."""

from __future__ import annotations

from typing import NamedTuple

from collectors.otlp.decode import SpanRow
from collectors.otlp.limits import Drop
from collectors.otlp.pairing import Call
from collectors.otlp.told import CONSUMER, NOTHING, PRODUCER, SERVER, Told
from collectors.peers import Peers
from graph.model import EdgeKey, Outcome, Protocol, ServiceRef, WorkloadRef
from graph.strangers import stranger_ref

FINE = "ok"
"""The code of what has no status of its own, a query for instance, and went well."""
NO_RESPONSE = "0"


class Counted(NamedTuple):
    """What one call is counted as."""

    edge: EdgeKey
    outcome: Outcome
    operation: str
    """``""`` where nobody says."""


def edge_of(call: Call, peers: Peers, *, longest: int = 256) -> Counted | Drop:
    """Say what a call is counted as; a reason when the spans do not tell, or a proxy tells it better.

    The caller's word counts where there is one: it also saw what the callee did not.
    """
    caller, callee = call.caller, call.callee
    if caller is not None and callee is not None:
        edge: EdgeKey | Drop = _paired(call, peers, longest)
    elif caller is not None:
        edge = _to_peer(call, peers, longest)
    else:
        edge = _to_callee(call, peers, longest)
    if isinstance(edge, Drop):
        return edge
    told = _teller(call)
    other = callee.told if callee and caller else NOTHING
    return Counted(edge, outcome(told, other, edge.protocol), _operation(call)[:longest])


def outcome(told: Told, other: Told, protocol: Protocol) -> Outcome:
    """Say how a call ended, by the status that the caller, else the callee, wrote down."""
    code = told.code or other.code
    if protocol is Protocol.GRPC:
        return Outcome(code or "200", told.status or other.status or ("2" if told.failed else "0"), told.flags)
    if protocol is Protocol.HTTP and code:
        return Outcome(code, "", told.flags)
    return Outcome(NO_RESPONSE if told.failed else FINE, "", told.flags)


def _teller(call: Call) -> Told:
    """Whose word counts: the caller's, but of what was consumed the consumer's."""
    if call.caller is None or (call.callee is not None and call.caller.kind == PRODUCER):
        return call.callee.told if call.callee else NOTHING
    return call.caller.told


def _operation(call: Call) -> str:
    """Name what was asked as who answered it does, else by its attributes, else by its name."""
    spans = [span for span in (call.callee, call.caller) if span is not None]
    told = next((span.told.operation for span in spans if span.told.operation), "")
    return told or spans[0].name.decode(errors="replace")


def _paired(call: Call, peers: Peers, longest: int) -> EdgeKey:
    caller, callee = call.caller, call.callee
    assert caller is not None
    assert callee is not None
    if caller.kind == PRODUCER:
        queue = caller.told.queue or callee.told.queue
        source = _peer(caller.workload, "queue", queue, longest) if queue else caller.workload
        return EdgeKey(source, None if queue else peers.service_of(callee.workload), callee.workload, Protocol.TCP)
    service = _resolved(caller.told, caller.workload, peers)
    if not isinstance(service, ServiceRef):
        service = peers.service_of(callee.workload)
    protocol = Protocol.GRPC if caller.told.grpc or callee.told.grpc else Protocol.HTTP
    return EdgeKey(caller.workload, service, callee.workload, protocol)


def _to_callee(call: Call, peers: Peers, longest: int) -> EdgeKey | Drop:
    """Name the edge of what a queue delivered, or of a root request; beside a proxy it is the proxy that knows.

    A request whose caller's span got lost has no edge: the caller exists, and saying "unknown" would draw another one.
    """
    callee = call.callee
    assert callee is not None
    if callee.kind == CONSUMER and callee.told.queue:
        return EdgeKey(_peer(callee.workload, "queue", callee.told.queue, longest), None, callee.workload, Protocol.TCP)
    if callee.parent_id or callee.kind != SERVER:
        return Drop.UNPAIRED_SERVER
    if peers.meshed(callee.workload):
        return Drop.PROXY_COUNTS
    return EdgeKey(_stranger(callee), peers.service_of(callee.workload), callee.workload, _protocol(callee.told))


def _stranger(callee: SpanRow) -> WorkloadRef:
    """Name a caller that sends no spans by how it introduced itself."""
    return stranger_ref(callee.workload.cluster, callee.told.caller)


def _to_peer(call: Call, peers: Peers, longest: int) -> EdgeKey | Drop:
    """Name the edge to somebody who sends no spans: a database, an external host, or one that was never reached."""
    caller = call.caller
    assert caller is not None
    told, own = caller.told, caller.workload
    if caller.kind == PRODUCER:
        queue = _peer(own, "queue", told.queue, longest)
        return EdgeKey(own, None, queue, Protocol.TCP) if told.queue else Drop.UNPAIRED_CLIENT
    protocol = Protocol.TCP if told.system else _protocol(told)
    known = _resolved(told, own, peers)
    if isinstance(known, WorkloadRef):
        return EdgeKey(own, peers.service_of(known), known, protocol)
    if known is not None:
        behind = peers.workloads(known)
        return EdgeKey(own, known, behind[0] if len(behind) == 1 else None, protocol)
    if told.system:
        place = f"{told.host}:{told.port}" if told.port else told.host
        name = f"{told.system}@{place}" if told.host else told.system
        return EdgeKey(own, None, _peer(own, "db", name, longest), protocol)
    name = told.peer or told.host
    return EdgeKey(own, None, _peer(own, "ext", name, longest), protocol) if name else Drop.UNPAIRED_CLIENT


def _peer(own: WorkloadRef, kind: str, name: str, longest: int) -> WorkloadRef:
    return WorkloadRef(own.cluster, own.namespace, "", f"{kind}:{name[:longest]}", "")


def _resolved(told: Told, own: WorkloadRef, peers: Peers) -> ServiceRef | WorkloadRef | None:
    if told.host and (known := peers.resolve(told.host, told.port, own)):
        return known
    return peers.resolve(told.peer, told.port, own) if told.peer else None


def _protocol(told: Told) -> Protocol:
    return Protocol.GRPC if told.grpc else Protocol.HTTP
