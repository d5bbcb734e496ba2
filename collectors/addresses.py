"""Who answers at an address of a cluster: pods, Services, what Services without a selector lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from graph.model import ServiceRef, WorkloadRef

ANY_PORT = 0

Party = ServiceRef | WorkloadRef


class Place(NamedTuple):
    """Where somebody is reached."""

    address: str
    """An IP address as Kubernetes writes it."""
    port: int = ANY_PORT


@dataclass(frozen=True, slots=True)
class Addresses:
    """One cluster's addresses. What several answer at stands for nobody: ``None``."""

    places: Mapping[Place, Party | None] = field(default_factory=dict)
    nodes: frozenset[str] = frozenset()
    """The nodes' own addresses."""
    node_ports: Mapping[int, ServiceRef] = field(default_factory=dict)
    """The Services that every node takes connections for."""

    def at(self, address: str, port: int) -> Party | None:
        """Say who answers there; ``None`` where nobody is known. Port 0: it is not told."""
        found = self.places.get(Place(address, port)) or self.places.get(Place(address))
        return found or (self.node_ports.get(port) if address in self.nodes else None)
