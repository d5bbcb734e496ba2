"""From the present config and instances to a snapshot for every proxy."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mesh_runtime.api.objects import Config
from mesh_runtime.identity.authority import Authority, spiffe_id
from mesh_runtime.identity.leaves import Leaves
from mesh_runtime.registry import Instance, RegistryState
from mesh_runtime.xds.snapshot import InconsistentSnapshotError, Kind, Packer, Snapshot
from mesh_runtime.xds.translate import MeshSettings, World, translate
from mesh_runtime.xds.translate.tls import leaf_secret, root_secret

log = logging.getLogger(__name__)


class Publisher:
    """Makes snapshots; what did not change is neither packed nor signed again."""

    def __init__(self, authority: Authority, settings: MeshSettings) -> None:
        self.settings = settings
        self.leaves = Leaves(authority)
        self.world = World(Config(), RegistryState(), settings)
        """What the newest snapshots were made from."""
        self.problems: Mapping[str, str] = {}
        """Why a proxy is kept at what it has, by node id."""
        self._root = root_secret(authority.root_pem)
        self._packer = Packer()

    def snapshots(
        self, config: Config, registry: RegistryState, previous: Mapping[str, Snapshot]
    ) -> Mapping[str, Snapshot]:
        """Return each proxy's snapshot by node id. A proxy that cannot be served keeps its *previous* one."""
        self.world = World(config, registry, self.settings)
        self._packer.begin()
        self.leaves.keep_only({instance.node_id for instance in registry.instances.values()})
        made: dict[str, Snapshot] = {}
        problems: dict[str, str] = {}
        for instance in registry.instances.values():
            try:
                made[instance.node_id] = self._snapshot(config.revision, instance)
            except InconsistentSnapshotError as error:
                log.exception("config not served", extra={"instance": instance.id})
                problems[instance.node_id] = str(error)
                if instance.node_id in previous:
                    made[instance.node_id] = previous[instance.node_id]
        self.problems = problems
        return made

    def _snapshot(self, revision: int, instance: Instance) -> Snapshot:
        leaf = self.leaves.leaf(instance.node_id, spiffe_id(instance.namespace, instance.service_account))
        secrets = leaf_secret(leaf.chain_pem, leaf.key_pem), self._root
        translated = translate(self.world, instance)
        return self._packer.snapshot(revision, {**translated, Kind.SDS: (*translated.get(Kind.SDS, ()), secrets)})
