"""Who called whom, from what a proxy's access log says of addresses and clusters. Pure."""

from __future__ import annotations

from typing import NamedTuple

from collectors.als.tap import TappedRequest
from collectors.logs.access import Access
from collectors.peers import Peers
from graph.joins import identity
from graph.model import UNKNOWN, Protocol, ServiceRef, WorkloadRef
from graph.strangers import caller_of, stranger_ref

INBOUND, OUTBOUND = "inbound", "outbound"
NOBODY = WorkloadRef("", UNKNOWN, UNKNOWN, UNKNOWN, "")


class _Ends(NamedTuple):
    source: WorkloadRef | None
    service: ServiceRef | None
    target: WorkloadRef | None
    reporter: str


def request_of(access: Access, peers: Peers, *, reporter: WorkloadRef | None, now_ns: int) -> TappedRequest:
    """Name the ends of a logged request. *reporter* is whose proxy logged it; ``None``: its own address tells."""
    ends = _ends(access, peers, reporter)
    return TappedRequest(
        at_ns=access.at_ns or now_ns,
        source=ends.source,
        service=ends.service,
        target=ends.target,
        reporter=ends.reporter,
        protocol=_protocol(access),
        method=access.method,
        path=access.path,
        authority=access.authority,
        code=access.code,
        grpc=access.grpc,
        flags=access.flags,
        details=access.details,
        duration_ms=access.duration_ms,
        received=access.received,
        sent=access.sent,
        request_id=access.request_id,
        trace_id=access.trace_id,
        user_agent=access.user_agent,
        failed=access.failed,
    )


def _ends(access: Access, peers: Peers, reporter: WorkloadRef | None) -> _Ends:
    direction, port, _, host = (*access.upstream_cluster.split("|"), "", "", "", "")[:4]
    own = reporter or _at(access.downstream_local, peers, None)
    if own is None and direction != INBOUND:  # a sidecar that was not asked itself: its application calls
        own = _at(access.downstream_remote, peers, None)
    if direction == INBOUND:
        source = (
            _at(access.downstream_remote, peers, own) or _by_certificate(access.peer, own) or _introduced(access, own)
        )
        return _Ends(source, peers.service_of(own) if own else None, own, "destination")
    asker = own or NOBODY
    name, number = (host, port) if direction == OUTBOUND else _split(access.authority)
    found = peers.resolve(name, int(number) if number.isdecimal() and len(number) < 6 else 0, asker) if name else None
    target = _at(access.upstream_host, peers, own, called=True)
    if isinstance(found, WorkloadRef):
        return _Ends(own, peers.service_of(found), target or found, "source")
    return _Ends(own, found or _declared(name, asker), target, "source")


def _by_certificate(principal: str, own: WorkloadRef | None) -> WorkloadRef | None:
    """Name a caller by its service account: which of that account's workloads it is cannot be said."""
    found = identity(principal)
    if found is None:
        return None
    namespace, account = found
    return WorkloadRef(own.cluster if own else "", namespace, account, account, "")


def _introduced(access: Access, own: WorkloadRef | None) -> WorkloadRef | None:
    """Name a probe or a scraper by what it calls itself."""
    caller = caller_of(access.user_agent, access.path)
    return stranger_ref(own.cluster if own else "", caller) if caller else None


def _declared(host: str, asker: WorkloadRef) -> ServiceRef | None:
    """Name a service that the inventory does not know by its host."""
    if not host:
        return None
    name, _, rest = host.partition(".")
    namespace, _, suffix = rest.partition(".")
    if suffix.startswith("svc"):
        return ServiceRef(asker.cluster, namespace, name)
    return ServiceRef(asker.cluster, UNKNOWN, host)


def _at(address: str, peers: Peers, own: WorkloadRef | None, *, called: bool = False) -> WorkloadRef | None:
    """Name the workload at an address, as its cluster knows it. The port tells something only of who is called."""
    host, port = _split(address)
    asker = NOBODY._replace(cluster=own.cluster) if own else NOBODY
    found = peers.resolve(host, int(port) if called and port else 0, asker) if host else None
    return found if isinstance(found, WorkloadRef) else None


def _split(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), port) if host and port.isdecimal() else (address.strip("[]"), "")


def _protocol(access: Access) -> Protocol:
    if access.grpc:
        return Protocol.GRPC
    return Protocol.HTTP if access.method else Protocol.TCP
