"""From the present config and instances to a snapshot for every proxy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
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

T = TypeVar("T")


class _Attempt(NamedTuple):
    """What a proxy's snapshot was to be packed from, and what came of it."""

    translated: Resources | str
    secrets: Group
    outcome: Snapshot | str
    """Or why there is none."""


_Attempts = Mapping[tuple[str, frozenset[str]], _Attempt]


class Publisher:
    """Makes snapshots; what did not change is neither translated, packed nor signed again."""

    def __init__(self, authority: Authority, settings: MeshSettings) -> None:
        self.settings = settings
        self.leaves = Leaves(authority)
        self.world = World(Config(), RegistryState(), settings)
        """What the newest snapshots were made from, or newer."""
        self.problems: Mapping[str, str] = {}
        """Why a proxy is kept at what it has, or is served without some patches, by node id."""
        self._authority = authority
        self._bundle = authority.bundle_pem
        self._root = root_secret(self._bundle)
        self._packer = Packer()
        self._attempts: dict[tuple[str, frozenset[str]], _Attempt] = {}
        """The newest ones, by node id and the patches that were left out."""

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
        before, self._attempts = self._attempts, {}
        served: dict[str, Snapshot] = {}
        problems: dict[str, str] = {}
        for instance in instances:
            node_id = instance.node_id
            snapshot, problem = self._serve(config.revision, instance, before)
            if problem:
                problems[node_id] = problem
            if snapshot is not None:
                served[node_id] = snapshot
            elif node_id in previous:
                served[node_id] = self._with_new_secrets(previous[node_id], instance)
        self.world.forget()
        self.problems = problems
        return served

    def _serve(self, revision: int, instance: Instance, before: _Attempts) -> tuple[Snapshot | None, str]:
        """Return a proxy's snapshot and what is wrong; patches with which there would be none are left out."""
        attempt = partial(self._attempt, revision, instance, before)
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
        self, revision: int, instance: Instance, before: _Attempts, left_out: frozenset[str]
    ) -> Snapshot | str:
        key = instance.node_id, left_out
        translated = self._translate(instance, left_out)
        secrets = self._secrets(instance)
        known = before.get(key)
        if known is None or known.translated is not translated or known.secrets is not secrets:
            packed = known.outcome if known and isinstance(known.outcome, Snapshot) else None
            outcome = translated if isinstance(translated, str) else self._packed(revision, translated, secrets, packed)
            known = _Attempt(translated, secrets, outcome)
        elif isinstance(known.outcome, Snapshot):
            known = known._replace(outcome=replace(known.outcome, revision=revision))
        self._attempts[key] = known
        return known.outcome

    def _translate(self, instance: Instance, left_out: frozenset[str]) -> Resources | str:
        key = "proxy", instance.id, left_out
        return self.world.once(key, lambda: _or_reason(lambda: translate(self.world, instance, left_out)))

    def _packed(self, revision: int, translated: Resources, secrets: Group, before: Snapshot | None) -> Snapshot | str:
        resources = {**translated, Kind.SDS: (*translated.get(Kind.SDS, ()), secrets)}
        return _or_reason(lambda: self._packer.snapshot(revision, resources, before))

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
