"""Who runs where: instances that agents lease. Not config: no history, no undo."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

LEASE_S = 15.0
"""An instance whose agent is silent for this long is no longer sent traffic."""


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
    admin: str = ""
    """Path of the proxy's admin socket."""
    epoch: int = 0
    """Unix ms when its proxy was started: counters begin anew with it."""
    draining: bool = False
    lease_until_ms: int = 0

    @property
    def app(self) -> str:
        """Istio's canonical name."""
        return self.labels.get("service.istio.io/canonical-name") or self.labels.get("app") or self.workload


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryState:
    """All instances at one moment; immutable."""

    revision: int = 0
    instances: Mapping[str, Instance] = field(default_factory=dict)


class RegistryReader(Protocol):
    """The read side."""

    @property
    def current(self) -> RegistryState:
        """Now. Reading never waits."""
        ...

    def watch(self) -> AsyncIterator[RegistryState]:
        """The state now and after every change; a slow reader sees the newest, not each."""
        ...
