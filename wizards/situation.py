"""Where a user starts from: how requests are shared now, and among what they could be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mesh_runtime.api.hosts import service_host
from mesh_runtime.api.objects import Config
from wizards.facts import Facts, VersionFacts
from wizards.intents import MESH, Reading, Split, share
from wizards.writers.istio import read
from wizards.writers.routes import gateways_of, leads_to, subset_rules, subsets_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One subset that can get a share: one slider."""

    subset: str
    version: str
    """Its ``version`` label; empty where the subset is made of something else."""
    weight: int
    """Its share now; before the first split, what it gets by the number of its instances."""
    exists: bool
    """A DestinationRule defines it; else it would be created."""
    facts: VersionFacts | None
    """What runs of it; ``None``: nothing, or nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that the form needs. Fewer than two options: there is nothing to share among."""

    namespace: str
    service: str
    gateway: str
    now: Reading
    options: tuple[Option, ...]
    gateways: tuple[str, ...]
    """``mesh`` and the Gateways that lead to the service: whose requests can be split."""

    @property
    def versions(self) -> Mapping[str, str]:
        """For :class:`~wizards.intents.Split`: the label of subsets that would be created."""
        return {option.subset: option.version for option in self.options if not option.exists}


def situation(config: Config, facts: Facts | None, namespace: str, service: str, gateway: str = MESH) -> Situation:
    """Describe a service. Subsets of the present split come first, then the others, then versions without a subset."""
    now = read(config, namespace, service, gateway)
    subsets = subsets_of(subset_rules(config, namespace, service))
    shares = now.weights if isinstance(now, Split) else {}
    ordered = [*shares, *(name for name in subsets if name not in shares)]
    labels = {name: subsets.get(name, {"version": name}) for name in ordered}
    running = [item for item in facts or () if item.instances]
    for item in running:
        if item.version and not any(item.selected_by(found) for found in labels.values()):
            labels[_subset_name(item.version)] = {"version": item.version}
    chosen = {name: next((item for item in running if item.selected_by(found)), None) for name, found in labels.items()}
    if not shares:
        shares = share(100, {name: float(item.instances) if item else 0.0 for name, item in chosen.items()})
    options = tuple(
        Option(
            subset=name,
            version=found.get("version", ""),
            weight=shares.get(name, 0),
            exists=name in subsets,
            facts=chosen[name],
        )
        for name, found in labels.items()
    )
    return Situation(
        namespace=namespace,
        service=service,
        gateway=gateway,
        now=now,
        options=options,
        gateways=_gateways(config, namespace, service),
    )


def _gateways(config: Config, namespace: str, service: str) -> tuple[str, ...]:
    host = service_host(service, namespace)
    named = {
        name
        for item in config.of("VirtualService")
        for name in gateways_of(item)
        if name != MESH and leads_to(item, host, name)
    }
    return (MESH, *sorted(named))


def _subset_name(version: str) -> str:
    """Make a subset's name of a label, which may have dots and capitals."""
    return re.sub(r"[^a-z0-9]+", "-", version.lower()).strip("-")[:63].rstrip("-") or "version"
