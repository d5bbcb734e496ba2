"""The control plane: config and instances in, every proxy's resources out, and what the proxies said to them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, Final, Protocol

from mesh_runtime.addresses import AddressPlan
from mesh_runtime.identity.authority import Authority
from mesh_runtime.identity.enrolment import (
    group_of,
    health_of,
    instance_of,
    missing_service,
    start_of,
    workload_name,
)
from mesh_runtime.identity.issuers import Issuers
from mesh_runtime.identity.rotation import RootRotation, Rotation
from mesh_runtime.registration import Grant, Health, InvalidRegistrationError, Registration
from mesh_runtime.registry import Instance, Registry, Role
from mesh_runtime.store.port import Change, ConfigStore, Conflict
from mesh_runtime.xds.delivery import Delivery
from mesh_runtime.xds.publisher import Publisher
from mesh_runtime.xds.report import (
    CertificateInfo,
    GatewayStatus,
    ProxyStatus,
    Settled,
    certificate_info,
    proxy_status,
    redacted,
    redacted_bootstrap,
)
from mesh_runtime.xds.server import AdsServer
from mesh_runtime.xds.snapshot import Kind, whole_tables
from mesh_runtime.xds.translate import MeshSettings, World
from mesh_runtime.xds.translate.calling.endpoints import places
from mesh_runtime.xds.translate.calling.unsecured import unsecured_calls
from mesh_runtime.xds.translate.gateways.listeners import gateway_notes
from mesh_runtime.xds.translate.ports import OUTBOUND_PORT, gateway_ports, tcp_names
from mesh_runtime.xds.translate.security.authentication import missing_keys
from mesh_runtime.xds.translate.unheard import unheard_config

__all__ = ["CertificateInfo", "Clock", "ControlPlane", "GatewayStatus", "ProxyStatus", "Settled", "unprivileged_from"]

log = logging.getLogger(__name__)

TICK_S: Final = 1.0
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
        self._addresses = addresses
        self._clock = clock
        self._publisher = Publisher(authority, settings or MeshSettings(unprivileged_from=unprivileged_from()))
        self._authority = authority
        self._issuers = Issuers(lambda host, port: places(self._newest_world(), host, port), self._hear_issuers)
        self._socket = run_dir / "xds.sock"
        tls = (tls_address, authority) if tls_address else None
        self.server: Final = AdsServer(self._socket, self._proves, clock.now_ms, tls=tls)
        self.delivery: Final = Delivery(store, registry, self._publisher, self.server)
        self._rotation = RootRotation(
            authority, publish=self._publish_secrets, waiting=self._without_secrets, progress=self.server.progress
        )

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled; ready once proxies can connect and what is known is published."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._issuers.run(self._store.watch()), name="issuers of tokens")
            await self._issuers.asked()
            await self.delivery.serve()
            _spare_the_collector()
            group.create_task(self.delivery.run(), name="delivery")
            group.create_task(self._tick(), name="leases and leaves")
            group.create_task(self._rotation.run(), name="root rotation")
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
        group = group_of(self._store.current, registration)
        instance = self._registry.put(instance_of(registration, key=key, address=address, group=group), token)
        await self._create_service(registration)
        return self._grant(instance, token, health_of(group))

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
        """Give every proxy a new certificate, each in its turn: :meth:`settled` waits for all of them."""
        self._publisher.leaves.rotate_all()
        self.delivery.serve_anew()

    def start_root_rotation(self) -> None:
        """Have a new root take over from the present one; one that is under way goes on, also after a restart.

        Each of its three steps waits until every registered proxy has acknowledged it, or has lost its lease
        (:data:`~mesh_runtime.registry.LEASE_S` after its agent was last heard of). A proxy that comes back after
        that is given the present certificates before it can call anyone.
        """
        self._rotation.start()

    async def rotate_root(self) -> None:
        """Rotate the root as :meth:`start_root_rotation` does, and wait until nobody trusts the old one."""
        self._rotation.start()
        await self._rotation.finished()

    @property
    def rotation(self) -> Rotation:
        """How far the rotation of the root is."""
        return self._rotation.state

    async def settled(self, revision: int, timeout_s: float) -> Settled:
        """Wait until a revision is published and every connected proxy has answered all it was given."""
        started = time.monotonic()
        await self.delivery.answered(revision, timeout_s)
        names = {instance.node_id: instance.id for instance in self._registry.current.instances.values()}
        streams = {names.get(node_id, node_id): stream for node_id, stream in self.server.streams.items()}
        refused = {name: list(stream.rejections.values()) for name, stream in streams.items() if stream.rejections}
        for node_id, why in self._publisher.problems.items():
            refused.setdefault(names.get(node_id, node_id), []).append(why)
        rejected = {name: "; ".join(reasons) for name, reasons in refused.items()}
        waiting = {names.get(node_id, node_id) for node_id in self.delivery.unanswered(revision)} - rejected.keys()
        return Settled(
            acknowledged=tuple(sorted(streams.keys() - waiting - rejected.keys())),
            waiting=tuple(sorted(waiting)),
            rejected=rejected,
            elapsed_ms=round((time.monotonic() - started) * 1000, 1),
        )

    def status(self) -> tuple[ProxyStatus, ...]:
        """Return every registered proxy, by id."""
        streams, problems, behind = self.server.streams, self._publisher.problems, self._publisher.behind
        snapshots = {node_id: one for node_id, one in self.server.snapshots.items() if node_id not in behind}
        return tuple(
            proxy_status(
                one,
                streams.get(one.node_id),
                snapshots.get(one.node_id),
                problems.get(one.node_id, ""),
                self._notes(one),
            )
            for one in self._instances()
        )

    def certificates(self) -> tuple[CertificateInfo, ...]:
        """Return the leaves in use, by instance."""
        leaves = self._publisher.leaves.current
        return tuple(certificate_info(one, leaves[one.node_id]) for one in self._instances() if one.node_id in leaves)

    def gateways(self) -> tuple[GatewayStatus, ...]:
        """Return where each gateway listens."""
        return tuple(
            GatewayStatus(
                instance_id=instance.id,
                namespace=instance.namespace,
                workload=instance.workload,
                address=instance.address,
                ports=gateway_ports(self._publisher.world, instance),
            )
            for instance in self._instances()
            if instance.role is Role.GATEWAY
        )

    def resources(self, node_id: str, kind: str) -> list[dict[str, Any]]:
        """Return what a proxy is to have (``listeners``, ``routes``, ... or ``bootstrap``); keys are redacted.

        A proxy or a kind that is not known has nothing.
        """
        if kind == "bootstrap":
            return [redacted_bootstrap(one, str(self._socket)) for one in self._instances() if one.node_id == node_id]
        snapshot = self.server.snapshots.get(node_id)
        if snapshot is None or kind not in _KINDS:
            return []
        found = {of: [packed.content for packed in snapshot.resources[of].values()] for of in (_KINDS[kind], Kind.VHDS)}
        return [redacted(content) for content in whole_tables(found[_KINDS[kind]], found[Kind.VHDS])]

    def _instances(self) -> list[Instance]:
        return [instance for _, instance in sorted(self._registry.current.instances.items())]

    def _notes(self, instance: Instance) -> tuple[str, ...]:
        world = self._publisher.world
        notes = gateway_notes if instance.role is Role.GATEWAY else unheard_config
        trouble = (f"gets no requests: {instance.trouble}",) if instance.trouble else ()
        return (*trouble, *notes(world, instance), *missing_keys(world, instance), *unsecured_calls(world, instance))

    def _proves(self, node_id: str, token: str) -> bool:
        instances = self._registry.current.instances.values()
        key = next((instance.id for instance in instances if instance.node_id == node_id), "")
        return self._registry.proves(key, token)

    def _grant(self, instance: Instance, token: str, health: Health | None) -> Grant:
        settings, world = self._publisher.settings, self._newest_world()
        services = tcp_names(world, instance) if instance.role is Role.SIDECAR else {}
        return Grant(
            id=instance.id,
            node_id=instance.node_id,
            workload=instance.workload,
            address=instance.address,
            token=token,
            service_account=instance.service_account,
            outbound_port=OUTBOUND_PORT,
            xds_socket=str(self._socket),
            tcp_services={name: (instance.address, port) for name, port in services.items()},
            tracing=settings.tracing is not None,
            health=health,
            start=start_of(self._store.current, instance),
        )

    async def _create_service(self, registration: Registration) -> None:
        service = missing_service(self._store.current, registration)
        if service is None:
            return
        reason = f"{registration.service} runs in {registration.namespace} and had no Service"
        change = Change(put=(service,), planned_on={service.key: 0}, author="meshscope", reason=reason)
        with contextlib.suppress(Conflict):  # somebody created it meanwhile
            await self._store.commit(change)

    async def _tick(self) -> None:
        async for now_ms in self._clock.every(TICK_S):
            for key in self._registry.expire():
                log.warning("lease ran out", extra={"instance": key})
                self._addresses.give_back(key)
            if self._publisher.leaves.renew_due(now_ms):
                self.delivery.serve_anew()
            if self._authority.root_is_due and not self._rotation.state.running:
                log.warning("the root ends soon and is replaced", extra={"root": self._authority.fingerprint})
                self._rotation.start()

    def _newest_world(self) -> World:
        world = self._publisher.world
        world.advance(self._store.current, self._registry.current)
        return world

    def _hear_issuers(self) -> None:
        self._publisher.world.hear(self._issuers.known)
        self.delivery.serve_anew()

    def _publish_secrets(self, new_leaves: bool) -> None:
        if new_leaves:
            self._publisher.leaves.rotate_all()
        self.delivery.serve_anew()

    def _without_secrets(self) -> list[str]:
        return [one.id for one in self._instances() if not self.delivery.has_secrets(one.node_id)]


def _spare_the_collector() -> None:
    """Have this process's garbage collector look less often, and never at what it started with.

    What is published lives long and is let go by its references; going through all of it in search of cycles
    took two thirds of the time of a push to 1,000 proxies.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def unprivileged_from() -> int:
    """Return the first port that our proxies, which run as we do, may bind."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    capabilities = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    bind_service = 1 << 10  # CAP_NET_BIND_SERVICE
    if int(capabilities, 16) & bind_service:
        return 0
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
