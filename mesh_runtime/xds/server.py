"""The delta ADS server: proves who asks, then keeps every proxy at its snapshot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc

from mesh_runtime.identity.authority import Authority
from mesh_runtime.xds import protos
from mesh_runtime.xds.snapshot import Snapshot
from mesh_runtime.xds.stream import DeltaStream

log = logging.getLogger(__name__)

TOKEN_KEY: Final = "x-meshscope-token"  # noqa: S105 - the name of the metadata
FIRST_REQUEST_S: Final = 10.0
ROUND_S: Final = 0.05
"""After so long in one round of the loop further proxies' answers wait for the next: others have their turn between."""
_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_MAX_REQUEST_BYTES = 16 * 1024 * 1024
_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _MAX_REQUEST_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # It would answer each ACK with a ping, to learn how large a window it should give to requests, which are small.
    ("grpc.http2.bdp_probe", 0),
)

Proves = Callable[[str, str], bool]
"""``(node_id, token)``: whether the token is the one that this proxy was given. Compares in constant time."""


@dataclass(slots=True, eq=False)
class _Session:
    """One open stream."""

    stream: DeltaStream
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False

    def close(self) -> None:
        self.closed = True
        self.wake.set()


@dataclass(slots=True)
class Counters:
    """What the server refused or saw since it started."""

    streams: int = 0
    refused_identities: int = 0
    """Streams without a token, or with one that is not the proxy's."""
    refused_secrets: int = 0
    """Requests for a secret that is not the proxy's own."""


class AdsServer:
    """Serves snapshots on a Unix socket and, if wanted, on a TLS address.

    A proxy that connects before it has a snapshot waits for it. One whose snapshot is withdrawn is
    disconnected. Of two streams of one proxy, the newer one counts and the older one is closed.
    """

    name = "xds"

    def __init__(
        self, socket: Path, proves: Proves, clock_ms: Callable[[], int], *, tls: tuple[str, Authority] | None = None
    ) -> None:
        self.counters = Counters()
        self._socket = socket
        self._proves = proves
        self._clock_ms = clock_ms
        self._tls = tls
        self._snapshots: dict[str, Snapshot] = {}
        self._sessions: dict[str, _Session] = {}
        self._unwritten: set[_Session] = set()
        self._progress = asyncio.Event()
        self._held_s = 0.0
        """How long answers were worked out in the loop's present round."""
        self._round = asyncio.Event()
        """Set when that round is over."""

    @property
    def streams(self) -> Mapping[str, DeltaStream]:
        """The connected proxies' streams by node id."""
        return {node_id: session.stream for node_id, session in self._sessions.items()}

    def stream(self, node_id: str) -> DeltaStream | None:
        """Return a connected proxy's stream."""
        session = self._sessions.get(node_id)
        return None if session is None else session.stream

    @property
    def snapshots(self) -> Mapping[str, Snapshot]:
        """What each proxy is to have."""
        return self._snapshots

    def publish(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Push to these proxies what is different for them; all others keep what they have."""
        for node_id, new in snapshots.items():
            old, session = self._snapshots.get(node_id), self._sessions.get(node_id)
            self._snapshots[node_id] = new
            if session and old is not new and (old is None or not session.stream.carry(old, new)):
                session.wake.set()
                self._unwritten.add(session)
        self._progressed()

    def keep_only(self, node_ids: Collection[str]) -> None:
        """Withdraw the snapshots of all other proxies, and disconnect these."""
        for node_id in self._snapshots.keys() - node_ids:
            del self._snapshots[node_id]
            if session := self._sessions.get(node_id):
                session.close()

    async def written(self, patience_s: float) -> None:
        """Wait until what was published has been written to all proxies, but not longer for those that are slow."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while self._unwritten:
                    await self.progress()

    async def progress(self) -> None:
        """Wait until some proxy has answered all it was sent or is gone, or snapshots were published or written."""
        await self._progress.wait()

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled."""
        server = grpc.aio.server(options=_OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=protos.message_class(protos.DELTA_REQUEST).FromString,
        )
        handlers = {"DeltaAggregatedResources": handler}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        # gRPC removes the path that it bound some time after it has stopped: by then it may be the next server's.
        bound = self._socket.with_suffix(f".{secrets.token_hex(2)}")
        server.add_insecure_port(f"unix:{bound}")
        if self._tls is not None:
            address, authority = self._tls
            server.add_secure_port(address, _credentials(address, authority, self._clock_ms))
        try:
            await server.start()
            bound.chmod(0o600)
            bound.replace(self._socket)
            ready()
            await server.wait_for_termination()
        finally:
            for session in self._sessions.values():
                session.close()
            await server.stop(None)
            self._socket.unlink(missing_ok=True)

    async def _serve(self, _requests: object, context: Any) -> None:
        session = await self._authenticated(context)
        node_id = session.stream.node_id
        older = self._sessions.get(node_id)
        if older is not None:
            older.close()
        self._sessions[node_id] = session
        self.counters.streams += 1
        log.info("proxy connected", extra={"node": node_id})
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(session, context))
                await self._write(session, context)
                reading.cancel()
        finally:
            if self._sessions.get(node_id) is session:
                del self._sessions[node_id]
            self._unwritten.discard(session)
            self._progressed()
            log.info("proxy disconnected", extra={"node": node_id})

    async def _authenticated(self, context: Any) -> _Session:
        metadata = dict(context.invocation_metadata() or ())
        token = metadata.get(TOKEN_KEY, "")
        if not token or not isinstance(token, str):
            await self._refuse(context, f"the metadata {TOKEN_KEY} is missing; only proxies with a token are served")
        first = await _read_first(context)
        if first is grpc.aio.EOF:
            await self._refuse(context, "the stream ended before it said whose it is")
        node_id = first.node.id
        if not self._proves(node_id, token):
            await self._refuse(context, f"the token is not the one issued to {node_id or 'a proxy without an id'}")
        session = _Session(DeltaStream(node_id))
        self._receive(session, first)
        return session

    async def _refuse(self, context: Any, why: str) -> None:
        self.counters.refused_identities += 1
        log.warning("proxy refused", extra={"peer": context.peer(), "reason": why})
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, why)

    async def _read(self, session: _Session, context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            self._receive(session, request)
        session.close()

    def _receive(self, session: _Session, request: Any) -> None:
        session.stream.receive(request, self._clock_ms())
        session.wake.set()

    async def _write(self, session: _Session, context: Any) -> None:
        stream = session.stream
        while not session.closed:
            while self._held_s > ROUND_S:
                await self._round.wait()
            session.wake.clear()
            snapshot, answered = self._snapshots.get(stream.node_id), stream.answered
            patience_ms = None
            if snapshot is not None:
                refused = stream.refused_names
                began = time.perf_counter()
                responses = stream.due(snapshot, self._clock_ms())
                self._hold(time.perf_counter() - began)
                self.counters.refused_secrets += stream.refused_names - refused
                for response in responses:
                    await context.write(response)
                patience_ms = stream.patience_ms(self._clock_ms())
            if not session.wake.is_set():
                self._unwritten.discard(session)
            if stream.answered is not answered or not self._unwritten:
                self._progressed()
            await _wait(session.wake, patience_ms)

    def _hold(self, seconds: float) -> None:
        if not self._held_s:
            self._round = asyncio.Event()
            asyncio.get_running_loop().call_soon(self._let_go)
        self._held_s += seconds

    def _let_go(self) -> None:
        self._held_s = 0.0
        self._round.set()

    def _progressed(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()


async def _read_first(context: Any) -> Any:
    try:
        async with asyncio.timeout(FIRST_REQUEST_S):
            return await context.read()
    except TimeoutError:
        return grpc.aio.EOF


async def _wait(event: asyncio.Event, patience_ms: int | None) -> None:
    if patience_ms is None:
        await event.wait()
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_ms / 1000):
            await event.wait()


def _credentials(address: str, authority: Authority, clock_ms: Callable[[], int]) -> Any:
    """Return credentials whose certificate is renewed, at a handshake, at half its life or with a new root."""
    host = address.rpartition(":")[0].strip("[]")
    leaf = authority.issue_server([host])

    def configuration() -> Any:
        pair = leaf.key_pem.encode(), leaf.chain_pem.encode()
        return grpc.ssl_server_certificate_configuration([pair])

    def renewed() -> Any:
        nonlocal leaf
        if not leaf.is_due(clock_ms()) and leaf.root == authority.fingerprint:
            return None
        leaf = authority.issue_server([host])
        return configuration()

    return grpc.dynamic_ssl_server_credentials(configuration(), renewed, require_client_authentication=False)
