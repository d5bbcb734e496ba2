"""Who runs where: instances that agents lease. Not config: no history, no undo."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import hmac
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter

LEASE_S = 15.0
"""An instance whose agent is silent for this long is no longer sent traffic."""
_DEAF_MS = 5000
"""Leases that were not looked at for longer than this belong to a server that stood still."""


class Role(StrEnum):
    """What an instance's proxy is."""

    SIDECAR = "sidecar"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One running copy of a workload, or one gateway, and its proxy."""

    id: str
    """``namespace/workload~n``; also its WorkloadEntry's name with ``~`` as ``-``."""
    role: Role
    node_id: str
    """The proxy's xDS node id: ``role~address~workload~n.namespace``."""
    namespace: str
    workload: str
    service: str
    """The Service it was started for; gateways: ``""``."""
    version: str
    service_account: str
    labels: Mapping[str, str]
    address: str
    """Its own loopback address, where its proxy listens."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Port name to the application's own port on 127.0.0.1."""
    app_address: str = "127.0.0.1"
    locality: str = ""
    """``region/zone/subzone``."""
    admin: str = ""
    """Path of the proxy's admin socket."""
    epoch: int = 0
    """Unix ms when its proxy was started: counters begin anew with it."""
    draining: bool = False
    trouble: str = ""
    """Why its agent lets it have no requests, where that is not only because it starts or ends."""
    lease_until_ms: int = 0
    """By the registry's clock."""

    @property
    def app(self) -> str:
        """Istio's canonical name."""
        return self.labels.get("service.istio.io/canonical-name") or self.labels.get("app") or self.workload


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryState:
    """All instances at one moment; immutable."""

    revision: int = 0
    """Counts changes of who is here and how. A renewed lease is not one."""
    instances: Mapping[str, Instance] = field(default_factory=dict)


class RegistryReader(Protocol):
    """The read side."""

    @property
    def current(self) -> RegistryState:
        """Now. Reading never waits."""
        ...

    def watch(self) -> AsyncIterator[RegistryState]:
        """Yield the state now and after every change; a slow reader sees the newest, not each."""
        ...


class Registry:
    """The instances of one server, kept on disk so that a killed server comes back knowing all of them.

    On opening, every instance gets a whole lease anew: its agent must have the time to find the server
    again before it is taken out of service. Only those whose proxies died with the server are forgotten, so
    that nobody is sent to them. All methods are for one event loop and none of them waits for anything but
    the local disk.
    """

    def __init__(self, path: Path | str, clock_ms: Callable[[], int]) -> None:
        """*clock_ms*: one that nobody sets, for leases."""
        self._clock_ms = clock_ms
        self._changed: set[asyncio.Event] = set()
        self._db = sqlite3.connect(path, isolation_level=None)
        # NORMAL outlives the process's death, which is all a lease needs: no instance outlives the machine's.
        self._db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            "CREATE TABLE IF NOT EXISTS instances (id TEXT PRIMARY KEY, record TEXT NOT NULL, token TEXT NOT NULL)"
        )
        self._tokens: dict[str, str] = {}
        self._looked_ms = clock_ms()
        instances: dict[str, Instance] = {}
        lease_until_ms = self._lease()
        for key, record, token in self._db.execute("SELECT id, record, token FROM instances ORDER BY id"):
            instances[key] = replace(_INSTANCE.validate_json(record), lease_until_ms=lease_until_ms)
            self._tokens[key] = token
        self._current = RegistryState(revision=1, instances=instances)
        self._forget(key for key, instance in instances.items() if _is_gone(instance))

    @property
    def current(self) -> RegistryState:
        """All instances now."""
        return self._current

    async def watch(self) -> AsyncIterator[RegistryState]:
        """Yield the state now and after every change; a slow reader sees the newest, not each."""
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            while True:
                changed.clear()
                yield self._current
                await changed.wait()
        finally:
            self._changed.discard(changed)

    def put(self, instance: Instance, token: str = "") -> Instance:
        """Add or replace an instance with a whole lease. Without *token* the one it has stays valid."""
        leased = replace(instance, lease_until_ms=self._lease())
        digest = _digest(token) if token else self._tokens.get(instance.id, "")
        self._db.execute(
            "INSERT OR REPLACE INTO instances VALUES (?, ?, ?)",
            (leased.id, _INSTANCE.dump_json(leased).decode(), digest),
        )
        self._tokens[leased.id] = digest
        self._publish({**self._current.instances, leased.id: leased})
        return leased

    def renew(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Prolong leases; returns the ids that are not here and must be registered again."""
        wanted = tuple(ids)
        known = self._current.instances
        until_ms = self._lease()
        renewed = {key: replace(known[key], lease_until_ms=until_ms) for key in wanted if key in known}
        self._current = replace(self._current, instances={**known, **renewed})
        return tuple(key for key in wanted if key not in known)

    def drain(self, key: str) -> None:
        """Take an instance out of service while it finishes what it has; an unknown one is none already."""
        instance = self._current.instances.get(key)
        if instance is not None and not instance.draining:
            self.put(replace(instance, draining=True))

    def remove(self, key: str) -> None:
        """Forget an instance and its token."""
        if key in self._current.instances:
            self._forget((key,))

    def expire(self) -> tuple[str, ...]:
        """Remove the instances whose lease has run out, and name them. To be called every second.

        A server that stood still, on a suspended or very busy machine, could hear nobody: every instance gets a whole
        lease anew, as on opening.
        """
        before_ms, self._looked_ms = self._looked_ms, self._clock_ms()
        if self._looked_ms - before_ms > _DEAF_MS:
            self.renew(self._current.instances)
        found = self._current.instances.items()
        gone = tuple(key for key, instance in found if instance.lease_until_ms <= self._looked_ms)
        if gone:
            self._forget(gone)
        return gone

    def proves(self, key: str, token: str) -> bool:
        """Whether *token* is the one issued to this instance."""
        expected = self._tokens.get(key, "")
        return bool(expected) and hmac.compare_digest(expected, _digest(token))

    def free_id(self, namespace: str, workload: str) -> str:
        """Return the lowest-numbered id that no instance of this workload has."""
        candidates = (f"{namespace}/{workload}~{number}" for number in count())
        return next(key for key in candidates if key not in self._current.instances)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _forget(self, gone: Iterable[str]) -> None:
        keys = set(gone)
        self._db.executemany("DELETE FROM instances WHERE id = ?", [(key,) for key in keys])
        for key in keys:
            self._tokens.pop(key, None)
        self._publish({key: instance for key, instance in self._current.instances.items() if key not in keys})

    def _publish(self, instances: Mapping[str, Instance]) -> None:
        self._current = RegistryState(revision=self._current.revision + 1, instances=instances)
        for changed in self._changed:
            changed.set()

    def _lease(self) -> int:
        return self._clock_ms() + int(LEASE_S * 1000)


_INSTANCE = TypeAdapter(Instance)


def _is_gone(instance: Instance) -> bool:
    """Whether nobody listens any more where the instance's proxy did. Its agent, if there is one, registers again."""
    if not instance.admin:
        return False
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)  # a busy proxy is there as well
        return caller.connect_ex(instance.admin) in {errno.ENOENT, errno.ECONNREFUSED}


def _digest(token: str) -> str:
    # A token is 256 random bits: one round of a fast hash is enough.
    return hashlib.sha256(token.encode()).hexdigest()
