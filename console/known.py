"""What exists, as those see it who must recognise names: the graph, the spans, the wizards."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.inventory import merged
from collectors.peers import Peers
from console.clusters import Cluster
from graph.live import LiveGraph
from graph.model import GraphType, Inventory
from mesh_runtime.registry import RegistryState
from wizards.facts import Facts, facts_of

FACTS_WINDOW_S = 60


class Known:
    """The bundled mesh and all clusters together."""

    def __init__(self, live: LiveGraph) -> None:
        self.inventory = Inventory()
        self.peers = Peers(self.inventory)
        self._live = live
        self._own = Inventory()
        self._state = RegistryState()
        self._clusters: Sequence[Cluster] = ()

    def show(self, inventory: Inventory, state: RegistryState) -> None:
        """Take in a new state of the bundled mesh."""
        self._own, self._state = inventory, state
        self._update()

    def show_clusters(self, clusters: Sequence[Cluster]) -> None:
        """Take in a new state of Kubernetes clusters."""
        self._clusters = clusters
        self._update()

    def _update(self) -> None:
        self.inventory = merged([self._own, *(one.inventory for one in self._clusters)])
        self.peers = Peers(self.inventory, self._state, addresses={one.name: one.addresses for one in self._clusters})
        self._live.inventory(self.inventory)

    def facts(self, namespace: str, service: str) -> Facts:
        """Tell what is known of a service's versions."""
        snapshot = self._live.snapshot(GraphType.VERSIONED_APP, FACTS_WINDOW_S)
        return facts_of(self.inventory, snapshot, namespace, service)
