"""From the present config and instances to a snapshot for every proxy."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from mesh_runtime.api.objects import Config
from mesh_runtime.identity.authority import Authority, spiffe_id
from mesh_runtime.identity.leaves import Leaves
from mesh_runtime.registry import Instance, RegistryState
from mesh_runtime.xds.snapshot import Group, InconsistentSnapshotError, Kind, Offer, Packer, Snapshot
from mesh_runtime.xds.translate import MeshSettings, World, translate
from mesh_runtime.xds.translate.patches.patches import Resources
from mesh_runtime.xds.translate.tls import leaf_secret, root_secret

log = logging.getLogger(__name__)


class _Made(NamedTuple):
    """What a proxy's resources were packed from."""

    translated: Resources
    secrets: Group
    snapshot: Snapshot


class Publisher:
    """Makes snapshots; what did not change is neither translated, packed nor signed again."""

    def __init__(self, authority: Authority, settings: MeshSettings) -> None:
        self.settings = settings
        self.leaves = Leaves(authority)
        self.world = World(Config(), RegistryState(), settings)
        """What the newest snapshots were made from, or newer."""
        self.problems: Mapping[str, str] = {}
        """Why a proxy is kept at what it has, by node id."""
        self._authority = authority
        self._bundle = authority.bundle_pem
        self._root = root_secret(self._bundle)
        self._packer = Packer()
        self._made: dict[str, _Made] = {}

    def snapshots(
        self, config: Config, registry: RegistryState, previous: Mapping[str, Snapshot]
    ) -> Mapping[str, Snapshot]:
        """Return each proxy's snapshot by node id. A proxy that cannot be served keeps its *previous* one.

        Where nothing is different for a proxy, its snapshot's resources are the same object as before.
        """
        self.world.advance(config, registry)
        self._trust(self._authority.bundle_pem)
        instances = self.world.instances
        self.leaves.keep_only({instance.node_id for instance in instances})
        made: dict[str, _Made] = {}
        kept: dict[str, Snapshot] = {}
        problems: dict[str, str] = {}
        for instance in instances:
            node_id = instance.node_id
            try:
                made[node_id] = self._make(config.revision, instance)
            except Exception as error:  # what nobody foresaw for one proxy must not end the control plane
                log.exception("config not served", extra={"instance": instance.id})
                problems[node_id] = (
                    str(error) if isinstance(error, InconsistentSnapshotError) else f"internal: {error!r}"
                )
                if node_id in previous:
                    kept[node_id] = self._with_new_secrets(previous[node_id], instance)
        self.world.forget()
        self._made = made
        self.problems = problems
        return {**kept, **{node_id: one.snapshot for node_id, one in made.items()}}

    def _make(self, revision: int, instance: Instance) -> _Made:
        translated = self.world.once(("proxy", instance.id), lambda: translate(self.world, instance))
        secrets = self._secrets(instance)
        made = self._made.get(instance.node_id)
        if made is not None and made.translated is translated and made.secrets is secrets:
            return made._replace(snapshot=replace(made.snapshot, revision=revision))
        resources = {**translated, Kind.SDS: (*translated.get(Kind.SDS, ()), secrets)}
        return _Made(translated, secrets, self._packer.snapshot(revision, resources))

    def _trust(self, bundle_pem: str) -> None:
        if bundle_pem != self._bundle:
            self._bundle = bundle_pem
            self._root = root_secret(bundle_pem)

    def _with_new_secrets(self, kept: Snapshot, instance: Instance) -> Snapshot:
        """Return a snapshot as it was, but for its proxy's leaf and the roots: these must never grow old."""
        fresh = self._packer.snapshot(kept.revision, {Kind.SDS: (self._secrets(instance),)}).resources[Kind.SDS]
        *others, own = kept.resources[Kind.SDS].groups
        if (own,) == fresh.groups:
            return kept
        return replace(kept, resources={**kept.resources, Kind.SDS: Offer((*others, *fresh.groups))})

    def _secrets(self, instance: Instance) -> Group:
        leaf = self.leaves.leaf(instance.node_id, spiffe_id(instance.namespace, instance.service_account))
        chain, key, root = leaf.chain_pem, leaf.key_pem, self._root
        return self.world.once(("leaf", instance.id), lambda: (leaf_secret(chain, key), root))
