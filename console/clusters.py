"""Kubernetes clusters beside the bundled mesh: followed, put into the inventory, their config shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from collectors.addresses import Addresses
from collectors.errors import CollectorError
from collectors.inventory import DEFAULT_CLUSTER
from collectors.kubernetes.addresses import Remembered, addresses_of
from collectors.kubernetes.config import ClusterConfig, apart
from collectors.kubernetes.objects import ClusterObjects, Declared
from collectors.kubernetes.targets import targets
from collectors.kubernetes.workloads import inventory_in, own_name
from collectors.scrape.config import TargetGroup
from graph.model import Inventory
from mesh_runtime.api.objects import ConfigObject, ObjectKey
from mesh_runtime.api.spec import Spec

if TYPE_CHECKING:
    from collectors.kubernetes.cluster import ClusterState
    from console.services import Service
    from graph.ports import Clock

Show = Callable[[Sequence["Cluster"]], None]
"""Told all clusters, whenever one has changed."""


class Cluster:
    """One cluster, as it was last seen. It can be read only."""

    def __init__(self, config: ClusterConfig, clock: Clock, changed: Callable[[], None]) -> None:
        """Raise :class:`~collectors.errors.CollectorError` where the kubeconfig has no such context."""
        # here, not above: the client takes half a second to import, which only those who have a cluster should pay
        from collectors.kubernetes.cluster import ClusterWatch  # noqa: PLC0415
        from collectors.kubernetes.credentials import check  # noqa: PLC0415

        check(config)
        self.config = config
        self.watch = ClusterWatch(config, clock, self._see)
        """The service that follows it."""
        self.own_name = ""
        """What its istiod calls it; empty while none says."""
        self.objects = ClusterObjects()
        self.inventory = Inventory()
        self.addresses = Addresses()
        """Who answers where, and for a while who did."""
        self._remembered = Remembered(clock)
        self.declared: Mapping[ObjectKey, Declared] = {}
        """Its Namespaces and Services, and its mesh's config."""
        self._changed = changed

    @property
    def name(self) -> str:
        """What it is called, in metrics as here."""
        return self.config.name or self.own_name or DEFAULT_CLUSTER

    @property
    def state(self) -> ClusterState:
        """How it is doing."""
        return self.watch.state

    async def _see(self, objects: ClusterObjects) -> None:
        self.objects = objects
        self.own_name = own_name(objects)
        # in a thread: ten thousand pods take a part of a second, which the proxies' control plane cannot wait
        self.inventory = await asyncio.to_thread(inventory_in, objects, self.name)
        self.addresses = self._remembered.beside(await asyncio.to_thread(addresses_of, objects, self.name))
        self.declared = {ObjectKey(one.group, one.kind, one.namespace, one.name): one for one in objects.declared}
        self._changed()


class Clusters:
    """All clusters that the settings name."""

    def __init__(self, configs: Sequence[ClusterConfig], clock: Clock, show: Show) -> None:
        """Raise :class:`~collectors.errors.CollectorError` for a cluster that cannot be followed as it is set."""
        self.all = tuple(Cluster(config, clock, self._update) for config in apart(configs))
        self._show = show

    @property
    def watches(self) -> Sequence[Service]:
        """The services that follow them."""
        return [one.watch for one in self.all]

    def find(self, name: str) -> Cluster | None:
        """Return the cluster of a name."""
        return next((one for one in self.all if one.name == name), None)

    def named(self, name: str) -> Cluster:
        """Return the cluster of a name or context that settings mention; :class:`CollectorError` where there is none."""
        for one in self.all:
            if name in {one.config.name, one.config.context}:
                return one
        raise CollectorError(f"sources: kubernetes: there is no cluster {name!r} in [[clusters]]")

    def _update(self) -> None:
        self._show(self.all)


class PodTargets:
    """The pages of metrics of a cluster's proxies: a :class:`collectors.scrape.targets.Discovery`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def error(self) -> str:
        """Why the cluster is not followed now."""
        return self._cluster.state.error

    async def groups(self) -> Sequence[TargetGroup]:
        """List the pages of the pods that run now."""
        return list(targets(self._cluster.objects.pods, self._cluster.name))

    async def close(self) -> None:
        """Nothing is held."""


def object_of(declared: Declared) -> ConfigObject:
    """Return an object as pages and API show it. Its cluster has judged it; its spec is not read here."""
    metadata = declared.manifest["metadata"]
    return ConfigObject(
        key=ObjectKey(declared.group, declared.kind, declared.namespace, declared.name),
        api_version=declared.manifest["apiVersion"],
        labels=metadata.get("labels", {}),
        annotations=metadata.get("annotations", {}),
        spec=Spec(),
        manifest=declared.manifest,
    )
