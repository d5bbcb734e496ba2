"""From the present config and instances to a snapshot for every proxy."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

from mesh_runtime.api.objects import Config
from mesh_runtime.identity.authority import Authority, spiffe_id
from mesh_runtime.identity.leaves import Leaves
from mesh_runtime.registry import Instance, RegistryState
from mesh_runtime.xds.snapshot import Group, InconsistentSnapshotError, Kind, Offer, Packer, Snapshot
from mesh_runtime.xds.translate import MeshSettings, Resources, World, patches_of, translate
from mesh_runtime.xds.translate.tls import leaf_secret, root_secret

log = logging.getLogger(__name__)

FEW = 8
"""So many new proxies that have waited are served before all others, or a mesh in which something changes all the time
would never come to them."""

T = TypeVar("T")


class _Attempt(NamedTuple):
    """What a proxy's snapshot was to be packed from, and what came of it."""

    translated: Resources | str
    secrets: Group
    outcome: Snapshot | str
    """Or why there is none."""


_Attempts = dict[frozenset[str], _Attempt]
"""Of one proxy, by the patches that were left out."""


class Publisher:
    """Makes snapshots; what did not change is neither translated, packed nor signed again."""

    def __init__(self, authority: Authority, settings: MeshSettings) -> None:
        self.settings = settings
        self.leaves = Leaves(authority)
        self.world = World(Config(), RegistryState(), settings)
        """What the newest snapshots were made from, or newer."""
        self.problems: dict[str, str] = {}
        """Why a proxy is kept at what it has, or is served without some patches, by node id."""
        self._authority = authority
        self._bundle = authority.bundle_pem
        self._root = root_secret(self._bundle)
        self._packer = Packer()
        self._revision = 0
        self._attempts: dict[str, _Attempts] = {}
        """The newest ones, by node id."""
        self._kept: dict[str, Snapshot] = {}
        """The newest that could be made, by node id."""
        self._behind: dict[str, Instance] = {}

    @property
    def behind(self) -> Collection[str]:
        """The proxies that were not served since the last change, by node id."""
        return self._behind.keys()

    def snapshots(self, config: Config, registry: RegistryState) -> Mapping[str, Snapshot]:
        """Return each proxy's snapshot by node id. A proxy that cannot be served keeps the one before.

        Where nothing is different for a proxy, its snapshot's resources are the same object as before.
        """
        self.take(config, registry)
        self.serve()
        return dict(self._kept)

    def take(self, config: Config, registry: RegistryState) -> Collection[str]:
        """Take in a change: all proxies are behind now. Those that nobody served yet come last, but for a few.

        Returns the node ids of the proxies that there are.
        """
        self.world.advance(config, registry)
        self._revision = config.revision
        self._trust(self._authority.bundle_pem)
        instances = {instance.node_id: instance for instance in self.world.instances}
        self.leaves.keep_only(instances)
        for by_node in (self._attempts, self._kept, self.problems):
            for node_id in by_node.keys() - instances:
                del by_node[node_id]
        waiting = [node_id for node_id in self._behind if node_id in instances and node_id not in self._attempts]
        others = sorted(instances, key=lambda node_id: (node_id not in self._attempts, node_id not in self._behind))
        self._behind = {node_id: instances[node_id] for node_id in (*waiting[:FEW], *others)}
        return instances.keys()

    def serve(self, slice_s: float = math.inf) -> Mapping[str, Snapshot]:
        """Serve proxies that are behind, for a while; return the snapshots of those that can be served."""
        until = time.perf_counter() + slice_s
        served: dict[str, Snapshot] = {}
        while self._behind:
            node_id = next(iter(self._behind))
            self._serve_one(self._behind.pop(node_id))
            if node_id in self._kept:
                served[node_id] = self._kept[node_id]
            if not self._behind:
                self.world.forget()
            elif time.perf_counter() > until:
                break
        return served

    def _serve_one(self, instance: Instance) -> None:
        node_id = instance.node_id
        snapshot, problem = self._serve(instance)
        self.problems.pop(node_id, None)
        if problem:
            self.problems[node_id] = problem
        if snapshot is not None:
            self._kept[node_id] = snapshot
        elif node_id in self._kept:
            self._kept[node_id] = self._with_new_secrets(self._kept[node_id], instance)

    def _serve(self, instance: Instance) -> tuple[Snapshot | None, str]:
        """Return a proxy's snapshot and what is wrong; patches with which there would be none are left out."""
        before = self._attempts.get(instance.node_id, {})
        made = self._attempts[instance.node_id] = {}
        attempt = partial(self._attempt, instance, before, made)
        whole = attempt(frozenset())
        if isinstance(whole, Snapshot):
            return whole, ""
        left_out = dict.fromkeys(patches_of(self.world, instance), "")
        found = attempt(frozenset(left_out)) if left_out else whole
        if isinstance(found, str):
            return None, whole
        count = -1
        while count != len(left_out):  # what one patch adds another may need
            count = len(left_out)
            for where in list(left_out):
                better = attempt(frozenset(left_out) - {where})
                if isinstance(better, str):
                    left_out[where] = better
                else:
                    found = better
                    del left_out[where]
        return found, "; ".join(f"{where} is left out: {why}" for where, why in left_out.items())

    def _attempt(
        self, instance: Instance, before: _Attempts, made: _Attempts, left_out: frozenset[str]
    ) -> Snapshot | str:
        translated = self._translate(instance, left_out)
        secrets = self._secrets(instance)
        known = before.get(left_out)
        if known is None or known.translated is not translated or known.secrets is not secrets:
            packed = known.outcome if known and isinstance(known.outcome, Snapshot) else None
            outcome = translated if isinstance(translated, str) else self._packed(translated, secrets, packed)
            known = _Attempt(translated, secrets, outcome)
        elif isinstance(known.outcome, Snapshot):
            known = known._replace(outcome=replace(known.outcome, revision=self._revision))
        made[left_out] = known
        return known.outcome

    def _translate(self, instance: Instance, left_out: frozenset[str]) -> Resources | str:
        key = "proxy", instance.id, left_out
        return self.world.once(key, lambda: _or_reason(lambda: translate(self.world, instance, left_out)))

    def _packed(self, translated: Resources, secrets: Group, before: Snapshot | None) -> Snapshot | str:
        resources = {**translated, Kind.SDS: (*translated.get(Kind.SDS, ()), secrets)}
        return _or_reason(lambda: self._packer.snapshot(self._revision, resources, before))

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


def _or_reason(make: Callable[[], T]) -> T | str:
    """Return what is made, or why it cannot be: what nobody foresaw for one proxy must not end the control plane."""
    try:
        return make()
    except InconsistentSnapshotError as error:
        return str(error)
    except Exception as error:
        log.exception("config not served")
        return f"internal: {error!r}"
