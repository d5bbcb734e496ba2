"""The control plane: config and instances in, every proxy's resources out, and what the proxies said to them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from mesh_runtime.addresses import AddressPlan
from mesh_runtime.identity.authority import Authority, spiffe_id
from mesh_runtime.identity.enrolment import instance_of, missing_service, workload_name
from mesh_runtime.identity.leaves import Leaves
from mesh_runtime.registration import Grant, InvalidRegistrationError, Registration
from mesh_runtime.registry import Instance, Registry, Role
from mesh_runtime.sidecar.bootstrap import bootstrap
from mesh_runtime.store.port import Change, ConfigStore, Conflict
from mesh_runtime.xds.server import AdsServer
from mesh_runtime.xds.snapshot import Envoy, InconsistentSnapshotError, Kind, Packer, Snapshot
from mesh_runtime.xds.stream import TypeStatus
from mesh_runtime.xds.translate import MeshSettings, World, translate
from mesh_runtime.xds.translate.ports import OUTBOUND_PORT, gateway_ports, tcp_bindings
from mesh_runtime.xds.translate.tls import leaf_secret, root_secret

log = logging.getLogger(__name__)

DEBOUNCE_S: Final = 0.002
TICK_S: Final = 1.0
REDACTED: Final = "[redacted]"
_KINDS: Final = {
    "clusters": Kind.CDS,
    "endpoints": Kind.EDS,
    "secrets": Kind.SDS,
    "listeners": Kind.LDS,
    "routes": Kind.RDS,
}


class Clock(Protocol):
    """Time as a dependency."""

    def now_ms(self) -> int:
        """Unix milliseconds UTC."""
        ...

    def every(self, interval_s: float) -> AsyncIterator[int]:
        """Yield the present instant now and then once per interval."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyStatus:
    """One proxy, and how far it follows."""

    node_id: str
    instance_id: str
    namespace: str
    workload: str
    role: Role
    connected: bool
    revision_acked: int
    """The newest config revision that it has answered completely; 0: none yet."""
    in_sync: bool
    types: Mapping[str, TypeStatus] = field(default_factory=dict)
    problem: str = ""
    """Why the control plane keeps the proxy at an older config; ``""``: it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the connected proxies said to a revision."""

    acknowledged: tuple[str, ...]
    waiting: tuple[str, ...]
    rejected: Mapping[str, str]
    """Reason by instance id."""
    elapsed_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateInfo:
    """A leaf in use; never its key."""

    node_id: str
    instance_id: str
    namespace: str
    workload: str
    identity: str
    serial: str
    not_before_ms: int
    not_after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """Where a gateway listens: each declared port and the one that is opened for it."""

    instance_id: str
    namespace: str
    workload: str
    address: str
    ports: Mapping[int, int]


class ControlPlane:
    """Keeps every registered proxy at the newest consistent config. A service; all methods are for its loop."""

    name = "control plane"

    def __init__(
        self,
        store: ConfigStore,
        registry: Registry,
        authority: Authority,
        *,
        addresses: AddressPlan,
        run_dir: Path,
        clock: Clock,
        settings: MeshSettings | None = None,
        tls_address: str = "",
    ) -> None:
        self._store = store
        self._registry = registry
        self._authority = authority
        self._addresses = addresses
        self._clock = clock
        self._settings = settings or MeshSettings(unprivileged_from=unprivileged_from())
        self._leaves = Leaves(authority)
        self._packer = Packer()
        self._world = World(store.current, registry.current, self._settings)
        self._published: tuple[int, int] = (-1, -1)
        self._problems: dict[str, str] = {}
        self._stale = asyncio.Event()
        self._socket = run_dir / "xds.sock"
        tls = (tls_address, authority) if tls_address else None
        self.server: Final = AdsServer(self._socket, self._proves, clock.now_ms, tls=tls)

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled; ready once proxies can connect and what is known is published."""
        self._publish()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(self._store.watch()), name="config watch")
            group.create_task(self._watch(self._registry.watch()), name="registry watch")
            group.create_task(self._tick(), name="leases and leaves")
            group.create_task(self._publish_changes(), name="publish")
            await self.server.run(ready)

    async def register(self, registration: Registration) -> Grant:
        """Take in an instance, new or again, and create its Service if nothing names it yet.

        Raises :class:`InvalidRegistrationError` for an id that somebody else has.
        """
        known = registration.id in self._registry.current.instances
        if known and not self._registry.proves(registration.id, registration.token):
            raise InvalidRegistrationError(f"{registration.id} is registered with another token; register without id")
        key = registration.id or self._registry.free_id(registration.namespace, workload_name(registration))
        token = registration.token or secrets.token_urlsafe(32)
        address = registration.address or self._addresses.take(key)
        instance = self._registry.put(instance_of(registration, key=key, address=address), token)
        await self._create_service(registration)
        return self._grant(instance, token)

    async def heartbeat(self, ids: Iterable[str]) -> list[str]:
        """Prolong leases; returns the ids that are not known and must be registered again."""
        return list(self._registry.renew(ids))

    async def drain(self, key: str) -> None:
        """Have nobody send more to an instance; an unknown one is drained already."""
        self._registry.drain(key)

    async def deregister(self, key: str) -> None:
        """Forget an instance; its token ends with it."""
        self._registry.remove(key)
        self._addresses.give_back(key)

    def rotate(self) -> None:
        """Give every proxy a new certificate now."""
        self._leaves.rotate_all()
        self._published = (-1, -1)
        self._stale.set()

    async def settled(self, revision: int, timeout_s: float) -> Settled:
        """Wait until every connected proxy has answered a revision (or a newer one), at most *timeout_s*."""
        started = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._unanswered(revision):
                    await self.server.progress()
        waiting = self._unanswered(revision)
        names = {instance.node_id: instance.id for instance in self._registry.current.instances.values()}
        rejected = {
            names.get(node_id, node_id): next(iter(stream.rejections.values()))
            for node_id, stream in self.server.streams.items()
            if stream.rejections
        }
        rejected |= {names.get(node_id, node_id): problem for node_id, problem in self._problems.items()}
        late = sorted(names.get(node_id, node_id) for node_id in waiting)
        good = {names.get(node_id, node_id) for node_id in self.server.streams} - rejected.keys() - set(late)
        return Settled(
            acknowledged=tuple(sorted(good)),
            waiting=tuple(name for name in late if name not in rejected),
            rejected=rejected,
            elapsed_ms=round((time.monotonic() - started) * 1000, 1),
        )

    def status(self) -> tuple[ProxyStatus, ...]:
        """Return every registered proxy, by id."""
        instances = self._registry.current.instances
        return tuple(self._status(instances[key]) for key in sorted(instances))

    def certificates(self) -> tuple[CertificateInfo, ...]:
        """Return the leaves in use, by instance."""
        leaves = self._leaves.current
        return tuple(
            CertificateInfo(
                node_id=instance.node_id,
                instance_id=instance.id,
                namespace=instance.namespace,
                workload=instance.workload,
                identity=leaf.identity,
                serial=leaf.serial,
                not_before_ms=leaf.not_before_ms,
                not_after_ms=leaf.not_after_ms,
            )
            for _, instance in sorted(self._registry.current.instances.items())
            if (leaf := leaves.get(instance.node_id)) is not None
        )

    def gateways(self) -> tuple[GatewayStatus, ...]:
        """Return where each gateway listens."""
        return tuple(
            GatewayStatus(
                instance_id=instance.id,
                namespace=instance.namespace,
                workload=instance.workload,
                address=instance.address,
                ports=gateway_ports(self._world, instance),
            )
            for _, instance in sorted(self._registry.current.instances.items())
            if instance.role is Role.GATEWAY
        )

    def resources(self, node_id: str, kind: str) -> list[dict[str, Any]]:
        """Return what a proxy is to have (``listeners``, ``routes``, ... or ``bootstrap``); keys are redacted.

        A proxy or a kind that is not known has nothing.
        """
        if kind == "bootstrap":
            return [
                _redacted_bootstrap(instance, self._socket)
                for instance in self._registry.current.instances.values()
                if instance.node_id == node_id
            ]
        snapshot = self.server.snapshots.get(node_id)
        if snapshot is None or kind not in _KINDS:
            return []
        return [_redacted(packed.content) for packed in snapshot.resources[_KINDS[kind]].values()]

    def _proves(self, node_id: str, token: str) -> bool:
        instances = self._registry.current.instances.values()
        key = next((instance.id for instance in instances if instance.node_id == node_id), "")
        return self._registry.proves(key, token)

    def _grant(self, instance: Instance, token: str) -> Grant:
        world = World(self._store.current, self._registry.current, self._settings)
        services: dict[str, tuple[str, int]] = {}
        for binding in tcp_bindings(world, instance) if instance.role is Role.SIDECAR else ():
            service = binding.service
            own = service.namespace == instance.namespace or service.external
            name = service.name if own else f"{service.name}.{service.namespace}"
            if name in services:
                name = f"{name}-{binding.port.name or binding.port.number}"
            services[name] = instance.address, binding.bound
        return Grant(
            id=instance.id,
            node_id=instance.node_id,
            workload=instance.workload,
            address=instance.address,
            token=token,
            service_account=instance.service_account,
            outbound_port=OUTBOUND_PORT,
            xds_socket=str(self._socket),
            tcp_services=services,
            tracing=self._settings.tracing is not None,
        )

    async def _create_service(self, registration: Registration) -> None:
        service = missing_service(self._store.current, registration)
        if service is None:
            return
        reason = f"{registration.service} runs in {registration.namespace} and had no Service"
        change = Change(put=(service,), planned_on={service.key: 0}, author="meshscope", reason=reason)
        with contextlib.suppress(Conflict):  # somebody created it meanwhile
            await self._store.commit(change)

    async def _watch(self, states: AsyncIterator[object]) -> None:
        async for _ in states:
            self._stale.set()

    async def _tick(self) -> None:
        async for now_ms in self._clock.every(TICK_S):
            for key in self._registry.expire():
                log.warning("lease ran out", extra={"instance": key})
                self._addresses.give_back(key)
            if self._leaves.renew_due(now_ms):
                self._published = (-1, -1)
                self._stale.set()

    async def _publish_changes(self) -> None:
        while True:
            await self._stale.wait()
            await asyncio.sleep(DEBOUNCE_S)
            self._stale.clear()
            self._publish()

    def _publish(self) -> None:
        """Translate for every instance. One that cannot be served keeps what it has."""
        config, registry = self._store.current, self._registry.current
        if self._published == (config.revision, registry.revision):
            return
        self._world = World(config, registry, self._settings)
        self._packer.begin()
        root = root_secret(self._authority.root_pem)
        previous = self.server.snapshots
        self._leaves.keep_only({instance.node_id for instance in registry.instances.values()})
        self._problems = {}
        snapshots: dict[str, Snapshot] = {}
        for instance in registry.instances.values():
            try:
                snapshots[instance.node_id] = self._snapshot(config.revision, instance, root)
            except InconsistentSnapshotError as error:
                log.exception("config not served", extra={"instance": instance.id})
                self._problems[instance.node_id] = str(error)
                if instance.node_id in previous:
                    snapshots[instance.node_id] = previous[instance.node_id]
        self._published = config.revision, registry.revision
        self.server.publish(snapshots)

    def _snapshot(self, revision: int, instance: Instance, root: Envoy) -> Snapshot:
        leaf = self._leaves.leaf(instance.node_id, spiffe_id(instance.namespace, instance.service_account))
        own = leaf_secret(leaf.chain_pem, leaf.key_pem)
        return self._packer.snapshot(revision, {**translate(self._world, instance), Kind.SDS: (own, root)})

    def _unanswered(self, revision: int) -> set[str]:
        streams = self.server.streams
        if self._published[0] < revision:
            return set(streams)
        return {
            node_id
            for node_id, stream in streams.items()
            if stream.answered_revision < revision
            and node_id not in self._problems
            and node_id in self.server.snapshots
        }

    def _status(self, instance: Instance) -> ProxyStatus:
        stream = self.server.streams.get(instance.node_id)
        snapshot = self.server.snapshots.get(instance.node_id)
        problem = self._problems.get(instance.node_id, "")
        answered = stream.answered_revision if stream else -1
        in_sync = bool(stream and snapshot and answered >= snapshot.revision and not stream.rejections and not problem)
        return ProxyStatus(
            node_id=instance.node_id,
            instance_id=instance.id,
            namespace=instance.namespace,
            workload=instance.workload,
            role=instance.role,
            connected=stream is not None,
            revision_acked=max(answered, 0),
            in_sync=in_sync,
            types={str(kind): status for kind, status in stream.types.items()} if stream else {},
            problem=problem,
        )


def unprivileged_from() -> int:
    """Return the first port that our proxies, which run as we do, may bind."""
    capabilities = next(
        line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:")
    )
    bind_service = 1 << 10  # CAP_NET_BIND_SERVICE
    if int(capabilities, 16) & bind_service:
        return 0
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())


def _redacted(resource: Mapping[str, Any]) -> dict[str, Any]:
    if "tls_certificate" not in resource:
        return dict(resource)
    certificate = {**resource["tls_certificate"], "private_key": {"inline_string": REDACTED}}
    return {**resource, "tls_certificate": certificate}


def _redacted_bootstrap(instance: Instance, socket: Path) -> dict[str, Any]:
    grant = Grant(
        id=instance.id,
        node_id=instance.node_id,
        workload=instance.workload,
        address=instance.address,
        token=REDACTED,
        service_account=instance.service_account,
        outbound_port=OUTBOUND_PORT,
        xds_socket=str(socket),
    )
    registration = Registration(
        role=instance.role,
        namespace=instance.namespace,
        service=instance.service or instance.workload,
        labels=instance.labels,
        port=next(iter(instance.ports.values()), 0),
        admin=instance.admin,
    )
    return bootstrap(grant, registration)
